"""One measured case, in a process of its own: ``python cases.py CASE VOLUME.npy LIMIT``; prints one line of JSON.

Runs under this project's interpreter for ``ours``, ``plain`` and ``account``, and under one that has the peers for
``taufactor`` and ``porespy``.  Time is user + system of the solve alone; volumes are read and modules loaded before.
LIMIT is the CPU seconds after which TauFactor is stopped; what it had by then is said, as not converged.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CONTRAST = np.array([1.0, 60.0])
PORE = np.array([1.0, 0.0])
NAMES = ("z", "y", "x")
TOLERANCE = 1e-4


def private_mb() -> float:
    """Peak private memory of this process: its high-water mark less the files mapped into it."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return (int(lines["VmHWM"].split()[0]) - int(lines["RssFile"].split()[0])) / 1024


def timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    found = work()
    return {
        **found,
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "private_mb": round(private_mb()),
    }


def ours(phase: np.ndarray, k: np.ndarray, boundary: str) -> dict[str, Any]:
    from analyses.bulk.homogenisation import homogenise

    homogenise(phase[:16, :16, :16], CONTRAST)  # modules and plans

    def work() -> dict[str, Any]:
        solved = homogenise(phase, k, boundary=boundary, tolerance=TOLERANCE)
        return {
            "value": {name: float(solved.tensor[axis, axis]) for axis, name in enumerate(NAMES)},
            "iterations": {name: len(solved.histories[axis]) - 1 for axis, name in enumerate(NAMES)},
        }

    return timed(work)


def plain(phase: np.ndarray) -> dict[str, Any]:
    import plain as yardstick

    yardstick.solve(CONTRAST[phase[:16, :16, :16]], 0, 0.1)

    def work() -> dict[str, Any]:
        found = [yardstick.solve(CONTRAST[phase], axis, TOLERANCE / 4) for axis in range(3)]
        return {
            "value": {name: value for name, (value, _) in zip(NAMES, found, strict=True)},
            "iterations": {name: count for name, (_, count) in zip(NAMES, found, strict=True)},
        }

    return timed(work)


def two_point(phase: np.ndarray, k: np.ndarray, held: str) -> dict[str, Any]:
    import two_point as balance

    def work() -> dict[str, Any]:
        found = [balance.solve(k[phase], axis, held) for axis in range(3)]
        return {
            "value": {name: value for name, (value, _) in zip(NAMES, found, strict=True)},
            "iterations": {name: count for name, (_, count) in zip(NAMES, found, strict=True)},
        }

    return timed(work)


def taufactor(phase: np.ndarray, *, pore: bool, limit: float) -> dict[str, Any]:
    """Faces across the first axis held at a value, the sides insulated: our mirrored boundary.

    Each direction gets a third of ``limit``, in CPU seconds.
    """
    import torch
    from taufactor import MultiPhaseSolver, Solver

    torch.set_num_threads(1)

    def work() -> dict[str, Any]:
        value, iterations, spread = {}, {}, {}
        for axis, name in enumerate(NAMES):
            volume = np.ascontiguousarray(np.moveaxis(phase, axis, 0))
            if pore:
                solver = Solver((volume == 0).astype(np.uint8), device="cpu")
            else:
                solver = MultiPhaseSolver(volume + 1, cond={1: CONTRAST[0], 2: CONTRAST[1]}, device="cpu")
            end = time.process_time() + limit / 3
            while not solver.converged and time.process_time() < end:
                solver.solve(verbose=False, conv_crit=1e-3, iter_limit=solver.iter + 100)
            value[name] = float(np.ravel(np.asarray(solver.D_eff))[0])
            iterations[name] = int(solver.iter)
            if not solver.converged:
                flux = np.ravel(np.asarray(solver.flux_1d))
                spread[name] = float((flux.max() - flux.min()) / flux.max())
        return {"value": value, "iterations": iterations, "flux_spread": spread, "limit_s": limit}

    return timed(work)


def porespy(phase: np.ndarray) -> dict[str, Any]:
    import porespy as ps

    ps.settings.tqdm["disable"] = True

    def work() -> dict[str, Any]:
        found = [ps.simulations.tortuosity_fd(phase == 0, axis=axis) for axis in range(3)]
        return {"value": {name: 1.0 / float(one.formation_factor) for name, one in zip(NAMES, found, strict=True)}}

    return timed(work)


def account(phase: np.ndarray, grey: np.ndarray) -> dict[str, Any]:
    """The whole plugin, and ``bulk.rve`` on the same labels."""
    from analyses.bulk import conductivity, rve
    from analyses.sdk.testing import MemoryContext, image_value

    labels = image_value(phase, kind="labels", identifier="labels")
    image = image_value(grey, identifier="image")
    phases = {"0": {"k": CONTRAST[0]}, "1": {"k": CONTRAST[1]}}

    def work() -> dict[str, Any]:
        params = conductivity.ConductivityParams(phases=phases)
        tensor = conductivity.run(MemoryContext(), params, {"labels": labels, "image": image})["tensor"]
        return {
            "tensor": tensor.value,
            "error": dict(tensor.error),
            "low": tensor.interval.low,
            "high": tensor.interval.high,
            "contains": tensor.interval.contains,
            "facts": dict(tensor.facts),
        }

    found = timed(work)
    tiles = rve.run(MemoryContext(), rve.RveParams(phases=phases), {"labels": labels})["rve"]
    return {**found, "verdict": tiles.facts["verdict"], "reason": tiles.facts["reason"]}


def main() -> None:
    case, path, limit = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    grey = np.load(path)
    phase = (grey > 90).astype(np.uint8)
    if case.endswith("_mirrored200"):
        phase = np.pad(phase, [(0, n) for n in phase.shape], mode="symmetric")
    if case.endswith("_fine"):
        phase = phase.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: ours(phase, CONTRAST, "periodic"),
        "ours_sides": lambda: ours(phase, CONTRAST, "mirrored"),
        "ours_pore": lambda: ours(phase, PORE, "mirrored"),
        "plain": lambda: plain(phase),
        "faces": lambda: two_point(phase, CONTRAST, "faces"),
        "faces_pore": lambda: two_point(phase, PORE, "faces"),
        "centres_pore": lambda: two_point(phase, PORE, "centres"),
        "taufactor": lambda: taufactor(phase, pore=False, limit=limit),
        "taufactor_pore": lambda: taufactor(phase, pore=True, limit=limit),
        "porespy_pore": lambda: porespy(phase),
        "account": lambda: account(phase, grey),
    }
    found = cases[case.removesuffix("_mirrored200").removesuffix("_fine")]()
    print(json.dumps({"case": case, "voxels": phase.shape[0], **found}))


if __name__ == "__main__":
    main()
