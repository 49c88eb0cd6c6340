// The fit: asked of the server, which stores nothing, and told in words.
import { apply, invert, length, spreadAt, spreadBack } from "./register-maths.js";

export async function ask(address, body, token) {
  const answer = await fetch(address, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token() },
    body: JSON.stringify(body),
  });
  const found = await answer.json().catch(() => ({}));
  if (answer.ok) return found;
  const error = new Error(found.detail ?? found.title ?? `The server answered ${answer.status}.`);
  throw Object.assign(error, { status: answer.status, problem: found });
}

// A map that is known: of a fit, or of the accepted transforms on a path (which has no error here).
export class Known {
  constructor(matrix, covariance = null, factor = null) {
    Object.assign(this, { matrix, covariance, factor, inverse: invert(matrix) });
  }

  // A point of one side in the other, and its covariance there; null where no error is known.
  map(side, point) {
    if (side === "source") return { point: apply(this.matrix, point), spread: this.covariance && spreadAt(this.covariance, point) };
    const there = apply(this.inverse, point);
    return { point: there, spread: this.covariance && spreadBack(this.inverse, spreadAt(this.covariance, there)) };
  }
}

// What a fit says, by pair.
export class Fit extends Known {
  constructor(answer, ids, key) {
    super(answer.matrix, answer.covariance, answer.factor_95);
    Object.assign(this, { answer, ids, key, suspects: answer.suspects.map((index) => ids[index]) });
  }

  of(id) {
    const index = this.ids.indexOf(id);
    if (index < 0) return null;
    const [residual, left] = [this.answer.residuals_um[index], this.answer.leave_one_out_um[index]];
    const suspect = this.suspects.includes(id) ? `Suspect: ${this.why(id)}` : undefined;
    return { residual: length(residual), left: left === null ? "" : length(left), suspect };
  }

  why(id) {
    const left = this.answer.leave_one_out_um[this.ids.indexOf(id)];
    const others = this.answer.leave_one_out_um.filter((value, index) => value !== null && !this.suspects.includes(this.ids[index])).sort((a, b) => a - b);
    const usual = others.length ? ` (${length(others[Math.floor(others.length / 2)])} for the pair in the middle of the others)` : "";
    return left === null
      ? "a robust fit of the others passes it by"
      : `a robust fit passes it by; the map of the other pairs misses it by ${length(left)}${usual}`;
  }
}

const number = (value, digits) => Number(value.toFixed(digits));

// Rows of the list of results: [term, words].
export function told(fit) {
  const { answer } = fit;
  const { decomposition: parts, facts } = answer;
  const planar = facts.fit.planar;
  const rows = [["Residual, root mean square", length(answer.residual_um)]];
  rows.push(["Degrees of freedom", `${facts.fit.degrees_of_freedom}, ${planar ? "in the plane" : "in space"}`]);
  rows.push(["Error", {
    landmarks: "from the errors stated for the pairs", residuals: "from the residuals",
  }[facts.fit.covariance_from] ?? facts.fit.covariance_from]);
  if (facts.held_out) rows.push(["Held out", heldOut(facts.held_out)]);
  const axis = parts.axis.map((value) => number(value, 2)).join(", ");
  const angle = planar ? parts.euler_deg[2] : parts.angle_deg;
  rows.push(["Turn", Math.abs(angle) < 5e-4 ? "none" : `${number(angle, 3)}°${planar ? "" : ` about (${axis})`}`]);
  const scales = parts.scales.slice(0, 3).map((value) => number(value, 5));
  const same = scales.every((value) => Math.abs(value - scales[0]) < 1e-5);
  rows.push(["Scale", same ? `× ${scales[0]}${scales[0] === 1 ? ", lengths stay" : ""}` : `× ${scales.join(", ")} along its main directions`]);
  rows.push(["Shear", parts.shear < 1e-6 ? "none" : `${number(parts.shear * 100, 3)} %`]);
  rows.push(["Shift of the origin", `${parts.translation_um.map((value) => Number(value.toPrecision(6))).join(", ")} µm`]);
  return rows;
}

function heldOut({ count, rms_um: rms, agrees, p_value: p }) {
  const words = `${count} pair${count === 1 ? "" : "s"}, missed by ${length(rms)} root mean square`;
  if (agrees === undefined) return `${words}; whether that agrees with the stated error cannot be told`;
  return `${words}; ${agrees ? "agrees with" : "contradicts"} the stated error (p = ${Number(p.toPrecision(2))})`;
}

// A refusal, with the number of the pair in the table in place of its place in the request.
export function refusal(error, pairs, ids) {
  const fields = Object.keys(error.problem?.errors ?? {});
  const at = fields.map((field) => /^landmarks\.(\d+)(?:\.(\w+))?/.exec(field)).find(Boolean);
  if (!at) return error.message;
  const words = error.problem.errors[at.input]?.[0] ?? error.message;
  return `Pair ${pairs.numberOf(ids[Number(at[1])])}${at[2] ? `, ${at[2]}` : ""}: ${words}`;
}
