// One slice pane: a canvas over cuts that the server makes for exactly the pixels shown.
//
// A point of the frame that lies in the plane shown is at canvas pixel
//   x = width / 2 + (p[right] - at[right]) / scale,   y = height / 2 + (p[down] - at[down]) / scale
// in CSS pixels, where the pixel n spans from n to n + 1 and has its centre at n + 1/2.  The centre of sample 0 is the
// origin of the frame; no half sample appears.
import { PLANES, digitsFor, length, nice, turn, apply } from "./register-maths.js";

const NEAR = 10; // pixels within which a press takes hold of a mark
const STILL = 4; // pixels that a click may move
const MOST_SCALE = 4; // the whole image may be shrunk to a quarter of the pane
const STEP = 40; // pixels that an arrow key moves

// Pictures of one address after another: while one is on its way only the newest wish is kept.
class Picture {
  constructor(changed) { Object.assign(this, { changed, shown: null, wish: null, busy: false, failed: "" }); }

  want(wish) {
    if (!wish) { this.wish = null; this.shown = null; return; }
    if (wish.address === this.shown?.address) { this.wish = null; return; }
    this.wish = wish;
    if (!this.busy) this.#next();
  }

  async #next() {
    this.busy = true;
    while (this.wish) {
      const wish = this.wish;
      try {
        const answer = await fetch(wish.address, { credentials: "same-origin" });
        if (!answer.ok) throw new Error(answer.status === 400 ? await answer.text() : `the server answered ${answer.status}`);
        const bitmap = await createImageBitmap(await answer.blob());
        this.shown = { ...wish, bitmap: wish.colour ? tinted(bitmap, wish.colour) : bitmap };
        this.failed = "";
      } catch (error) {
        this.failed = error.message;
      }
      if (this.wish === wish) this.wish = null;
      this.changed();
    }
    this.busy = false;
    this.changed();
  }
}

function tinted(bitmap, colour) {
  const made = new OffscreenCanvas(bitmap.width, bitmap.height);
  const ctx = made.getContext("2d");
  ctx.drawImage(bitmap, 0, 0);
  ctx.globalCompositeOperation = "multiply";
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, made.width, made.height);
  ctx.globalCompositeOperation = "destination-in";
  ctx.drawImage(bitmap, 0, 0);
  return made;
}

export class Pane {
  constructor(side, config, on) {
    Object.assign(this, { side, config, on, layers: [], over: null, shows: "both", held: null, byKey: false });
    this.canvas = document.getElementById(`pane-${side}`);
    this.ctx = this.canvas.getContext("2d");
    this.settings = { low: config.window[0], high: config.window[1], c: 0, t: 0 };
    const redraw = () => this.draw();
    this.picture = new Picture(redraw);
    this.overlay = new Picture(redraw);
    this.view = { plane: "xy", at: [0, 0, 0], scale: 1 };
    this.canvas.pane = this; // for the tests, and for who works in the browser's console
    this.#wire();
    this.home();
    new ResizeObserver(() => this.refresh()).observe(this.canvas);
  }

  // ------------------------------------------------------------------------------------------------------- geometry
  get size() { return [this.canvas.clientWidth || 1, this.canvas.clientHeight || 1]; }

  get axes() { return PLANES[this.view.plane]; }

  toCanvas(point) {
    const [right, down, normal] = this.axes;
    const { at, scale } = this.view;
    const [width, height] = this.size;
    return [width / 2 + (point[right] - at[right]) / scale, height / 2 + (point[down] - at[down]) / scale, point[normal] - at[normal]];
  }

  toPoint(x, y) {
    const [right, down] = this.axes;
    const { at, scale } = this.view;
    const [width, height] = this.size;
    const point = [...at];
    point[right] += (x - width / 2) * scale;
    point[down] += (y - height / 2) * scale;
    return point;
  }

