"""CPU time and memory of the conductivity tensor of a real fibre volume, three loads.

    python benchmarks/conductivity/run.py DATA [--repeat 3] [--out benchmarks/conductivity/results]

DATA is the folder with ``100_fiberform.tif`` (100^3, uint8).  Solid is brighter than 90, contrast 60, periodic, one
thread.  The 200^3 case is the same volume and its mirror images: its diagonal is that of the 100^3 case, mirrored.
Every case runs in a process of its own; memory is the peak of that process less what it had before the solve.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = [(size, tolerance) for size in (100, 200) for tolerance in (1e-3, 1e-4, 1e-5)]


def measure(data: Path, size: int, tolerance: float) -> dict:
    import numpy as np
    import tifffile

    from analyses.bulk.homogenisation import homogenise

    phase = (tifffile.imread(data / "100_fiberform.tif") > 90).astype(np.uint8)
    if size == 200:
        phase = np.pad(phase, ((0, 100),) * 3, mode="symmetric")
    homogenise(phase[:16, :16, :16], np.array([1.0, 60.0]))  # imports and plans
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, wall = time.process_time(), time.perf_counter()
    solved = homogenise(phase, np.array([1.0, 60.0]), tolerance=tolerance)
    return {
        "size": size,
        "tolerance": tolerance,
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "peak_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024),
        "iterations": [len(solved.histories[axis]) - 1 for axis in (2, 1, 0)],
        "k_xx_yy_zz": [round(float(solved.tensor[axis, axis]), 5) for axis in (2, 1, 0)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.data, int(arguments.case[0]), float(arguments.case[1]))))
        return
    rows = []
    for size, tolerance in CASES:
        command = [sys.executable, __file__, str(arguments.data), "--case", str(size), str(tolerance)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        runs = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
            for _ in range(arguments.repeat)
        ]
        row = min(runs, key=lambda run: run["cpu_s"])
        row["cpu_s_all"] = [run["cpu_s"] for run in runs]
        rows.append(row)
        print(row, flush=True)
    write(rows, arguments.out)


def write(rows: list[dict], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "conductivity.json").write_text(json.dumps(rows, indent=1) + "\n")
    lines = [
        "# Conductivity tensor, fibre volume, contrast 60, three loads, one thread",
        "",
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, shared with other work.",
        "CPU seconds are user + system: the least of the runs, and all of them; ratios below 1.5 are ties.",
        "",
        "| voxels | tolerance | CPU s | all runs | wall s | peak MB | iterations x, y, z | k xx, yy, zz |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['size']}^3 | {row['tolerance']:.0e} | {row['cpu_s']} | {row['cpu_s_all']} | {row['wall_s']} "
        f"| {row['peak_mb']} | {row['iterations']} | {row['k_xx_yy_zz']} |"
        for row in rows
    ]
    (out / "conductivity.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
