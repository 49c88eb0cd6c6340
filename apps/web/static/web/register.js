// The registration page: two panes, pairs clicked or typed, the fit on a key, its error, and what is kept of it.
import { Fit, Known, ask, refusal, told } from "./register-fit.js";
import { ErrorMap, gridOf } from "./register-map.js";
import { Marks } from "./register-marks.js";
import { WORDS, digitsFor, factorOf, length } from "./register-maths.js";
import { Pairs, Table } from "./register-pairs.js";
import { Pane } from "./register-pane.js";
import { Draft, Saving } from "./register-save.js";
import { largestEigenvalue } from "./viewer-cursor.js";

const byId = (id) => document.getElementById(id);
const SIDES = ["source", "target"];
const WAIT_MS = 180;
const FEWEST = { translation: [1, 1], rigid: [2, 3], similarity: [2, 3], affine: [3, 4] }; // in the plane, in space

const config = JSON.parse(byId("register-config").textContent);
config.token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
const other = (side) => (side === "source" ? "target" : "source");

let fit = null;
let body = null; // what the fit was asked with
let waiting = 0;
let asked = 0;
let mapping = 0;
const path = config.path ? new Known(config.path.matrix) : null;
const known = () => fit ?? path;
const on = { link: true, overlay: false, map: false };
const draft = new Draft(config);
const errors = new ErrorMap();
const panes = {};
const pairs = new Pairs(() => changed());
const marks = new Marks(pairs, () => fit);
const table = new Table(pairs, panes, { jump, refused: (words) => refused(words) });
const saving = new Saving(config, pairs, () => fit, draft);

// ------------------------------------------------------------------------------------------------------------- panes

const handlers = {
  clicked: (pane, point) => {
    if (!config.may_register) return;
    const pair = pairs.put(pane.side, point);
    if (on.link && known() && !pair[other(pane.side)]) panes[other(pane.side)].moveTo(known().map(pane.side, point).point);
  },
  picked: (pane, id) => jump(id, pane.side),
  markAt: (pane, x, y, within) => marks.near(pane, x, y, within),
  dragged: (pane, id, point, done) => {
    if (!config.may_register) return;
    if (!pane.held) { pairs.keep(); pane.held = id; }
    pairs.find(id)[pane.side] = point;
    pairs.selected = id;
    if (done) pane.held = null;
    pairs.changed();
  },
  hovered: (pane, point) => hovered(pane, point),
  moved: (pane) => {
    const map = known();
    if (!on.link || !map || !panes[other(pane.side)]) return;
    const factor = factorOf(map.matrix);
    panes[other(pane.side)].moveTo(map.map(pane.side, pane.view.at).point, pane.view.scale * (pane.side === "source" ? factor : 1 / factor));
  },
  viewed: (pane) => { showControls(pane); if (pane.side === "target") mapSoon(); },
  said: (pane, words) => {
    const said = byId(`said-${pane.side}`);
    if (said.textContent !== words) said.textContent = words;
  },
};

function hovered(pane, point) {
  const away = other(pane.side);
  const map = known();
  byId(`place-${pane.side}`).textContent = point ? `${point.map((value, axis) => `${WORDS[axis]} ${value.toFixed(pane.digits)}`).join(", ")} µm` : "";
  clearTimeout(waiting);
  asked += 1;
  marks.ghosts[pane.side] = null;
  marks.ghosts[away] = point && map ? { ...map.map(pane.side, point), factor: map.factor } : null;
  sayGhost(away);
  if (point && map && map === path) waiting = setTimeout(askPath, WAIT_MS, pane.side, point, asked);
  for (const side of SIDES) panes[side]?.draw();
}

// The error along accepted transforms is the server's to tell; that of the fit is at hand.
async function askPath(side, point, turn) {
  const away = other(side);
  const answer = await ask(config.panes[side].map, { to: config.panes[away].frame, points: [point] }, config.token).catch(() => null);
  const spread = answer?.covariances[0];
  if (turn !== asked || !spread || !marks.ghosts[away]) return;
  const largest = Math.sqrt(largestEigenvalue(spread));
  marks.ghosts[away] = { point: answer.points[0], spread, factor: largest > 0 ? answer.u95_um[0] / largest : null };
  sayGhost(away);
  panes[away].draw();
}

