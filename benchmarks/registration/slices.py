"""What placing a slice in a volume is worth, on slices cut out of real volumes at known places.

    python -m benchmarks.registration.slices [--seed 0] [--count 20] [--edge 50] [--only known capture ...]

Studies: ``known`` (error against the truth), ``capture`` (random starts within 10 voxels and 8 degrees), ``pairs``
(slices of the volume against slices of something else: who is accepted), ``hands`` (mirrored slices whose handedness
is not declared), ``coverage`` (does the stated 95 % ellipsoid cover the truth).  Results go to
``benchmarks/results/registration_slices.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from analyses.registration import slice_in_volume
from analyses.sdk.contract import PluginError
from analyses.sdk.testing import run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.cuts import Cut, cut, strangers, volumes

RESULTS = Path(__file__).resolve().parents[1] / "results"
RIGHT = 1.0  # coarse voxels: an answer that far off is another place


def attempt(made: Cut, start: TransformValue | None, params: dict[str, Any], **moving: str) -> dict[str, Any]:
    """Run the plugin once: its error against the truth in coarse voxels, or why it refused."""
    begun = time.process_time()
    inputs: dict[str, Any] = dict(made.inputs(**moving))
    if start is not None:
        inputs["initial"] = start
    try:
        found = run_plugin(slice_in_volume.SPEC, params, inputs)["transform"]
    except PluginError as refusal:
        facts = {key: value for key, value in refusal.facts.items() if key in ("best", "next", "reason")}
        return {"refused": refusal.name, **facts, "seconds": time.process_time() - begun}
    return {
        "error": float(made.errors(found.matrix).mean()),
        "gap": found.facts["score_gap"],
        "agreeing": found.facts["blocks_agreeing"],
        "explained": found.facts["explained"],
        "kind": found.kind,
        "seconds": time.process_time() - begun,
        "found": found,
    }


def plain(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs without what JSON does not hold, rounded."""
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in run.items() if k != "found"} for run in runs]


