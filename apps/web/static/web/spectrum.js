// The spectrum of all places and of the one that is clicked, and element maps; numbers come from the REST surface.
(() => {
  const root = document.querySelector("[data-spectrum]");
  if (!root) return;
  const base = root.dataset.spectrum;
  const plot = root.querySelector("[data-plot]");
  const problem = root.querySelector("[data-spectrum-problem]");
  const label = root.querySelector("[data-place]");
  const form = root.querySelector("[data-place-form]");
  const log = root.querySelector("[data-log]");
  const cut = root.querySelector("[data-cut]");
  const BOX = { left: 56, right: 12, top: 10, bottom: 42, width: 900, height: 300 };
  const drawn = { all: null, place: null };
  const SVG = "http://www.w3.org/2000/svg";
  const refuse = (text) => { problem.textContent = text; problem.hidden = !text; };
  const ask = async (path) => {
    const answer = await fetch(base + path, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.detail || `The server answered ${answer.status}.`);
    return body;
  };
  const node = (name, attributes, text = "") => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    plot.append(made);
    return made;
  };
  const nice = (span, wanted) => {
    const rough = span / wanted;
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= rough) || rough;
  };
  const round = (value) => Number(value.toPrecision(6)).toString();
  // Detectors put a peak of their own at zero energy, far above every line of the specimen: it is drawn, cut off.
  const tallest = (found, axis, flat) => {
    const least = !flat && axis.unit === "keV" ? 0.1 : !flat && axis.unit === "eV" ? 100 : -Infinity;
    const above = found.counts.filter((_, i) => axis.offset + i * axis.step >= least);
    const most = Math.max(0, ...(found.counts.length ? above : []));
    const all = Math.max(0, ...found.counts);
    cut.hidden = !(most && all > most);
    return most || all;
  };
  const draw = () => {
    plot.replaceChildren();
    const shown = drawn.place || drawn.all;
    if (!shown) return;
    const axis = shown.signal[0];
    const flat = shown.signal.length > 1;
    const start = flat ? 0 : axis.offset;
    const step = flat ? 1 : axis.step;
    const size = shown.counts.length;
    const end = start + step * (size - 1);
    const tall = (value) => (log.checked ? Math.log10(1 + Math.max(0, value)) : value);
    const highest = tallest(shown, axis, flat) || 1;
    const top = tall(highest) || 1;
    const x = (value) => BOX.left + ((value - start) / (end - start || 1)) * (BOX.width - BOX.left - BOX.right);
    const y = (value) => BOX.height - BOX.bottom - Math.min(1, tall(value) / top) * (BOX.height - BOX.top - BOX.bottom);
    const ticks = nice(Math.abs(end - start), 8);
    for (let at = Math.ceil(Math.min(start, end) / ticks) * ticks; at <= Math.max(start, end); at += ticks) {
      node("line", { class: "grid", x1: x(at), x2: x(at), y1: BOX.top, y2: BOX.height - BOX.bottom });
      node("text", { x: x(at), y: BOX.height - BOX.bottom + 16, "text-anchor": "middle" }, round(at));
    }
    const heights = log.checked ? [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8].filter((v) => v <= highest) : Array.from({ length: 5 }, (_, i) => i * Math.max(1, nice(highest || 1, 4))).filter((v) => v <= highest);
    for (const at of heights) {
      node("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(at), y2: y(at) });
      node("text", { x: BOX.left - 6, y: y(at) + 4, "text-anchor": "end" }, at >= 1e5 ? at.toExponential(0) : round(at));
    }
    node("text", { x: (BOX.left + BOX.width - BOX.right) / 2, y: BOX.height - 6, "text-anchor": "middle" }, flat ? "channel" : `${axis.name} (${axis.unit})`);
    const line = (counts, css, factor) => node("path", { class: css, d: "M" + counts.map((count, i) => `${x(start + i * step).toFixed(1)},${y(count * factor).toFixed(1)}`).join("L") });
    if (drawn.all) line(drawn.all.counts, "all", drawn.place ? highest / (tallest(drawn.all, axis, flat) || 1) : 1);
    if (drawn.place) line(drawn.place.counts, "place", 1);
    plot.setAttribute("aria-label", `Spectrum of ${label.textContent}: ${size} channels, at most ${round(highest)} counts`);
  };
  const show = async (column, row) => {
    try {
      refuse("");
      drawn.place = await ask(`spectrum/?x=${column}&y=${row}`);
      label.textContent = `place x = ${column}, y = ${row}`;
      form.elements.namedItem("x").value = column;
      form.elements.namedItem("y").value = row;
      draw();
    } catch (error) { refuse(error.message); }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(form.elements.namedItem("x").value.trim(), form.elements.namedItem("y").value.trim());
  });
  log.addEventListener("change", draw);
  for (const picture of document.querySelectorAll("[data-slice] img[data-columns]")) {
    picture.classList.add("cs-clickable");
    picture.addEventListener("click", (event) => {
      const place = picture.getBoundingClientRect();
      const column = Math.floor(((event.clientX - place.left) / place.width) * Number(picture.dataset.columns));
      const row = Math.floor(((event.clientY - place.top) / place.height) * Number(picture.dataset.rows));
      show(column, row);
    });
  }
  const maps = root.querySelector("[data-map-form]");
  if (maps) {
    const figure = root.querySelector("[data-map]");
    const picture = figure.querySelector("img");
    picture.addEventListener("load", () => { figure.hidden = false; refuse(""); });
    picture.addEventListener("error", () => { figure.hidden = true; refuse("There is no map of this line."); });
    maps.addEventListener("submit", (event) => {
      event.preventDefault();
      const line = maps.elements.namedItem("line").value;
      const sides = maps.elements.namedItem("background").checked ? "&background=sides" : "";
      figure.querySelector("figcaption").textContent = `Counts of ${line.replace("_", " ")} at each place${sides ? ", the background taken off" : ""}; contrast for the eye.`;
      picture.alt = `Element map of ${line.replace("_", " ")}`;
      picture.src = `${base}element-map/?line=${line}${sides}`;
    });
  }
  ask("spectrum/").then((found) => { drawn.all = found; draw(); }).catch((error) => refuse(error.message));
})();
