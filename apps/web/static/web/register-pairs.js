// Landmark pairs and their table: what is clicked in the panes and what is typed say the same.
import { place } from "./register-maths.js";

const MOST_UNDO = 200;
const STATES = [["active", "active"], ["held_out", "held out"], ["rejected", "rejected"]];

export class Pairs {
  constructor(changed) {
    Object.assign(this, { changed, list: [], kind: "rigid", all: null, selected: null, next: 1, undone: [] });
  }

  load({ pairs, kind, all = null }) {
    this.list = pairs.map((pair) => ({ ...structuredClone(pair), id: this.next++ }));
    if (kind) this.kind = kind;
    this.all = all;
    this.selected = null;
    this.changed();
  }

  plain() {
    return { pairs: this.list.map(({ id, ...pair }) => pair), kind: this.kind, all: this.all };
  }

  // Keep what stands, so that one step back is possible.
  keep() {
    this.undone.push(JSON.stringify(this.plain()));
    if (this.undone.length > MOST_UNDO) this.undone.shift();
  }

  undo() {
    const former = this.undone.pop();
    if (former) this.load(JSON.parse(former));
    return Boolean(former);
  }

  find(id) { return this.list.find((pair) => pair.id === id); }

  numberOf(id) { return this.list.findIndex((pair) => pair.id === id) + 1; }

  get whole() { return this.list.filter((pair) => pair.source && pair.target); }

  get open() { return this.list.find((pair) => Boolean(pair.source) !== Boolean(pair.target)); }

  // As the server takes them; `ids` says which pair each is.
  sent() {
    return this.whole.map((pair) => ({
      source: pair.source, target: pair.target, u_um: pair.u_um ?? this.all, state: pair.state, reason: pair.reason,
    }));
  }

  get ids() { return this.whole.map((pair) => pair.id); }

  get key() { return JSON.stringify([this.kind, this.sent()]); }

  // A click: the other half of the pair that waits for it, its first half again, or a new pair.
  put(side, point) {
    this.keep();
    let pair = this.open;
    if (!pair) {
      pair = { id: this.next++, source: null, target: null, u_um: null, state: "active", reason: "" };
      this.list.push(pair);
    }
    pair[side] = [...point];
    this.selected = pair.id;
    this.changed();
    return pair;
  }

  add() {
    this.keep();
    const pair = { id: this.next++, source: null, target: null, u_um: null, state: "active", reason: "" };
    this.list.push(pair);
    this.selected = pair.id;
    this.changed();
    return pair;
  }

  set(id, change) {
    this.keep();
    Object.assign(this.find(id), change);
    this.changed();
  }

  remove(id) {
    this.keep();
    this.list = this.list.filter((pair) => pair.id !== id);
    if (this.selected === id) this.selected = null;
    this.changed();
  }
}

// --------------------------------------------------------------------------------------------------------------- table

const made = (tag, more = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), more);
  element.append(...children);
  return element;
};

function readPoint(text, planar) {
  const words = text.trim().split(/[;\s]+|,\s*/).filter(Boolean);
  if (!words.length) return null;
  const numbers = words.map(Number);
  if (planar && numbers.length === 2) numbers.push(0);
  if (numbers.length !== 3 || !numbers.every(Number.isFinite)) throw new Error(`“${text}” is no point: give x, y, z in µm`);
  return numbers;
}

function readError(text) {
  if (!text.trim()) return null;
  const value = Number(text.trim().replace(",", "."));
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`“${text}” is no standard error: give µm above 0, or nothing`);
  return value;
}

