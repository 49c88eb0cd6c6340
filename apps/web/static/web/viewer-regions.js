// Regions of interest of the viewed frame: listed, drawn point by point in the picture, corrected, saved through REST.
const NEAR_PIXELS = 9; // a click this close to a point that is being drawn takes hold of it
const STILL_PIXELS = 3; // a pointer that moved less between press and release has clicked
const LEAST = { point: 1, box: 2, polyline: 2, polygon: 3 };
const MOST = { point: 1, box: 2 };

const NOBODY = "00000000-0000-0000-0000-000000000000";

const distance = (one, two) => Math.hypot(...one.map((value, axis) => value - two[axis]));

// What is drawn of a place: the client closes no polygon by itself.
function shape(id, kind, points, description) {
  if (kind === "point") return { id, type: "point", points, description };
  if (kind === "box") return { id, type: "axis_aligned_bounding_box", points, description };
  return { id, type: "polyline", points: kind === "polygon" ? [...points, points[0]] : points, description };
}

const pointsOf = ({ type, coordinates }) => (type === "point" ? [coordinates] : coordinates);

export function regionControls(adapter, config) {
  if (!config.frame) return;
  const editor = config.may_draw ? new Editor(adapter, config) : null;
  const list = document.getElementById("regions");
  const show = (region) => {
    const points = region.geometry.type === "mesh" ? region.geometry.coordinates.vertices : pointsOf(region.geometry);
    adapter.moveTo([0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length));
  };
  const refresh = () => {
    list.replaceChildren(...config.regions.map((region) => row(region, config.pages, show, editor)));
    document.getElementById("regions-none").hidden = config.regions.length > 0;
    adapter.draw(config.names.regions, config.regions.filter((region) => region.id !== editor?.former?.id).map(drawn));
  };
  if (editor) editor.changed = refresh;
  refresh();
  fromElsewhere(adapter, config);
  begin(adapter, config);
}

// An address that names a region begins there, with room around it.
function begin(adapter, config) {
  const region = config.regions.find(({ id }) => id === config.begin);
  const far = config.elsewhere.find(({ id }) => id === config.begin);
  if (far) adapter.moveTo(far.middle);
  if (!region) return;
  const points = region.geometry.type === "mesh" ? region.geometry.coordinates.vertices : pointsOf(region.geometry);
  const ends = [Math.min, Math.max].map((pick) => [0, 1, 2].map((axis) => pick(...points.map((point) => point[axis]))));
  const size = Math.max(...[0, 1, 2].map((axis) => ends[1][axis] - ends[0][axis]));
  adapter.moveTo([0, 1, 2].map((axis) => (ends[0][axis] + ends[1][axis]) / 2));
  if (size > 0) adapter.fit([ends[0].map((value) => value - 1.5 * size), ends[1].map((value) => value + 1.5 * size)]);
}

// Regions of other frames are drawn by the server's word: they can be looked at and hidden, and corrected where they are from.
function fromElsewhere(adapter, config) {
  const middles = new Map(config.elsewhere.map((region) => [region.id, region.middle]));
  for (const shown of document.querySelectorAll("[data-elsewhere]")) {
    shown.addEventListener("click", () => adapter.moveTo(middles.get(shown.dataset.elsewhere)));
  }
  document.getElementById("elsewhere-visible")?.addEventListener("change", (event) => {
    adapter.setVisible(config.names.elsewhere, event.target.checked);
  });
}

function drawn(region) {
  const { type, coordinates } = region.geometry;
  if (type !== "mesh") return shape(region.id, type, pointsOf(region.geometry), region.name);
  const ends = [Math.min, Math.max].map((pick) => (
    [0, 1, 2].map((axis) => coordinates.vertices.reduce((found, vertex) => pick(found, vertex[axis]), coordinates.vertices[0][axis]))
  ));
  return shape(region.id, "box", ends, region.name);
}