function sayGhost(side) {
  const ghost = marks.ghosts[side];
  const said = byId(`place-${side}`);
  if (!ghost) { said.textContent = ""; return; }
  const half = ghost.spread && ghost.factor ? ghost.factor * Math.sqrt(Math.max(0, largestEigenvalue(ghost.spread))) : null;
  const digits = half ? digitsFor(half) : panes[side].digits;
  said.textContent = `${ghost.point.map((value, axis) => `${WORDS[axis]} ${value.toFixed(digits)}`).join(", ")} µm${half ? ` ± ${length(half, 2)} (95 %)` : ", error not known"}`;
}

function jump(id, from = null) {
  const pair = pairs.find(id);
  pairs.selected = id;
  for (const side of SIDES) {
    if (side === from) continue;
    if (pair[side]) panes[side].moveTo(pair[side]);
    else if (known() && pair[other(side)]) panes[side].moveTo(known().map(other(side), pair[other(side)]).point);
  }
  changed(false);
}

function showControls(pane) {
  const slider = byId(`slice-${pane.side}`);
  slider.max = pane.slices - 1;
  slider.value = pane.slice;
  slider.disabled = pane.slices === 1;
  const word = pane.slices > 1 ? `${pane.slice + 1} of ${pane.slices}` : "one plane";
  slider.setAttribute("aria-valuetext", word);
  byId(`slice-words-${pane.side}`).textContent = word;
}

function wirePane(side) {
  const pane = new Pane(side, config.panes[side], handlers);
  panes[side] = pane;
  pane.tableDigits = digitsFor(Math.min(...pane.config.spacing) / 10);
  pane.layers.push((ctx) => { if (side === "target" && on.map) errors.draw(ctx, pane); }, (ctx) => marks.draw(ctx, pane));
  byId(`plane-${side}`).addEventListener("change", (event) => pane.setPlane(event.target.value));
  byId(`slice-${side}`).addEventListener("input", (event) => pane.setSlice(Number(event.target.value)));
  byId(`home-${side}`).addEventListener("click", () => { pane.home(); handlers.moved(pane); });
  byId(`in-${side}`).addEventListener("click", () => pane.zoom(0.7));
  byId(`out-${side}`).addEventListener("click", () => pane.zoom(1 / 0.7));
  for (const end of ["low", "high"]) {
    byId(`${end}-${side}`)?.addEventListener("change", () => {
      const [low, high] = ["low", "high"].map((name) => Number(byId(`${name}-${side}`).value.replace(",", ".")));
      const fits = Number.isFinite(low) && Number.isFinite(high) && high > low;
      for (const name of ["low", "high"]) byId(`${name}-${side}`).setAttribute("aria-invalid", String(!fits));
      if (fits) { Object.assign(pane.settings, { low, high }); refreshAll(); }
    });
  }
  for (const axis of ["c", "t"]) byId(`${axis}-${side}`)?.addEventListener("change", (event) => { pane.settings[axis] = Number(event.target.value); refreshAll(); });
}

function refreshAll() { for (const side of SIDES) panes[side].refresh(); }

// ---------------------------------------------------------------------------------------------------------- overlay

function laid() {
  const side = byId("over-side").value;
  const map = known();
  for (const name of SIDES) {
    panes[name].over = on.overlay && map && name === side ? {
      pane: panes[other(name)], matrix: name === "target" ? map.inverse : map.matrix,
      opacity: Number(byId("opacity").value) / 100, colour: byId("over-colour").value,
    } : null;
    if (!panes[name].over) panes[name].shows = "both";
    panes[name].refresh();
  }
}

function press(name, value) {
  on[name] = value;
  byId(name).setAttribute("aria-pressed", String(value));
}

function toggle(name) {
  if (byId(name).disabled) return;
  press(name, !on[name]);
  if (name === "link" && on.link) handlers.moved(panes.source);
  if (name === "overlay") { laid(); blinked(); }
  if (name === "map") { mapSoon(); legend(); panes.target.draw(); }
}

