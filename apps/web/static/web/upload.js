// Files dropped or chosen, sent with their progress.  Without this script the form sends them as a form does.
// Large ones go in pieces (tus 1.0): a line that breaks, or a page that is closed, costs one piece and not the file.
(() => {
  const TRIES = 8;
  const TUS = { "Tus-Resumable": "1.0.0" };

  const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });
  const coded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
  const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));

  // Known again by name, size, time and both ends: instruments write files of one name and size into many folders.
  // Without digests (a page that came by http from elsewhere) nothing is taken up again after the page was closed.
  async function remembered(file) {
    if (!window.crypto?.subtle) return `upload ${file.name} ${Math.random()}`;
    const ends = await new Blob([file.slice(0, 1 << 20), file.slice(-(1 << 20))]).arrayBuffer();
    return `upload ${file.name} ${file.size} ${file.lastModified} ${base64(await crypto.subtle.digest("SHA-256", ends))}`;
  }

  class Refused extends Error {}

  async function ask(address, options = {}) {
    const answer = await fetch(address, { ...options, headers: { "X-CSRFToken": token(), ...options.headers } });
    if (answer.ok || (options.passing ?? []).includes(answer.status)) return answer;
    if (answer.status >= 500 || [423, 460].includes(answer.status)) throw new Error(`the server answers ${answer.status}`);
    const said = await answer.json().catch(() => ({}));
    throw new Refused(said.detail ?? `The server answered ${answer.status}.`);
  }

  // Where the pieces of a file go: the upload that was begun for it before, if it is still there, else a new one.
  async function begin(file, address) {
    const name = await remembered(file);
    const known = localStorage.getItem(name);
    if (known && (await ask(known, { method: "HEAD", headers: TUS, passing: [404] })).ok) return known;
    const words = `filename ${coded(file.name)}${file.type ? `,filetype ${coded(file.type)}` : ""}`;
    const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": words };
    const place = (await ask(address, { method: "POST", headers })).headers.get("Location");
    localStorage.setItem(name, place);
    return place;
  }

  function forget(id) {
    for (const [name, place] of Object.entries(localStorage)) {
      if (name.startsWith("upload ") && place.split("/").at(-2) === id) localStorage.removeItem(name);
    }
  }

  async function checksum(piece) {
    if (!window.crypto?.subtle) return {}; // there only on pages that came by https, or from this machine
    return { "Upload-Checksum": `sha256 ${base64(await crypto.subtle.digest("SHA-256", await piece.arrayBuffer()))}` };
  }

  async function step(file, place, size, told) {
    const there = Number((await ask(place, { method: "HEAD", headers: TUS })).headers.get("Upload-Offset"));
    told(there);
    if (there === file.size) return true;
    const piece = file.slice(there, there + size);
    const type = { "Content-Type": "application/offset+octet-stream" };
    const headers = { ...TUS, ...type, "Upload-Offset": String(there), ...(await checksum(piece)) };
    await ask(place, { method: "PATCH", headers, body: piece, passing: [409] }); // asked again where it stands
    return false;
  }

  async function sendInPieces(file, { uploads, piece }, told, says) {
    let place = null;
    for (let failed = 0, done = false; !done;) {
      try {
        place ??= await begin(file, uploads);
        done = await step(file, place, Number(piece), told);
        failed = 0;
        says("");
      } catch (error) {
        failed += 1;
        if (error instanceof Refused || failed > TRIES) throw error;
        says("The connection broke. It is tried again; what was sent is kept.");
        await pause(Math.min(30000, 500 * 2 ** failed));
      }
    }
    return place.split("/").at(-2);
  }

  async function sendLarge(files, form, progress, says) {
    const whole = files.reduce((sum, file) => sum + file.size, 0);
    const ids = [];
    let before = 0;
    for (const file of files) {
      ids.push(await sendInPieces(file, form.dataset, (there) => progress((before + there) / whole), says));
      before += file.size;
    }
    const headers = { "Content-Type": "application/json" };
    await ask(`${form.dataset.acquisition}files/`, { method: "POST", headers, body: JSON.stringify({ uploads: ids }) });
    for (const id of ids) forget(id);
    await ask(`${form.dataset.acquisition}preview/`, { method: "POST" });
  }

  function sendAtOnce(form, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) progress(event.loaded / event.total); });
      request.addEventListener("load", () => {
        if (request.status < 300) return resolve();
        let said = `The server answered ${request.status}.`;
        try { said = JSON.parse(request.responseText).detail || said; } catch { /* a page, not a reason */ }
        return reject(new Refused(said));
      });
      request.addEventListener("error", () => reject(new Refused("The connection broke. Nothing was kept; send the files again.")));
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "application/json");
      request.send(new FormData(form));
    });
  }

  for (const form of document.querySelectorAll("form[data-upload]")) {
    const input = form.querySelector("input[type=file]");
    const drop = form.querySelector("[data-drop]");
    const bar = form.querySelector("progress");
    const problem = form.querySelector("[data-upload-problem]");
    const button = form.querySelector("button[type=submit]");
    form.querySelector("[data-drop-hint]").hidden = false;
    const over = (on) => (event) => { event.preventDefault(); drop.classList.toggle("over", on); };
    drop.addEventListener("dragover", over(true));
    drop.addEventListener("dragleave", over(false));
    drop.addEventListener("drop", (event) => {
      over(false)(event);
      if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
    });
    const says = (text) => {
      problem.textContent = text;
      problem.hidden = !text;
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      says("");
      bar.hidden = false;
      button.disabled = true;
      const files = [...input.files];
      const progress = (part) => { bar.value = part; };
      try {
        if (files.some((file) => file.size > Number(form.dataset.large))) await sendLarge(files, form, progress, says);
        else await sendAtOnce(form, progress);
        window.location.reload();
      } catch (error) {
        says(error instanceof Refused ? error.message : "The server cannot be reached. What was sent is kept for a week: send the same files again to go on.");
        bar.hidden = true;
        button.disabled = false;
      }
    });
  }
})();
