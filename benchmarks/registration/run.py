"""What registration is worth, on pairs made from a real volume of fibres with a known map between them.

    python -m benchmarks.registration.run STUDY [--seed 0] [--count 20] [--edge 64]

Studies: ``known`` (rigid and affine, error against the truth), ``capture`` (random starts within 10 samples and 8
degrees), ``pairs`` (related pairs against unrelated ones: who is accepted), ``thresholds`` (what that verdict looks at:
run it on seeds other than those of ``pairs``), ``handedness``, ``concrete`` (X-rays and neutrons of one specimen),
``landmarks`` and ``intensity`` (does the stated 95 % ellipsoid cover the truth at points away from landmarks and
blocks).  Each replaces its own part of ``benchmarks/results/registration.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from scipy.spatial.transform import Rotation

from analyses.registration import affine, rigid
from analyses.registration.blocks import Overlay, entries, layout, refine
from analyses.registration.common import IntensityParams
from analyses.registration.grids import Pixels
from analyses.registration.intensity import FLOOR, Registration, floor
from analyses.sdk.contract import PluginError, PluginSpec
from analyses.sdk.landmarks import fit_landmarks
from analyses.sdk.spatial import invert
from analyses.sdk.testing import MemoryContext, image_value, run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.phantoms import CONCRETE, Pair, about, errors, fibres, pair, rotation, turned_concrete

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
    return {
        "error": mean / made.spacing,
        "gap": found.facts["score_gap"],
        "seconds": time.process_time() - begun,
        "matrix": found.matrix,
    }


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
    unrelated = [said(attempt(rigid.SPEC, made, NEAR)) for made in unrelated_pairs(seed, count, edge)]
    related = [said(attempt(rigid.SPEC, made, NEAR)) for made in related_pairs(seed, count, edge)]
    refusals = sorted(run["refused"] for run in related if "refused" in run)
    wrong = sum(run.get("error", 0.0) > 1.0 for run in related)
    return {
        "related": count,
        "accepted": count - len(refusals),
        "accepted_but_wrong": wrong,
        "falsely_refused": len(refusals),
        "refusals": refusals,
        "unrelated": count,
        "falsely_accepted": sum("refused" not in run for run in unrelated),
    }


def said(told: dict[str, Any]) -> dict[str, Any]:
    """Tell how far a long study has come."""
    print({name: value for name, value in told.items() if name != "matrix"}, flush=True)
    return told


def related_pairs(seed: int, count: int, edge: int) -> Iterator[Pair]:
    volume = fibres()
    for number in range(count):
        shift = edge * 0.33 * np.random.default_rng([seed, number]).uniform(0, 1)
        yield pair(seed + number, edge=edge, degrees=5, shift=shift, volume=volume)


def unrelated_pairs(seed: int, count: int, edge: int) -> Iterator[Pair]:
    volume = fibres()
    for number in range(count):
        one = pair(seed + number, edge=edge, volume=volume)
        other = pair(seed + 5000 + number, edge=edge, volume=_stranger(volume, number))
        yield replace(one, moving=other.moving)


def thresholds(seed: int, count: int, edge: int) -> dict[str, Any]:
    """What the verdict looks at, for related and unrelated pairs, whatever it says: from these it was chosen."""
    told = {}
    for name, made in (("unrelated", unrelated_pairs), ("related", related_pairs)):
        seen = []
        for one in made(seed, count, edge):
            seen.append(looked_at(one))
            print(name, seen[-1], flush=True)
        right = [one["agreeing"] for one in seen if name == "unrelated" or one["error"] <= 1.0]
        told[name] = {
            "pairs": len(seen),
            "right": len(right),
            "agreeing": [round(part, 3) for part in sorted(right)],
            "rivals": [[round(one["gap"], 3), round(one["rivalled"], 3)] for one in seen if one["gap"] is not None],
        }
    return told


def looked_at(made: Pair) -> dict[str, Any]:
    """Agreement of the blocks, gap and rival of the answer to a pair before it is refined, without a verdict."""
    images = values(made)
    params = IntensityParams(**NEAR)
    job = Registration("rigid", MemoryContext(), params, Pixels(images["fixed"]), Pixels(images["moving"]))
    answers = job.begin(None, [False])
    if not answers:
        return {"agreeing": 0.0, "gap": None, "rivalled": 0.0, "error": float("inf")}
    answers, overlay = job.descend(answers), job.overlay()
    answer, asked = job.chosen(answers, overlay)
    off = errors(invert(answer.matrix), made)
    return {
        "agreeing": asked.fraction if asked.enough else 0.0,
        "gap": job.gap,
        "rivalled": job.rivalled,
        "error": float(off.mean()) / made.spacing if len(off) else float("inf"),
    }


def _stranger(volume: np.ndarray, number: int) -> np.ndarray:
    """Something else with the same grey values: turned by right angles and rolled to another place, or noise."""
    if number % 3 == 0:
        return np.random.default_rng(number).permutation(volume.ravel()).reshape(volume.shape)
    turned = np.rot90(volume, 1, axes=(0, 1 + number % 2))
    return np.ascontiguousarray(np.roll(turned, 71, axis=(0, 1, 2)))


def handedness(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Images of unknown handedness, every other one mirrored: is the right hand found, and by what gap."""
    volume, right, gaps = fibres(), 0, []
    for number in range(count):
        mirrored = number % 2 == 1
        made = pair(seed + number, edge=edge, degrees=4, shift=3, mirror=mirrored, volume=volume)
        told = attempt(rigid.SPEC, made, NEAR | {"handedness": "either"})
        right += told.get("error", np.inf) <= 0.1
        gaps.append(told.get("gap"))
    return {"pairs": count, "right": right, "gaps": gaps}