function blink() {
  if (byId("blink").disabled) return;
  if (!on.overlay) toggle("overlay");
  const pane = panes[byId("over-side").value];
  pane.shows = pane.shows === "under" ? "over" : "under";
  pane.draw();
  blinked();
}

function blinked() {
  const side = byId("over-side").value;
  const shows = panes[side].shows;
  byId("blink-shows").textContent = !on.overlay || shows === "both" ? "" : `Shown: ${config.panes[shows === "under" ? side : other(side)].name}`;
}

// --------------------------------------------------------------------------------------------------------------- fit

function request() {
  return { source: config.panes.source.frame, target: config.panes.target.frame, kind: pairs.kind, landmarks: pairs.sent() };
}

async function fitNow() {
  if (byId("fit").disabled) return;
  refused("");
  const [asking, ids, key] = [request(), pairs.ids, pairs.key];
  if (!ids.length) { refused("There is no whole pair yet: click one place in both panes."); return; }
  byId("register-status").textContent = "Fitting.";
  try {
    fit = new Fit(await ask(config.fit, asking, config.token), ids, key);
    body = asking;
    byId("fit-suspects").focus?.();
  } catch (error) {
    fit = null;
    refused(`Refused. ${refusal(error, pairs, ids)}`);
  }
  errors.clear();
  changed(false);
  laid();
  mapSoon();
}

function showFit() {
  const stale = fit && fit.key !== pairs.key;
  byId("results").hidden = !fit;
  byId("results").classList.toggle("cr-stale", Boolean(stale));
  if (!fit) return;
  byId("fit-stale").hidden = !stale;
  byId("fit-facts").replaceChildren(...told(fit).flatMap(([term, words]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = term;
    dd.textContent = words;
    return [dt, dd];
  }));
  byId("fit-suspects").replaceChildren(...fit.suspects.filter((id) => pairs.find(id)).map(suspect));
}

function suspect(id) {
  const row = document.createElement("li");
  const number = pairs.numberOf(id);
  row.className = "cs-note bad";
  row.append(`Pair ${number} is suspect: ${fit.why(id)}. `);
  const button = (word, act) => {
    const made = Object.assign(document.createElement("button"), { type: "button", className: "btn btn-sm btn-outline-secondary", textContent: word });
    made.addEventListener("click", act);
    row.append(" ", made);
  };
  button(`Look at pair ${number}`, () => jump(id));
  button(`Reject pair ${number}`, () => {
    pairs.set(id, { state: "rejected", reason: pairs.find(id).reason || `Suspect: ${fit.why(id)}`.slice(0, 500) });
    fitNow();
  });
  return row;
}

// --------------------------------------------------------------------------------------------------------------- map

function mapSoon() {
  clearTimeout(mapping);
  if (on.map && fit?.covariance) mapping = setTimeout(mapNow, WAIT_MS);
}

async function mapNow() {
  const [grid, of] = [gridOf(panes.target), fit];
  byId("map-legend").dataset.busy = "true";
  const answer = await ask(config.fit, { ...body, predict_at: grid.points }, config.token).catch((error) => { refused(error.message); return null; });
  byId("map-legend").dataset.busy = "false";
  if (!answer || of !== fit || gridOf(panes.target).key !== grid.key) return;
  errors.set(grid, answer.predicted_u95_um);
  legend();
  panes.target.draw();
}

function legend() {
  const shown = on.map && errors.values;
  byId("map-legend").hidden = !shown;
  if (!shown) return;
  byId("map-least").textContent = length(errors.least, 2);
  byId("map-most").textContent = length(errors.most, 2);
}

// ------------------------------------------------------------------------------------------------------------- words

function refused(words) {
  const said = byId("register-error");
  said.textContent = words;
  said.hidden = !words;
}

