// The position below the pointer, in the viewed frame and, with its error, in the specimen's frame.
const WAIT_MS = 180;
const SETTLED_MS = 60;
const WORDS = ["x", "y", "z"];

const digitsFor = (length) => Math.min(9, Math.max(0, 1 - Math.floor(Math.log10(length))));

// Two significant digits of the error; of the value as many places.
function withError(values, errors) {
  return values.map((value, axis) => {
    const digits = errors[axis] > 0 ? digitsFor(errors[axis]) : 3;
    return `${WORDS[axis]} ${value.toFixed(digits)} ± ${errors[axis].toFixed(digits)}`;
  }).join(", ");
}

// Half the sides of the box around the 95 % ellipsoid.  The server knows the factor, which depends on the degrees of
// freedom: it is the ellipsoid's longest half axis, `u95`, over the largest standard deviation.
function halfSides(covariance, u95) {
  const largest = Math.sqrt(largestEigenvalue(covariance));
  const factor = largest > 0 ? u95 / largest : 0;
  return [0, 1, 2].map((axis) => factor * Math.sqrt(Math.max(0, covariance[axis][axis])));
}

// Of a symmetric 3 x 3 matrix, by the trigonometric solution of its characteristic equation (Smith 1961).
export function largestEigenvalue(m) {
  const mean = (m[0][0] + m[1][1] + m[2][2]) / 3;
  const rest = m.map((row, i) => row.map((value, j) => value - (i === j ? mean : 0)));
  const spread = Math.sqrt(rest.flat().reduce((sum, value) => sum + value * value, 0) / 6);
  if (spread === 0) return mean;
  const [[a, b, c], [, d, e], [, , f]] = rest.map((row) => row.map((value) => value / spread));
  const half = (a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)) / 2;
  return mean + 2 * spread * Math.cos(Math.acos(Math.min(1, Math.max(-1, half))) / 3);
}

export function readout(adapter, config) {
  const here = document.getElementById("cursor-here");
  const there = document.getElementById("cursor-specimen");
  const unit = config.unit === null ? "samples" : "µm";
  const target = config.specimen_frame;
  let waiting = 0;
  let asked = 0;
  const show = (point) => {
    const digits = config.unit === null ? 1 : digitsFor(adapter.scale());
    here.textContent = `${point.map((value, axis) => `${WORDS[axis]} ${value.toFixed(digits)}`).join(", ")} ${unit}`;
  };
  const ask = async (point) => {
    const turn = (asked += 1);
    const said = await mapped(config, target.id, point).catch(() => "the server does not answer");
    if (turn === asked) there.textContent = said;
  };
  let last = null;
  const update = () => {
    const point = last && adapter.pointAt(last);
    if (!point) return;
    show(point);
    if (!target || target.id === config.frame) return;
    asked += 1; // an answer for another place is not to be shown any more
    there.textContent = "…";
    clearTimeout(waiting);
    waiting = setTimeout(ask, WAIT_MS, point);
  };
  adapter.document.addEventListener("mousemove", (event) => { last = event; update(); });
  // the wheel and keys move the plane under a pointer that rests; the client moves it in its next frame
  for (const kind of ["wheel", "keyup"]) {
    adapter.document.addEventListener(kind, () => setTimeout(update, SETTLED_MS), { passive: true });
  }
  show(adapter.position());
}

async function mapped(config, to, point) {
  const answer = await fetch(config.map, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": config.token() },
    body: JSON.stringify({ to, points: [point] }),
  });
  if (answer.status === 409) return "no accepted transform leads there";
  if (!answer.ok) return "cannot be computed";
  const found = await answer.json();
  const covariance = found.covariances[0];
  const warned = found.warnings.length && covariance ? "; the path is in doubt" : "";
  if (!covariance) {
    const plain = found.points[0].map((value, axis) => `${WORDS[axis]} ${value.toFixed(3)}`).join(", ");
    return `${plain} µm, error not known`;
  }
  return `${withError(found.points[0], halfSides(covariance, found.u95_um[0]))} µm (95 %)${warned}`;
}