def known(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Slices of each volume from a start 4 voxels and 4 degrees off."""
    told: dict[str, Any] = {}
    for name, volume in volumes().items():
        runs = []
        for number in range(count):
            size = min(edge, min(volume.shape) // 3)
            made = cut(seed + number, volume, edge=size, shift=size / 8)
            runs.append(attempt(made, made.start(np.random.default_rng([seed, number]), 4.0, 4.0), {}))
        done = [run["error"] for run in runs if "error" in run]
        told[name] = {
            "runs": count,
            "refused": count - len(done),
            "mean_error_voxels": float(np.mean(done)) if done else None,
            "largest_error_voxels": max(done, default=None),
            "within_quarter_voxel": sum(error <= 0.25 for error in done),
            "seconds": float(np.mean([run["seconds"] for run in runs])),
            "each": plain(runs),
        }
    return told


def capture(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Random starts within 10 voxels and 8 degrees of one slice of each volume."""
    told: dict[str, Any] = {}
    for name, volume in volumes().items():
        size = min(edge, min(volume.shape) // 3)
        made = cut(seed + 100, volume, edge=size, shift=size / 10)
        runs = [attempt(made, made.start(np.random.default_rng([seed, number])), {}) for number in range(count)]
        good = sum(run.get("error", np.inf) <= 0.25 for run in runs)
        told[name] = {"starts": count, "succeeded": good, "fraction": good / count, "each": plain(runs)}
    return told


def pairs(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Slices of the volume, of any contrast and noise, against slices of something else."""
    everything = volumes()
    own = everything.pop("fibres")
    related, unrelated = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, 1, number])
        made = cut(seed + 200 + number, own, edge=edge, shift=12.0, noise=rng.uniform(4, 25))
        related.append(attempt(made, made.start(rng), {}))
    for number in range(count):
        kind, made = strangers(seed + number, own, everything, edge)
        rng = np.random.default_rng([seed, 2, number])
        unrelated.append({"of": kind} | attempt(made, made.start(rng), {}))
    found = [run["error"] for run in related if "error" in run]
    return {
        "related": count,
        "found": sum(error <= RIGHT for error in found),
        "accepted_but_wrong": sum(error > RIGHT for error in found),
        "falsely_refused": count - len(found),
        "refusals": dict(Counter(run["refused"] for run in related if "refused" in run)),
        "unrelated": count,
        "falsely_accepted": sum("error" in run for run in unrelated),
        "unrelated_by_kind": dict(Counter(run["of"] for run in unrelated)),
        "refusals_of_unrelated": dict(Counter(run["refused"] for run in unrelated if "refused" in run)),
        "each_related": plain(related),
        "each_unrelated": plain(unrelated),
    }


def hands(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Slices, every other one mirrored, none of them declared: both hands are tried."""
    own = volumes()["fibres"]
    runs = []
    for number in range(count):
        mirrored = bool(number % 2)
        made = cut(seed + 300 + number, own, edge=edge, tilt=6.0, shift=5.0, mirror=mirrored)
        run = attempt(made, None, {"search_um": 6.0}, handedness="unknown")
        runs.append({"mirrored": mirrored} | run)
    right = sum(run.get("error", np.inf) <= 0.25 and (run["kind"] == "reflection") == run["mirrored"] for run in runs)
    return {"slices": count, "right": right, "each": plain(runs)}


def coverage(seed: int, count: int, edge: int) -> dict[str, Any]:
    """Points of the slice within the stated 95 % ellipsoid, over slices of the fibres and noise of any strength."""
    own = volumes()["fibres"]
    inside: list[bool] = []
    refused, off = 0, []
    for number in range(count):
        rng = np.random.default_rng([seed, 3, number])
        made = cut(seed + 400 + number, own, edge=edge, shift=8.0, noise=rng.uniform(4, 25))
        run = attempt(made, made.start(rng, 1.0, 1.0), {"search_um": 2.0, "search_deg": 3.0, "starts": 2})
        if "found" not in run:
            refused += 1
            continue
        off.append(run["error"])
        inside += covered(made, run["found"], rng)
    return {
        "slices": count,
        "refused": refused,
        "mean_error_voxels": float(np.mean(off)) if off else None,
        "points": len(inside),
        "covered": float(np.mean(inside)) if inside else None,
    }


def covered(made: Cut, found: TransformValue, rng: np.random.Generator, count: int = 5) -> list[bool]:
    """Whether the truth lies within the 95 % ellipsoid stated at random points of the slice."""
    if found.covariance is None:
        return []
    limit = 3 * stats.f.ppf(0.95, 3, found.degrees_of_freedom)
    told = []
    for point in rng.uniform(0, 1, (count, 3)) * 2 * made.centre:
        reach = np.kron(np.eye(3), np.append(point, 1.0))
        missed = (found.matrix - made.truth)[:3] @ np.append(point, 1.0)
        told.append(bool(missed @ np.linalg.solve(reach @ found.covariance @ reach.T, missed) <= limit))
    return told


STUDIES: dict[str, Callable[[int, int, int], dict[str, Any]]] = {
    "known": known,
    "capture": capture,
    "pairs": pairs,
    "hands": hands,
    "coverage": coverage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--edge", type=int, default=50)
    parser.add_argument("--only", nargs="*", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    file = asked.out / "registration_slices.json"
    told: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    for name in asked.only:
        found = STUDIES[name](asked.seed, asked.count, asked.edge)
        told[name] = {"seed": asked.seed, "edge": asked.edge} | found
        print(name, json.dumps(told[name]), flush=True)
        file.write_text(json.dumps(told, indent=1) + "\n")
        (asked.out / "registration_slices.md").write_text(report(told))


def report(told: dict[str, Any]) -> str:
    """The page: every study without its single runs."""
    lines = ["# A slice in its volume", ""]
    lines += ["Slices with samples an eighth of a voxel wide, cut obliquely out of real volumes; see `cuts.py`.", ""]
    for name, found in told.items():
        lines += [f"## {name}", "", "```json", json.dumps(_short(found), indent=1), "```", ""]
    return "\n".join(lines)


def _short(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _short(value) for key, value in found.items() if not key.startswith("each")}
    return round(found, 4) if isinstance(found, float) else found


if __name__ == "__main__":
    main()