function next() {
  if (!config.may_register) return "You may look at these images; registering them takes the role of a contributor.";
  const open = pairs.open;
  if (open) return `Pair ${pairs.numberOf(open.id)}: now click the same place in the ${open.source ? "target" : "source"}. Escape drops it.`;
  const active = pairs.whole.filter((pair) => pair.state === "active").length;
  const planar = SIDES.every((side) => config.panes[side].sizes[2] === 1);
  const least = FEWEST[pairs.kind][planar ? 0 : 1];
  if (active < least) return `Click a place in one pane, then the same place in the other. A ${pairs.kind} map needs ${least} pair${least === 1 ? "" : "s"}; there ${active === 1 ? "is" : "are"} ${active}.`;
  if (!fit || fit.key !== pairs.key) return `${active} active pairs. Press f to fit.`;
  return fit.suspects.length ? "Fitted. Look at what is suspect before you save." : "Fitted. Look at the overlay and at the map of error before you save.";
}

function changed(kept = true) {
  if (!panes.target) return;
  if (kept && saving.unsaved) draft.write(pairs.plain());
  else if (kept) draft.drop();
  if (pairs.selected && !pairs.find(pairs.selected)) pairs.selected = null;
  byId("kind").value = pairs.kind;
  byId("kind-words").textContent = byId("kind").selectedOptions[0]?.dataset.words ?? "";
  table.update(fit);
  showFit();
  saving.update();
  byId("register-status").textContent = next();
  byId("undo").disabled = !pairs.undone.length;
  for (const name of ["overlay", "blink", "link"]) byId(name).disabled = !known();
  byId("map").disabled = !fit?.covariance;
  byId("map-none").textContent = fit && !fit.covariance ? `No map of error. ${fit.answer.facts.fit.covariance_from}` : "";
  if (!fit?.covariance && on.map) press("map", false);
  legend();
  for (const side of SIDES) panes[side].draw();
}

// -------------------------------------------------------------------------------------------------------------- start

function step(way) {
  const places = pairs.list;
  if (!places.length) return;
  const at = places.findIndex((pair) => pair.id === pairs.selected);
  jump(places[(at + way + places.length) % places.length].id);
}

function dropOpen() {
  const open = pairs.open;
  if (!open) return;
  if (open.source || open.target) pairs.remove(open.id);
}

function wire() {
  const acts = {
    f: fitNow, l: () => toggle("link"), o: () => toggle("overlay"), b: blink, e: () => toggle("map"), u: () => pairs.undo(),
    "[": () => step(-1), "]": () => step(1), Escape: dropOpen,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select")) return;
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  byId("fit").addEventListener("click", fitNow);
  for (const name of ["link", "overlay", "map"]) byId(name).addEventListener("click", () => toggle(name));
  byId("blink").addEventListener("click", blink);
  byId("undo").addEventListener("click", () => pairs.undo());
  byId("pair-add").addEventListener("click", () => table.focus(pairs.add().id));
  byId("kind").addEventListener("change", (event) => { pairs.keep(); pairs.kind = event.target.value; pairs.changed(); });
  for (const id of ["opacity", "over-colour", "over-side"]) byId(id).addEventListener("input", () => { laid(); blinked(); });
  window.addEventListener("beforeunload", (event) => { if (saving.unsaved) event.preventDefault(); });
}

function begin() {
  const stored = draft.read();
  const { start } = config;
  if (start?.pairs.length) {
    pairs.load({ pairs: start.pairs, kind: start.kind in FEWEST ? start.kind : "rigid" });
    saving.started(start);
  }
  if (stored?.pairs?.length) {
    pairs.load(stored);
    byId("draft-words").textContent = `Pairs of ${new Date(stored.at).toLocaleString()} that were not saved are back.`;
    byId("draft").hidden = !saving.unsaved;
    byId("draft-drop").addEventListener("click", () => {
      pairs.load({ pairs: start?.pairs ?? [], kind: start && start.kind in FEWEST ? start.kind : "rigid" });
      byId("draft").hidden = true;
    });
  }
  pairs.undone = [];
  changed();
  if (pairs.whole.length && config.may_register) fitNow();
}

for (const side of SIDES) wirePane(side);
wire();
for (const field of document.querySelectorAll("[data-register]")) field.disabled = false;
changed(false);
begin();
if (path && !fit) handlers.moved(panes.source);
byId("register").dataset.ready = "true";