def concrete(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Neutrons on X-rays of one concrete, the neutron image turned beforehand, and upside down as an unrelated one."""
    del edge
    if not CONCRETE.exists():
        return {"skipped": f"no {CONCRETE.name}"}
    found, refused = [], []
    for number in range(count):
        made = turned_concrete(CONCRETE, np.random.default_rng([seed, number]))
        told = said(attempt(rigid.SPEC, made, {"search_deg": 60.0}))
        if "refused" in told:
            refused.append(told["refused"])
        else:
            found.append(made.truth @ invert(told["matrix"]))
    strangers = [
        attempt(rigid.SPEC, turned_concrete(CONCRETE, np.random.default_rng([seed, 100 + n]), upside_down=True), NEAR)
        for n in range(2)
    ]
    return close_together(found) | {
        "runs": count,
        "refused": refused,
        "upside_down": len(strangers),
        "upside_down_accepted": sum("refused" not in run for run in strangers),
    }


def close_together(found: list[np.ndarray]) -> dict[str, Any]:
    """How many maps X-ray -> neutron lie within 1 degree and 0.5 sample of their median."""
    if not found:
        return {"close": 0}
    centre = np.full(3, 49.5)
    turns = np.array([Rotation.from_matrix(m[:3, :3]).as_rotvec(degrees=True) for m in found])
    shifts = np.array([m[:3, :3] @ centre + m[:3, 3] - centre for m in found])
    turn, shift = np.median(turns, axis=0), np.median(shifts, axis=0)
    middle = Rotation.from_rotvec(turn, degrees=True)
    angles = [float(np.degrees((Rotation.from_rotvec(one, degrees=True) * middle.inv()).magnitude())) for one in turns]
    apart = np.linalg.norm(shifts - shift, axis=1)
    return {
        "close": int(np.sum((np.array(angles) <= 1.0) & (apart <= 0.5))),
        "median_turn_deg": turn.round(3).tolist(),
        "median_shift": shift.round(3).tolist(),
        "largest_turn_deg": max(angles),
        "largest_shift": float(apart.max()),
    }


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
        limit = 3 * stats.f.ppf(0.95, 3, found.blocks - 3)
        points = rng.uniform(-edge / 2, 1.5 * edge, (5, 3))
        inside += _covered(invert(found.matrix), covariance, made.truth, points, limit)
        if number % 20 == 19:
            print(number + 1, float(np.mean(inside)), flush=True)
    return {"phantoms": count, "points": len(inside), "covered": float(np.mean(inside))}


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
    "thresholds": thresholds,
    "handedness": handedness,
    "concrete": concrete,
    "known": known,
    "capture": capture,
    "pairs": pairs,
    "landmarks": landmarks,
    "intensity": intensity,
}


def keep(folder: Path, study: str, ran: dict[str, Any], found: dict[str, Any]) -> None:
    """Put a study's result in its place among the others."""
    path = folder / "registration.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    told[study] = {"ran": ran, "found": found}
    print(study, json.dumps(told[study]), flush=True)
    path.write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
    written = path.with_suffix(".md")
    words = written.read_text().split("\n## ")[0] if written.exists() else "# Registration by grey values\n"
    written.write_text(words.rstrip() + "\n\n" + page(told))


def page(told: dict[str, Any]) -> str:
    """The results under the words that stand above them: how each study was run, and what it found."""
    lines = []
    for study, one in sorted(told.items()):
        lines += [f"## {study}", "", ", ".join(f"{name} {value}" for name, value in one["ran"].items()), ""]
        lines += [
            "| | |",
            "|---|---|",
            *(f"| {name} | {json.dumps(value)} |" for name, value in one["found"].items()),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--edge", type=int, default=64)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    begun = time.process_time()
    found = STUDIES[asked.study](asked.seed, asked.count, asked.edge)
    ran = {"seed": asked.seed, "count": asked.count, "edge": asked.edge, "cpu_s": round(time.process_time() - begun, 1)}
    keep(asked.out, asked.study, ran, found)


if __name__ == "__main__":
    main()