function row(region, page, show, editor) {
  const item = document.createElement("li");
  const words = document.createElement("a");
  words.href = page.replace(NOBODY, region.id);
  words.textContent = region.name;
  const kind = document.createElement("span");
  kind.className = "cs-kind";
  kind.textContent = `${region.geometry.type}${region.version > 1 ? `, version ${region.version}` : ""}`;
  item.append(words, " ", kind, " ", button("Show", region, () => show(region)));
  if (editor && region.geometry.type in LEAST) item.append(" ", button("Edit", region, () => editor.correct(region)));
  return item;
}

function button(word, region, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "btn btn-sm btn-outline-secondary";
  made.textContent = word;
  made.setAttribute("aria-label", `${word} ${region.name}`);
  made.addEventListener("click", act);
  return made;
}

// One region being drawn or corrected: its points in the picture and in the form say the same.
class Editor {
  constructor(adapter, config) {
    this.adapter = adapter;
    this.config = config;
    this.kind = null;
    this.points = [];
    this.former = null;
    this.closed = false;
    this.held = -1;
    this.changed = () => {};
    this.form = document.getElementById("region-form");
    this.words = document.getElementById("region-words");
    this.#wire();
  }

  // ------------------------------------------------------------------------------------------------------ beginning
  begin(kind) {
    this.#reset();
    this.kind = kind;
    this.#press();
    this.#say(kind === "point" ? "Click the place in the picture. Escape gives up."
      : kind === "box" ? "Click two opposite corners in the picture. Escape gives up."
        : "Click the points in the picture. Enter ends, Backspace takes the last one back, Escape gives up.");
  }

  correct(region) {
    this.#reset();
    this.kind = region.geometry.type;
    this.former = region;
    this.points = structuredClone(pointsOf(region.geometry));
    this.form.elements.name.value = region.name;
    this.form.elements.purpose.value = region.purpose;
    this.#say("Drag a point in the picture, or change its numbers. Saving makes a new version.");
    this.#finish();
    this.changed();
  }

  stop() {
    this.#reset();
    this.#say("");
    this.changed();
  }

  #reset() {
    Object.assign(this, { kind: null, points: [], former: null, closed: false, held: -1 });
    this.form.hidden = true;
    this.form.reset();
    this.#refused("");
    this.#press();
    this.#draw();
  }

  // -------------------------------------------------------------------------------------------------------- drawing
  #wire() {
    const inside = this.adapter.frame.contentWindow;
    for (const tool of document.querySelectorAll("[data-draw]")) {
      tool.addEventListener("click", () => (this.kind === tool.dataset.draw && !this.former ? this.stop() : this.begin(tool.dataset.draw)));
    }
    let pressed = null;
    inside.addEventListener("mousedown", (event) => {
      pressed = event.button === 0 && !event.ctrlKey && !event.shiftKey ? [event.clientX, event.clientY] : null;
      this.held = this.kind && pressed ? this.#near(this.adapter.pointAt(event)) : -1;
      if (this.held >= 0) { event.stopPropagation(); event.preventDefault(); inside.focus(); }
    }, { capture: true });
    inside.addEventListener("mousemove", (event) => {
      const point = this.held >= 0 && event.buttons & 1 ? this.adapter.pointAt(event) : null;
      if (!point) return;
      this.points[this.held] = point;
      this.#draw();
    }, { capture: true });
    inside.addEventListener("mouseup", (event) => {
      const still = pressed && distance(pressed, [event.clientX, event.clientY]) <= STILL_PIXELS;
      const [held, point] = [this.held, this.adapter.pointAt(event)];
      pressed = null;
      this.held = -1;
      if (held >= 0) this.#tell();
      else if (this.kind && still && point && !this.closed) this.#add(point);
    }, { capture: true });
    for (const where of [document, inside]) where.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
    this.form.elements.points.addEventListener("change", () => this.#read());
    document.getElementById("region-discard").addEventListener("click", () => this.stop());
  }

  #near(point) {
    if (!point) return -1;
    const apart = this.points.map((other) => distance(other, point) / this.adapter.scale());
    const nearest = apart.indexOf(Math.min(...apart));
    return nearest >= 0 && apart[nearest] <= NEAR_PIXELS && this.closed ? nearest : -1;
  }

  #add(point) {
    this.points.push(point);
    if (this.points.length >= (MOST[this.kind] ?? Infinity)) this.#finish();
    this.#draw();
  }

  #key(event) {
    if (!this.kind || event.target.closest?.("input, textarea, select, button")) return;
    if (event.key === "Escape") this.stop();
    else if (event.key === "Backspace" && !this.closed) { this.points.pop(); this.#draw(); }
    else if (event.key === "Enter" && !this.closed) {
      if (this.points.length >= LEAST[this.kind]) this.#finish();
      else this.#say(`A ${this.kind} has at least ${LEAST[this.kind]} points; there are ${this.points.length}.`);
    } else return;
    event.preventDefault();
  }

  #finish() {
    this.closed = true;
    this.form.hidden = false;
    document.getElementById("region-title").textContent = this.former ? `Correct ${this.former.name}` : `New ${this.kind}`;
    this.#draw();
    this.#tell();
    if (!this.former) {
      this.#say("Drag a point to correct it, give the region a name, and save it.");
      this.form.elements.name.focus();
    }
  }

  #draw() {
    const kind = this.kind === "polygon" && !this.closed ? "polyline" : this.kind;
    const whole = this.points.length >= (LEAST[kind] ?? Infinity);
    const marks = this.points.map((point, number) => shape(`draft-${number}`, "point", [point], ""));
    const outline = whole && kind !== "point" ? [shape("draft", kind, this.points, "")] : [];
    this.adapter.draw(this.config.names.draft, [...outline, ...marks]);
  }

  // ----------------------------------------------------------------------------------------------------------- form
  #tell() {
    const digits = Math.min(9, Math.max(0, 3 - Math.floor(Math.log10(this.adapter.scale()))));
    this.told = this.points.map((point) => point.map((value) => Number(value.toFixed(digits))).join(", ")).join("\n");
    this.form.elements.points.value = this.told;
  }

  #read() {
    const rows = this.form.elements.points.value.trim().split("\n").map((line) => line.split(/[,;\s]+/).filter(Boolean).map(Number));
    if (rows.some((row) => row.length !== 3 || !row.every(Number.isFinite))) {
      this.#refused("A point is three numbers, x, y, z, a line each.");
      return false;
    }
    this.#refused("");
    this.points = rows;
    this.#draw();
    return true;
  }

  async #save() {
    // The text is rounded to what the zoom shows: it is read back only if somebody changed it.
    if (this.form.elements.points.value !== this.told && !this.#read()) return;
    const fields = this.form.elements;
    const coordinates = this.kind === "point" ? this.points[0] : this.points;
    const body = {
      frame: this.config.frame, name: fields.name.value, purpose: fields.purpose.value,
      geometry: { type: this.kind, coordinates }, ...(this.former ? { supersedes: this.former.id } : {}),
    };
    const answer = await fetch(this.config.rois, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": this.config.token() },
      body: JSON.stringify(body),
    });
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      this.#refused(found.detail ?? found.title ?? `The server answered ${answer.status}.`);
      return;
    }
    const others = this.config.regions.filter((region) => region.id !== this.former?.id);
    this.config.regions = [{ ...found, purpose: found.purpose ?? "" }, ...others];
    this.stop();
    this.#say(`Saved ${found.name}.`);
  }

  #refused(words) {
    const said = document.getElementById("region-error");
    said.textContent = words;
    said.hidden = !words;
  }

  #say(words) { this.words.textContent = words; }

  #press() {
    for (const tool of document.querySelectorAll("[data-draw]")) {
      tool.setAttribute("aria-pressed", String(tool.dataset.draw === this.kind && !this.former));
    }
  }
}