export class Table {
  constructor(pairs, panes, on) {
    Object.assign(this, { pairs, panes, on, rows: new Map() });
    this.body = document.getElementById("pairs");
    this.empty = document.getElementById("pairs-none");
    this.all = document.getElementById("error-all");
    this.all.addEventListener("change", () => this.#typed(this.all, () => {
      pairs.keep();
      pairs.all = readError(this.all.value);
      pairs.changed();
    }));
  }

  // Bring the rows in step with the pairs; a field that is being typed in is left alone.
  update(found) {
    for (const [id, row] of this.rows) if (!this.pairs.find(id)) { row.element.remove(); this.rows.delete(id); }
    this.pairs.list.forEach((pair, index) => {
      if (!this.rows.has(pair.id)) this.rows.set(pair.id, this.#row(pair));
      const row = this.rows.get(pair.id);
      if (this.body.children[index] !== row.element) this.body.insertBefore(row.element, this.body.children[index] ?? null);
      this.#fill(row, pair, index + 1, found);
    });
    this.empty.hidden = this.pairs.list.length > 0;
    if (document.activeElement !== this.all) this.all.value = this.pairs.all ?? "";
  }

  focus(id, field = "source") { this.rows.get(id)?.[field].focus(); }

  #typed(field, act) {
    try {
      act();
      field.removeAttribute("aria-invalid");
      this.on.refused("");
    } catch (error) {
      field.setAttribute("aria-invalid", "true");
      this.on.refused(error.message);
    }
  }

  #row(pair) {
    const { id } = pair;
    const point = (side) => {
      const field = made("input", { className: "form-control form-control-sm cr-point", type: "text", autocomplete: "off", spellcheck: false });
      field.addEventListener("change", () => this.#typed(field, () => {
        if (field.value === field.told) return; // what is shown is rounded: read it only if somebody changed it
        this.pairs.set(id, { [side]: readPoint(field.value, this.panes[side].config.sizes[2] === 1) });
      }));
      return field;
    };
    const error = made("input", { className: "form-control form-control-sm cr-error", type: "text", inputMode: "decimal", autocomplete: "off" });
    error.addEventListener("change", () => this.#typed(error, () => this.pairs.set(id, { u_um: readError(error.value) })));
    const state = made("select", { className: "form-select form-select-sm" }, ...STATES.map(([value, word]) => made("option", { value, textContent: word })));
    state.addEventListener("change", () => {
      this.pairs.set(id, { state: state.value });
      if (state.value === "rejected" && !this.pairs.find(id).reason) this.focus(id, "reason");
    });
    const reason = made("input", { className: "form-control form-control-sm mt-1", type: "text", maxLength: 500, placeholder: "Why", autocomplete: "off" });
    reason.addEventListener("change", () => this.pairs.set(id, { reason: reason.value.trim() }));
    const button = (word, act) => {
      const found = made("button", { type: "button", className: "btn btn-sm btn-outline-secondary", textContent: word });
      found.addEventListener("click", act);
      return found;
    };
    const show = button("Show", () => this.on.jump(id));
    const remove = button("Delete", () => {
      const next = this.pairs.list[this.pairs.numberOf(id)] ?? this.pairs.list[this.pairs.numberOf(id) - 2];
      this.pairs.remove(id);
      if (next) this.rows.get(next.id)?.remove.focus();
      else document.getElementById("pair-add").focus();
    });
    const row = { source: point("source"), target: point("target"), error, state, reason, show, remove };
    row.number = made("th", { scope: "row" });
    row.residual = made("td", { className: "cs-num" });
    row.left = made("td", { className: "cs-num" });
    row.said = made("div", { className: "cr-suspect" });
    row.element = made("tr", {}, row.number, made("td", {}, row.source), made("td", {}, row.target), made("td", {}, error),
      made("td", {}, state, reason), row.residual, row.left, made("td", { className: "cr-acts" }, show, " ", remove, row.said));
    row.element.dataset.pair = String(id);
    return row;
  }

  #fill(row, pair, number, found) {
    const name = `pair ${number}`;
    row.number.textContent = String(number);
    for (const side of ["source", "target"]) {
      const text = pair[side] ? place(pair[side], this.panes[side].tableDigits) : "";
      row[side].setAttribute("aria-label", `${name}, ${side}: x, y, z in µm`);
      if (document.activeElement !== row[side] || row[side].value === row[side].told) row[side].value = text;
      row[side].told = text;
    }
    const fill = (field, value) => { if (document.activeElement !== field) field.value = value; };
    fill(row.error, pair.u_um ?? "");
    row.error.placeholder = this.pairs.all ? String(this.pairs.all) : "";
    fill(row.reason, pair.reason);
    row.state.value = pair.state;
    row.reason.hidden = pair.state !== "rejected" && !pair.reason;
    row.error.setAttribute("aria-label", `${name}, standard error in µm`);
    row.state.setAttribute("aria-label", `${name}, state`);
    row.reason.setAttribute("aria-label", `${name}, reason`);
    row.show.setAttribute("aria-label", `Show ${name} in both panes`);
    row.remove.setAttribute("aria-label", `Delete ${name}`);
    const told = found?.of(pair.id);
    row.residual.textContent = told?.residual ?? "";
    row.left.textContent = told?.left ?? "";
    row.said.textContent = told?.suspect ?? (pair.source && pair.target ? "" : `click its place in the ${pair.source ? "target" : "source"}`);
    row.element.classList.toggle("cr-is-suspect", Boolean(told?.suspect));
    row.element.classList.toggle("cr-is-selected", pair.id === this.pairs.selected);
    row.element.setAttribute("aria-current", String(pair.id === this.pairs.selected));
  }
}
