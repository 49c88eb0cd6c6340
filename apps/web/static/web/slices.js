// Slice sliders and contrast handles: each moves the pictures.  Without this script the middle slices stand, and the
// contrast is set by the form's two numbers.
(() => {
  const pictures = () => document.querySelectorAll("[data-slice] img");
  const change = (picture, values) => {
    const address = new URL(picture.src);
    for (const [name, value] of Object.entries(values)) address.searchParams.set(name, value);
    picture.src = address.toString();
  };
  const soon = (act) => {
    let waiting = 0;
    return (...args) => {
      clearTimeout(waiting);
      waiting = setTimeout(act, 40, ...args);
    };
  };
  for (const input of document.querySelectorAll("[data-slice] input[type=range]")) {
    const figure = input.closest("[data-slice]");
    const show = soon(() => change(figure.querySelector("img"), { index: input.value }));
    input.addEventListener("input", () => {
      const word = `${Number(input.value) + 1} of ${Number(input.max) + 1}`;
      input.setAttribute("aria-valuetext", word);
      figure.querySelector("output").textContent = word;
      show();
    });
    input.disabled = false;
  }
  for (const form of document.querySelectorAll("form[data-contrast]")) {
    const low = Number(form.dataset.low);
    const span = Number(form.dataset.high) - low;
    const field = (name) => form.elements.namedItem(name);
    const range = (name) => form.querySelector(`[data-range=${name}]`);
    const frame = form.querySelector("[data-window]");
    const value = (name) => Number(field(name).value.replace(",", "."));
    const draw = () => {
      const left = Math.max(0, (128 * (value("low") - low)) / span);
      const right = Math.min(128, (128 * (value("high") - low)) / span);
      frame.setAttribute("x", left);
      frame.setAttribute("width", Math.max(0, right - left));
    };
    const send = soon(() => {
      if (!(value("high") > value("low"))) return;
      for (const picture of pictures()) change(picture, { low: value("low"), high: value("high") });
    });
    const place = (name) => { range(name).value = (1000 * (value(name) - low)) / span; };
    for (const name of ["low", "high"]) {
      range(name).disabled = false;
      place(name);
      range(name).addEventListener("input", () => {
        field(name).value = Number((low + (range(name).value * span) / 1000).toPrecision(4));
        draw();
        send();
      });
      field(name).addEventListener("change", () => { place(name); draw(); send(); });
    }
    form.addEventListener("submit", (event) => { event.preventDefault(); draw(); send(); });
  }
})();
