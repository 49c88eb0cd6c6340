// Affine maps, errors of mapped points, and the geometry of a plane through a frame.  Lengths in micrometres.
export const PLANES = { xy: [0, 1, 2], xz: [0, 2, 1], yz: [1, 2, 0] }; // axes to the right, down, and normal to it
export const WORDS = ["x", "y", "z"];

export const apply = (m, p) => [0, 1, 2].map((row) => m[row][0] * p[0] + m[row][1] * p[1] + m[row][2] * p[2] + m[row][3]);
export const turn = (m, v) => [0, 1, 2].map((row) => m[row][0] * v[0] + m[row][1] * v[1] + m[row][2] * v[2]);
export const distance = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);

export function invert(m) {
  const [[a, b, c], [d, e, f], [g, h, i]] = m;
  const minors = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  const det = a * minors[0][0] + b * minors[1][0] + c * minors[2][0];
  const linear = minors.map((row) => row.map((value) => value / det));
  const shift = turn(linear, [m[0][3], m[1][3], m[2][3]]);
  return [...linear.map((row, index) => [...row, -shift[index]]), [0, 0, 0, 1]];
}

const product = (p, q) => p.map((row) => q[0].map((_, column) => row.reduce((sum, value, k) => sum + value * q[k][column], 0)));
const flipped = (p) => p[0].map((_, column) => p.map((row) => row[column]));

// Covariance of a mapped point: J(p) = I (x) (x, y, z, 1) on both sides of that of the 12 entries (GUM, 5.1.2).
export function spreadAt(covariance, p) {
  const one = [...p, 1];
  return [0, 1, 2].map((i) => [0, 1, 2].map((j) => {
    let sum = 0;
    for (let k = 0; k < 4; k += 1) for (let l = 0; l < 4; l += 1) sum += one[k] * covariance[4 * i + k][4 * j + l] * one[l];
    return sum;
  }));
}

// The same taken back: A^-1 S A^-T.
export function spreadBack(inverse, spread) {
  const linear = inverse.slice(0, 3).map((row) => row.slice(0, 3));
  return product(product(linear, spread), flipped(linear));
}

// The shadow of an ellipsoid on a plane: half axes in the units of the square root of the covariance, and the angle of
// the longer one from the axis to the right towards the one down.
export function shadow(spread, plane) {
  const [right, down] = PLANES[plane];
  const [a, b, d] = [spread[right][right], spread[right][down], spread[down][down]];
  const middle = (a + d) / 2;
  const half = Math.hypot((a - d) / 2, b);
  return { long: Math.sqrt(Math.max(0, middle + half)), short: Math.sqrt(Math.max(0, middle - half)), angle: Math.atan2(2 * b, a - d) / 2 };
}

export const factorOf = (m) => Math.cbrt(Math.abs(
  m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]),
));

export const digitsFor = (um) => Math.min(9, Math.max(0, 1 - Math.floor(Math.log10(um))));

// A length in the unit that reads best.
export function length(um, digits = 3) {
  if (!(um > 0)) return "0 µm";
  const [size, unit] = [[1e4, "cm"], [1e3, "mm"], [1, "µm"], [1e-3, "nm"]].find(([least]) => um >= least * 0.9995) ?? [1e-3, "nm"];
  return `${Number((um / size).toPrecision(digits))} ${unit}`;
}

// The largest of 1, 2 and 5 times a power of ten that is no longer.
export function nice(um) {
  const power = 10 ** Math.floor(Math.log10(um));
  return [5, 2, 1].map((step) => step * power).find((step) => step <= um * (1 + 1e-9));
}

export const place = (point, digits) => point.map((value) => value.toFixed(digits)).join(", ");
