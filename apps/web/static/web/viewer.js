// The viewer's page: starts the client inside, and joins the controls around it with it.
import { start } from "./viewer-adapter.js";
import { readout } from "./viewer-cursor.js";
import { layerControls } from "./viewer-layers.js";
import { regionControls } from "./viewer-regions.js";

const config = JSON.parse(document.getElementById("viewer-config").textContent);
config.token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
const inside = document.getElementById("viewer");
const status = document.getElementById("viewer-status");

function viewControls(adapter) {
  const first = config.layers[0];
  const home = () => {
    adapter.setAxes([[1, 0, 0], [0, 1, 0], [0, 0, 1]]);
    adapter.moveTo(first.centre);
    adapter.fit(first.box);
  };
  document.getElementById("viewer-layout").addEventListener("change", (event) => adapter.setLayout(event.target.value));
  document.getElementById("viewer-home").addEventListener("click", home);
  home();
}

try {
  const adapter = await start(inside, config);
  inside.adapter = adapter; // for the tests, and for who works in the browser's console
  viewControls(adapter);
  layerControls(adapter, config);
  readout(adapter, config);
  regionControls(adapter, config);
  for (const field of document.querySelectorAll("[data-viewer]")) field.disabled = false;
  inside.dataset.ready = "true";
  status.textContent = "";
} catch (error) {
  status.textContent = `The viewer did not start: ${error.message}`;
  status.classList.add("bad");
  throw error;
}