  // What is under the pointer is the pixel that it names, and that is where its centre is.
  pixelOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const half = 0.5 / (window.devicePixelRatio || 1);
    return [event.clientX - box.left + half, event.clientY - box.top + half];
  }

  get extent() { return this.config.sizes.map((count, axis) => count * this.config.spacing[axis]); }

  get slices() { return this.config.sizes[this.axes[2]]; }

  get slice() {
    const normal = this.axes[2];
    return this.#sliceAt(this.view.at[normal]);
  }

  #sliceAt(um) {
    const normal = this.axes[2];
    return Math.min(this.config.sizes[normal] - 1, Math.max(0, Math.round(um / this.config.spacing[normal])));
  }

  // ----------------------------------------------------------------------------------------------------------- moving
  // By the user: whoever listens is told.
  #moved(change) {
    Object.assign(this.view, change);
    this.#limit();
    this.refresh();
    this.on.moved(this);
  }

  // By the page: nobody is told.
  moveTo(point, scale = this.view.scale) {
    this.view.at = [...point];
    this.view.scale = scale;
    this.#limit();
    this.refresh();
  }

  #limit() {
    const { at } = this.view;
    const normal = this.axes[2];
    at[normal] = this.#sliceAt(at[normal]) * this.config.spacing[normal];
    const finest = Math.min(...this.config.spacing);
    this.view.scale = Math.min(Math.max(this.view.scale, finest / 64), this.#wholeScale() * MOST_SCALE);
    for (const axis of this.axes.slice(0, 2)) at[axis] = Math.min(Math.max(at[axis], 0), this.extent[axis]);
  }

  #wholeScale() {
    const [width, height] = this.size;
    const [right, down] = this.axes;
    return Math.max(this.extent[right] / width, this.extent[down] / height) * 1.04;
  }

  home() {
    const middle = this.config.sizes.map((count, axis) => ((count - 1) / 2) * this.config.spacing[axis]);
    this.view.at = middle;
    this.view.scale = this.#wholeScale();
    this.#limit();
    this.refresh();
  }

  setPlane(plane) {
    this.view.plane = plane;
    this.#limit();
    this.refresh();
    this.on.moved(this);
  }

  setSlice(index) {
    const normal = this.axes[2];
    const at = [...this.view.at];
    at[normal] = Math.min(this.slices - 1, Math.max(0, index)) * this.config.spacing[normal];
    this.#moved({ at });
  }

  zoom(factor, x = this.size[0] / 2, y = this.size[1] / 2) {
    const kept = this.toPoint(x, y);
    this.view.scale *= factor;
    this.#limit();
    const now = this.toPoint(x, y);
    this.#moved({ at: this.view.at.map((value, axis) => value + kept[axis] - now[axis]) });
  }

  pan(right, down) { this.#moved({ at: this.toPoint(this.size[0] / 2 + right, this.size[1] / 2 + down) }); }

  // --------------------------------------------------------------------------------------------------------- pictures
  #grid(address, config, settings, matrix, more = "") {
    const ratio = window.devicePixelRatio || 1;
    const [columns, rows] = this.size.map((pixels) => Math.max(1, Math.round(pixels * ratio)));
    const step = [this.size[0] / columns, this.size[1] / rows];
    const [right, down] = this.axes;
    const along = (axis, pixels) => [0, 1, 2].map((other) => (other === axis ? pixels * this.view.scale : 0));
    const first = this.toPoint(step[0] / 2, step[1] / 2);
    const mapped = matrix
      ? [apply(matrix, first), turn(matrix, along(right, step[0])), turn(matrix, along(down, step[1]))]
      : [first, along(right, step[0]), along(down, step[1])];
    const query = new URLSearchParams({
      origin: mapped[0].join(), right: mapped[1].join(), down: mapped[2].join(), columns, rows, c: settings.c, t: settings.t,
    });
    if (!config.labels) { query.set("low", settings.low); query.set("high", settings.high); }
    return { address: `${address}?${query}${more}`, at: [...this.view.at], plane: this.view.plane, scale: this.view.scale, size: this.size };
  }

  refresh() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = this.size.map((pixels) => Math.max(1, Math.round(pixels * ratio)));
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.picture.want(this.#grid(this.config.cut, this.config, this.settings, null));
    const { over } = this;
    this.overlay.want(over ? { ...this.#grid(over.pane.config.cut, over.pane.config, over.pane.settings, over.matrix), colour: over.colour } : null);
    this.on.viewed(this);
    this.draw();
  }

  // --------------------------------------------------------------------------------------------------------- drawing
  draw() {
    const { ctx, canvas } = this;
    const [width, height] = this.size;
    ctx.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
    ctx.fillStyle = "#000";
    ctx.fillRect(0, 0, width, height);
    ctx.imageSmoothingEnabled = false;
    if (this.shows !== "over" || !this.over) this.#drawPicture(this.picture.shown, 1);
    if (this.over && this.shows !== "under") this.#drawPicture(this.overlay.shown, this.shows === "over" ? 1 : this.over.opacity);
    for (const layer of this.layers) layer(ctx, this);
    this.#drawBar(width, height);
    if (this.byKey && document.activeElement === canvas) this.#drawCross(width, height);
    const waits = this.picture.busy || this.overlay.busy || this.picture.wish || this.overlay.wish;
    canvas.dataset.busy = String(Boolean(waits));
    this.on.said(this, this.picture.failed || (this.over && this.overlay.failed) || "");
  }

  #drawPicture(shown, opacity) {
    if (!shown || shown.plane !== this.view.plane) return;
    const [right, down] = this.axes;
    const left = this.size[0] / 2 + (shown.at[right] - this.view.at[right] - (shown.size[0] / 2) * shown.scale) / this.view.scale;
    const top = this.size[1] / 2 + (shown.at[down] - this.view.at[down] - (shown.size[1] / 2) * shown.scale) / this.view.scale;
    const times = shown.scale / this.view.scale;
    this.ctx.globalAlpha = opacity;
    this.ctx.drawImage(shown.bitmap, left, top, shown.size[0] * times, shown.size[1] * times);
    this.ctx.globalAlpha = 1;
  }

  #drawBar(width, height) {
    const { ctx } = this;
    const um = nice(this.view.scale * width * 0.25);
    const pixels = um / this.view.scale;
    ctx.fillStyle = "#000b";
    ctx.fillRect(8, height - 34, pixels + 12, 28);
    ctx.fillStyle = "#fff";
    ctx.fillRect(14, height - 13, pixels, 4);
    ctx.font = "600 13px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.fillText(length(um), 14, height - 18, Math.max(pixels, 40));
  }

  #drawCross(width, height) {
    const { ctx } = this;
    for (const [colour, thick] of [["#000", 3], ["#ffd43b", 1.2]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = thick;
      ctx.beginPath();
      for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        ctx.moveTo(width / 2 + 5 * x, height / 2 + 5 * y);
        ctx.lineTo(width / 2 + 22 * x, height / 2 + 22 * y);
      }
      ctx.stroke();
    }
  }

  // ------------------------------------------------------------------------------------------------ pointer and keys
  #wire() {
    const { canvas } = this;
    let pressed = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.byKey = false;
      const [x, y] = this.pixelOf(event);
      const mark = this.on.markAt(this, x, y, NEAR);
      pressed = { x, y, at: [...this.view.at], moved: false, mark };
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = this.pixelOf(event);
      if (pressed && (pressed.moved || Math.hypot(x - pressed.x, y - pressed.y) > STILL)) {
        pressed.moved = true;
        if (pressed.mark) this.on.dragged(this, pressed.mark, this.toPoint(x, y), false);
        else this.#drag(pressed, x, y);
      }
      this.on.hovered(this, this.toPoint(x, y));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!pressed) return;
      const [x, y] = this.pixelOf(event);
      const was = pressed;
      pressed = null;
      if (was.moved && was.mark) this.on.dragged(this, was.mark, this.toPoint(x, y), true);
      else if (!was.moved && was.mark) this.on.picked(this, was.mark);
      else if (!was.moved) this.on.clicked(this, this.toPoint(x, y));
    });
    canvas.addEventListener("pointercancel", () => { pressed = null; });
    canvas.addEventListener("pointerleave", () => this.on.hovered(this, null));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const way = Math.sign(event.deltaY);
      const [x, y] = this.pixelOf(event);
      if (event.ctrlKey || event.metaKey || this.slices === 1) this.zoom(way > 0 ? 1.25 : 0.8, x, y);
      else if (way) this.setSlice(this.slice + way);
      this.on.hovered(this, this.toPoint(x, y));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => { this.byKey = canvas.matches(":focus-visible"); this.draw(); });
  }

  #drag(pressed, x, y) {
    const [right, down] = this.axes;
    const at = [...pressed.at];
    at[right] -= (x - pressed.x) * this.view.scale;
    at[down] -= (y - pressed.y) * this.view.scale;
    this.#moved({ at });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 1 : STEP;
    const acts = {
      ArrowLeft: () => this.pan(-step, 0), ArrowRight: () => this.pan(step, 0), ArrowUp: () => this.pan(0, -step), ArrowDown: () => this.pan(0, step),
      "+": () => this.zoom(0.8), "=": () => this.zoom(0.8), "-": () => this.zoom(1.25), Home: () => { this.home(); this.on.moved(this); },
      ",": () => this.setSlice(this.slice - 1), ".": () => this.setSlice(this.slice + 1),
      PageUp: () => this.setSlice(this.slice - 10), PageDown: () => this.setSlice(this.slice + 10),
      Enter: () => this.on.clicked(this, [...this.view.at]),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    this.byKey = true;
    act();
    this.on.hovered(this, [...this.view.at]);
    this.draw();
  }

  get digits() { return digitsFor(Math.min(...this.config.spacing, this.view.scale)); }
}
