// What is drawn over the pictures: numbered pairs, where the fit puts them, the pointer of the other pane.
import { PLANES, shadow } from "./register-maths.js";

const COLOURS = { active: "#56b4e9", held_out: "#f0e442", rejected: "#9aa4ad", suspect: "#ff7a1a", ghost: "#ff8ad8" };
const SIZE = 9;
const FAINT = 0.35;

function stroke(ctx, colour, thick, path) {
  for (const [ink, width] of [["#000b", thick + 2.5], [colour, thick]]) {
    ctx.strokeStyle = ink;
    ctx.lineWidth = width;
    ctx.beginPath();
    path();
    ctx.stroke();
  }
}

function ellipse(ctx, pane, point, spread, factor, colour, dashed = false) {
  const { long, short, angle } = shadow(spread, pane.view.plane);
  const [x, y] = pane.toCanvas(point);
  const half = (value) => Math.max((factor * value) / pane.view.scale, 0.75);
  if (half(long) > 20000) return;
  ctx.setLineDash(dashed ? [5, 4] : []);
  stroke(ctx, colour, 1.4, () => ctx.ellipse(x, y, half(long), half(short), angle, 0, 2 * Math.PI));
  ctx.setLineDash([]);
}

export class Marks {
  constructor(pairs, known) { Object.assign(this, { pairs, known, ghosts: { source: null, target: null } }); }

  draw(ctx, pane) {
    const fit = this.known();
    for (const pair of this.pairs.list) {
      if (pair[pane.side]) this.#pair(ctx, pane, pair, fit);
    }
    this.#ghost(ctx, pane);
  }

  near(pane, x, y, within) {
    let found = null;
    for (const pair of this.pairs.list) {
      if (!pair[pane.side]) continue;
      const [right, down, depth] = pane.toCanvas(pair[pane.side]);
      const apart = Math.hypot(right - x, down - y);
      if (apart <= within && Math.abs(depth) <= this.#thick(pane) && (!found || apart < found.apart)) found = { id: pair.id, apart };
    }
    return found?.id ?? null;
  }

  #thick(pane) { return 0.51 * pane.config.spacing[PLANES[pane.view.plane][2]]; }

  #pair(ctx, pane, pair, fit) {
    const [x, y, depth] = pane.toCanvas(pair[pane.side]);
    const suspect = fit?.suspects?.includes(pair.id);
    const colour = suspect ? COLOURS.suspect : COLOURS[pair.state];
    const chosen = pair.id === this.pairs.selected;
    ctx.globalAlpha = Math.abs(depth) <= this.#thick(pane) ? 1 : FAINT;
    if (pane.side === "target" && fit && pair.source) this.#predicted(ctx, pane, pair, fit, colour, [x, y]);
    // The middle stays free: what was clicked is to be seen.
    stroke(ctx, colour, chosen ? 2.6 : 1.6, () => {
      for (const [right, down] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        ctx.moveTo(x + 3 * right, y + 3 * down);
        ctx.lineTo(x + SIZE * right, y + SIZE * down);
      }
      if (suspect) { ctx.moveTo(x + 14, y); ctx.arc(x, y, 14, 0, 2 * Math.PI); }
      if (chosen) ctx.rect(x - SIZE - 3, y - SIZE - 3, 2 * SIZE + 6, 2 * SIZE + 6);
    });
    this.#label(ctx, `${this.pairs.numberOf(pair.id)}${suspect ? " ?" : ""}`, x + SIZE + 4, y - SIZE - 2, colour);
    ctx.globalAlpha = 1;
  }

  // Where the fit puts the source point, with its 95 % ellipse, and the residual as a line.
  #predicted(ctx, pane, pair, fit, colour, [x, y]) {
    const { point, spread } = fit.map("source", pair.source);
    const [right, down] = pane.toCanvas(point);
    stroke(ctx, colour, 1.2, () => { ctx.moveTo(x, y); ctx.lineTo(right, down); });
    if (spread && fit.factor) ellipse(ctx, pane, point, spread, fit.factor, colour);
  }

  #ghost(ctx, pane) {
    const ghost = this.ghosts[pane.side];
    if (!ghost) return;
    const [x, y, depth] = pane.toCanvas(ghost.point);
    const off = Math.abs(depth) > this.#thick(pane);
    ctx.globalAlpha = off ? 0.6 : 1;
    stroke(ctx, COLOURS.ghost, 1.4, () => {
      ctx.moveTo(x - 12, y);
      ctx.lineTo(x + 12, y);
      ctx.moveTo(x, y - 12);
      ctx.lineTo(x, y + 12);
    });
    if (ghost.spread && ghost.factor) ellipse(ctx, pane, ghost.point, ghost.spread, ghost.factor, COLOURS.ghost, off);
    ctx.globalAlpha = 1;
  }

  #label(ctx, words, x, y, colour) {
    ctx.font = "700 13px system-ui, sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    const wide = ctx.measureText(words).width;
    ctx.fillStyle = "#000c";
    ctx.fillRect(x - 3, y - 9, wide + 6, 18);
    ctx.fillStyle = colour;
    ctx.fillText(words, x, y);
  }
}
