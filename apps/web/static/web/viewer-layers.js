// Visibility, opacity, contrast and colour of each layer, and the change between two of them on a key.
export function layerControls(adapter, config) {
  const rows = new Map();
  for (const layer of config.layers) {
    const row = document.querySelector(`[data-layer="${layer.image}"]`);
    rows.set(layer.name, wire(adapter, layer, row));
  }
  blinking(adapter, config, rows);
}

function wire(adapter, layer, row) {
  const field = (name) => row.querySelector(`[name="${name}"]`);
  const state = { visible: true, opacity: layer.opacity };
  const number = (name) => Number(field(name).value.replace(",", "."));
  const grey = () => {
    const window = [number("black"), number("white")];
    const fits = window.every(Number.isFinite) && window[1] > window[0];
    for (const name of ["black", "white"]) field(name).setAttribute("aria-invalid", String(!fits));
    if (fits) adapter.setGrey(layer.name, { window, limits: layer.limits, colour: field("colour").value });
  };
  field("visible").addEventListener("change", (event) => {
    state.visible = event.target.checked;
    adapter.setVisible(layer.name, state.visible);
  });
  field("opacity").addEventListener("input", (event) => {
    state.opacity = Number(event.target.value) / 100;
    adapter.setOpacity(layer.name, state.opacity);
  });
  if (!layer.labels) for (const name of ["black", "white", "colour"]) field(name).addEventListener("change", grey);
  for (const select of row.querySelectorAll("[data-local]")) {
    select.addEventListener("change", () => adapter.setLocal(layer.name, select.dataset.local, Number(select.value)));
  }
  row.querySelector("[data-goto]").addEventListener("click", () => {
    adapter.setAxes(layer.axes);
    adapter.moveTo(layer.centre);
    adapter.fit(layer.box);
  });
  return state;
}

function blinking(adapter, config, rows) {
  const button = document.getElementById("blink");
  const both = document.getElementById("blink-end");
  if (!button) return;
  const chosen = () => [...document.querySelectorAll("[data-blink]")].map((select) => select.value);
  let shown = -1;
  const step = () => {
    shown = shown === 0 ? 1 : 0;
    const pair = chosen();
    for (const { name } of config.layers) {
      adapter.setVisible(name, name === pair[shown]);
      if (name === pair[shown]) adapter.setOpacity(name, 1);
    }
    button.setAttribute("aria-pressed", "true");
    both.disabled = false;
    document.getElementById("blink-shows").textContent = `Shown: ${pair[shown]}`;
  };
  const end = () => {
    if (shown < 0) return;
    shown = -1;
    for (const [name, state] of rows) {
      adapter.setVisible(name, state.visible);
      adapter.setOpacity(name, state.opacity);
    }
    button.setAttribute("aria-pressed", "false");
    both.disabled = true;
    document.getElementById("blink-shows").textContent = "";
  };
  const keys = (event) => {
    const typing = event.target.closest?.("input, textarea, select");
    if (event.key === "b" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) step();
  };
  button.addEventListener("click", step);
  both.addEventListener("click", end);
  document.addEventListener("keydown", keys);
  adapter.frame.contentWindow.addEventListener("keydown", keys, { capture: true });
}
