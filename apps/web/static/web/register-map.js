// The map of predicted error over the target: a grid of points, one question to the server, colours and contours.
import { PLANES, length, nice } from "./register-maths.js";

const CELL = 24; // pixels between points of the grid
const MOST_CONTOURS = 7;
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

// Points of a pane's plane on a grid a little larger than the pane.
export function gridOf(pane) {
  const [width, height] = pane.size;
  const [columns, rows] = [Math.ceil(width / CELL) + 1, Math.ceil(height / CELL) + 1];
  const points = [];
  for (let row = 0; row < rows; row += 1) for (let column = 0; column < columns; column += 1) points.push(pane.toPoint(column * CELL, row * CELL));
  const { at, scale, plane } = pane.view;
  return { points, columns, rows, first: points[0], step: CELL * scale, plane, key: JSON.stringify([at, scale, plane, width, height]) };
}

function colourAt(share) {
  const place = Math.min(0.9999, Math.max(0, share)) * (VIRIDIS.length - 1);
  const [low, rest] = [Math.floor(place), place % 1];
  return VIRIDIS[low].map((value, channel) => Math.round(value + rest * (VIRIDIS[low + 1][channel] - value)));
}

export class ErrorMap {
  constructor() { Object.assign(this, { grid: null, values: null, canvas: document.createElement("canvas") }); }

  clear() { this.values = null; }

  set(grid, values) {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    // By ratio, not by difference: the error inside of the landmarks is what is worked with, and it is the small one.
    const span = Math.log(Math.max(most / least, 1.0001));
    Object.assign(this, { grid, values, least, most });
    Object.assign(this.canvas, { width: grid.columns, height: grid.rows });
    const ctx = this.canvas.getContext("2d");
    const image = ctx.createImageData(grid.columns, grid.rows);
    values.forEach((value, index) => image.data.set([...colourAt(Math.log(value / least) / span), 255], 4 * index));
    ctx.putImageData(image, 0, 0);
    this.contours = this.#levels().map((level) => ({ level, lines: contour(grid, values, level) }));
  }

  #levels() {
    const found = [];
    for (let power = Math.floor(Math.log10(this.least)); power <= Math.log10(this.most); power += 1) {
      for (const step of [1, 2, 5]) {
        const level = step * 10 ** power;
        if (level > this.least && level < this.most) found.push(level);
      }
    }
    if (!found.length) {
      const between = this.most - this.least;
      const step = between > 0 ? nice(between / 3) : 0;
      for (let level = Math.ceil(this.least / step) * step; step && level < this.most; level += step) found.push(level);
    }
    return found.filter((_, index) => index % Math.ceil(found.length / MOST_CONTOURS) === 0);
  }

  draw(ctx, pane) {
    if (!this.values || this.grid.plane !== pane.view.plane) return;
    const { grid } = this;
    const [right, down] = PLANES[grid.plane];
    const spot = (column, row) => {
      const point = [...grid.first];
      point[right] += column * grid.step;
      point[down] += row * grid.step;
      return pane.toCanvas(point);
    };
    // The middle of each cell of the small picture lies on its point of the grid.
    const [left, top] = spot(-0.5, -0.5);
    const [end, foot] = spot(grid.columns - 0.5, grid.rows - 0.5);
    ctx.save();
    ctx.globalAlpha = 0.42;
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(this.canvas, left, top, end - left, foot - top);
    ctx.globalAlpha = 1;
    ctx.font = "600 12px system-ui, sans-serif";
    for (const { level, lines } of this.contours) this.#line(ctx, lines.map(([a, b]) => [spot(...a), spot(...b)]), level, pane);
    ctx.restore();
  }

  #line(ctx, lines, level, pane) {
    for (const [colour, thick] of [["#000c", 3], ["#fff", 1.3]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = thick;
      ctx.beginPath();
      for (const [a, b] of lines) { ctx.moveTo(...a); ctx.lineTo(...b); }
      ctx.stroke();
    }
    const [width, height] = pane.size;
    const inside = lines.filter(([[x, y]]) => x > 30 && x < width - 60 && y > 20 && y < height - 45);
    if (!inside.length) return;
    const [[x, y]] = inside[Math.floor(inside.length / 2)];
    const words = length(level);
    const wide = ctx.measureText(words).width;
    ctx.fillStyle = "#000c";
    ctx.fillRect(x - 3, y - 9, wide + 6, 17);
    ctx.fillStyle = "#fff";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(words, x, y);
  }
}

// Marching squares: segments in units of the grid, each [[column, row], [column, row]].
export function contour({ columns, rows }, values, level) {
  const segments = [];
  const value = (column, row) => values[row * columns + column];
  for (let row = 0; row + 1 < rows; row += 1) {
    for (let column = 0; column + 1 < columns; column += 1) {
      const corners = [[column, row], [column + 1, row], [column + 1, row + 1], [column, row + 1]];
      const crossed = [];
      corners.forEach((from, index) => {
        const to = corners[(index + 1) % 4];
        const [a, b] = [value(...from), value(...to)];
        if (a < level === b < level) return;
        const share = (level - a) / (b - a);
        crossed.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
      });
      for (let index = 0; index + 1 < crossed.length; index += 2) segments.push([crossed[index], crossed[index + 1]]);
    }
  }
  return segments;
}
