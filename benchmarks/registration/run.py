"""What registration is worth, on pairs made from a real volume of fibres with a known map between them.

    python -m benchmarks.registration.run [--seed 0] [--count 20] [--edge 96] [--only known capture ...]

Studies: ``known`` (rigid and affine, error against the truth), ``capture`` (random starts within 10 samples and 8
degrees), ``pairs`` (related pairs against unrelated ones: who is accepted), ``landmarks`` and ``intensity`` (does the
stated 95 % ellipsoid cover the truth at points away from landmarks and blocks).  Results go to
``benchmarks/results/registration.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from analyses.registration import affine, rigid
from analyses.registration.blocks import Overlay, entries, layout, refine
from analyses.registration.grids import Pixels
from analyses.registration.intensity import FLOOR, floor
from analyses.sdk.contract import PluginError, PluginSpec
from analyses.sdk.landmarks import fit_landmarks
from analyses.sdk.spatial import invert
from analyses.sdk.testing import image_value, run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.phantoms import Pair, about, errors, fibres, pair, rotation

RESULTS = Path(__file__).resolve().parents[1] / "results"
NEAR = {"search_deg": 10.0, "starts": 6}


def values(made: Pair) -> dict[str, Any]:
    both = {"fixed": (made.fixed, made.spacing), "moving": (made.moving, made.moving_spacing)}
    return {
        name: replace(image_value(samples, spacing_um=step, identifier=name), frame=name, handedness="right")
        for name, (samples, step) in both.items()
    }


def attempt(spec: PluginSpec, made: Pair, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run a plugin once: its error against the truth in samples, or why it refused."""
    begun = time.process_time()
    try:
        found = run_plugin(spec, params, values(made) | more)["transform"]
    except PluginError as refusal:
        return {"refused": refusal.name, "seconds": time.process_time() - begun}
    off = errors(found.matrix, made)
    mean = float(off.mean()) if len(off) else float("inf")
    return {"error": mean / made.spacing, "gap": found.facts["score_gap"], "seconds": time.process_time() - begun}


def known(seed: int, count: int, edge: int) -> dict[str, Any]:
    volume = fibres()
    told = {}
    for name, spec in (("rigid", rigid.SPEC), ("affine", affine.SPEC)):
        runs = []
        for number in range(count):
            made = pair(seed + number, edge=edge, shift=edge / 12, affine=name == "affine", volume=volume)
            runs.append(attempt(spec, made, NEAR))
        done = [run["error"] for run in runs if "error" in run]
        told[name] = {
            "runs": len(runs),
            "refused": len(runs) - len(done),
            "mean_error": float(np.mean(done)) if done else None,
            "largest_error": max(done, default=None),
            "seconds": float(np.mean([run["seconds"] for run in runs])),
        }
    return told


def capture(seed: int, count: int, edge: int) -> dict[str, Any]:
    made = pair(seed, edge=edge, degrees=20, shift=0, volume=fibres())
    centre = np.full(3, (edge - 1) / 2)
    runs = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        axis, way = rng.normal(size=(2, 3))
        turn = rotation(np.zeros(3)) if not axis.any() else _about_axis(axis, rng.uniform(0, 8))
        off = about(turn, centre, way / np.linalg.norm(way) * rng.uniform(0, 10))
        start = TransformValue("rigid", made.truth @ off, "moving", "fixed", residual_um=0.0)
        runs.append(attempt(rigid.SPEC, made, {}, initial=start))
    good = sum(run.get("error", np.inf) <= 0.5 for run in runs)
    return {"starts": count, "succeeded": good, "fraction": good / count}


def _about_axis(axis: np.ndarray, degrees: float) -> np.ndarray:
    x, y, z = np.radians(degrees) * axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    if angle == 0:
        return np.eye(3)
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross


