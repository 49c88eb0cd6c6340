// Files dropped or chosen, sent with their progress.  Without this script the form sends them as a form does.
(() => {
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
    const refuse = (text) => {
      problem.textContent = text;
      problem.hidden = false;
      bar.hidden = true;
      button.disabled = false;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      problem.hidden = true;
      bar.hidden = false;
      button.disabled = true;
      const request = new XMLHttpRequest();
      request.upload.addEventListener("progress", (step) => { if (step.lengthComputable) bar.value = step.loaded / step.total; });
      request.addEventListener("load", () => {
        if (request.status < 300) return window.location.reload();
        let said = `The server answered ${request.status}.`;
        try { said = JSON.parse(request.responseText).detail || said; } catch { /* a page, not a reason */ }
        return refuse(said);
      });
      request.addEventListener("error", () => refuse("The connection broke. Nothing was kept; send the files again."));
      request.open("POST", form.action);
      request.setRequestHeader("Accept", "application/json");
      request.send(new FormData(form));
    });
  }
})();