def pairs(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Related pairs overlap by 30 % or more; unrelated ones show other places, noise, or another volume's order."""
    volume = fibres()
    accepted, wrong, refused = 0, 0, []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        made = pair(seed + number, edge=edge, degrees=5, shift=edge * 0.33 * rng.uniform(0, 1), volume=volume)
        told = attempt(rigid.SPEC, made, NEAR)
        if "refused" in told:
            refused.append(told["refused"])
        else:
            accepted += told["error"] <= 1.0
            wrong += told["error"] > 1.0
    false_accepts = 0
    for number in range(count):
        one = pair(seed + number, edge=edge, volume=volume)
        other = pair(seed + 5000 + number, edge=edge, volume=_stranger(volume, number))
        told = attempt(rigid.SPEC, replace(one, moving=other.moving), NEAR)
        false_accepts += "refused" not in told
    return {
        "related": count,
        "found": accepted,
        "accepted_but_wrong": wrong,
        "falsely_refused": len(refused),
        "refusals": sorted(refused),
        "unrelated": count,
        "falsely_accepted": false_accepts,
    }


def _stranger(volume: np.ndarray, number: int) -> np.ndarray:
    """Something else with the same grey values: turned by right angles and rolled to another place, or noise."""
    if number % 3 == 0:
        return np.random.default_rng(number).permutation(volume.ravel()).reshape(volume.shape)
    turned = np.rot90(volume, 1, axes=(0, 1 + number % 2))
    return np.ascontiguousarray(np.roll(turned, 71, axis=(0, 1, 2)))


def landmarks(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Coverage of landmark fits at points away from the landmarks."""
    inside = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        truth = about(rotation(rng.uniform(-180, 180, 3)), np.full(3, edge / 2), rng.uniform(-20, 20, 3))
        source = rng.uniform(0, edge, (int(rng.integers(6, 12)), 3))
        target = source @ truth[:3, :3].T + truth[:3, 3] + rng.normal(0, 0.5, source.shape)
        fit = fit_landmarks("rigid", source, target)
        limit = 3 * stats.f.ppf(0.95, 3, fit.degrees_of_freedom)
        inside += _covered(fit.matrix, fit.covariance, truth, rng.uniform(-edge / 2, 1.5 * edge, (5, 3)), limit)
    return {"phantoms": count, "covered": float(np.mean(inside))}


def intensity(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Coverage of the refinement in blocks, from starts some tenths of a sample off, noise of 4 to 25 grey values."""
    volume, inside = fibres(), []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        made = pair(seed + number, edge=edge, shift=edge * 0.1, noise=rng.uniform(4, 25), volume=volume)
        images = values(made)
        fixed, moving = Pixels(images["fixed"]), Pixels(images["moving"])
        start = invert(made.truth)
        start[:3, 3] += rng.normal(0, 0.2, 3)
        grid = fixed.at()
        overlay = Overlay(fixed, moving, ((1, 1, 1),) * 2, layout(fixed.shape))
        found = refine(overlay, start, "rigid", grid.centre, grid.corners(), tolerance_um=0.005)
        if found is None or found.parameters is None:
            continue
        covariance = entries(found, "rigid", 3) + floor(FLOOR, 3)
        limit = 3 * stats.f.ppf(0.95, 3, found.blocks - 1)
        points = rng.uniform(-edge / 2, 1.5 * edge, (5, 3))
        inside += _covered(invert(found.matrix), covariance, made.truth, points, limit)
    return {"phantoms": count, "covered": float(np.mean(inside))}


def _covered(
    matrix: np.ndarray, covariance: np.ndarray, truth: np.ndarray, points: np.ndarray, limit: float
) -> list[bool]:
    found = []
    for point in points:
        reach = np.kron(np.eye(3), np.append(point, 1.0))
        missed = (matrix - truth)[:3] @ np.append(point, 1.0)
        found.append(bool(missed @ np.linalg.solve(reach @ covariance @ reach.T, missed) <= limit))
    return found


STUDIES: dict[str, Callable[[int, int, int], dict[str, Any]]] = {
    "known": known,
    "capture": capture,
    "pairs": pairs,
    "landmarks": landmarks,
    "intensity": intensity,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--only", nargs="*", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    told: dict[str, Any] = {"seed": asked.seed, "edge": asked.edge}
    for name in asked.only:
        told[name] = STUDIES[name](asked.seed, asked.count, asked.edge)
        print(name, json.dumps(told[name]), flush=True)
    (asked.out / "registration.json").write_text(json.dumps(told, indent=1) + "\n")
    lines = ["# Registration", "", f"Seed {asked.seed}, cubes of {asked.edge} samples of a real volume of fibres.", ""]
    for name in asked.only:
        lines += [f"## {name}", "", "```json", json.dumps(told[name], indent=1), "```", ""]
    (asked.out / "registration.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
