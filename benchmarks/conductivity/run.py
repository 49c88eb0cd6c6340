"""Conductivity of a real fibre volume beside a plain FFT solver, TauFactor and porespy, in one run.

    python benchmarks/conductivity/run.py DATA [--peers PYTHON] [--repeat 3] [--limit 1500] [--only CASE ...]
        [--out benchmarks/results]

DATA is the folder with ``100_fiberform.tif`` (100^3, uint8).  Solid is brighter than 90, contrast 60, three loads, one
thread.  The 200^3 case is the same volume and its mirror images.  PYTHON is the interpreter of an environment with
``torch taufactor porespy openpnm pyamg``; without it the peers are left out, and the report says so.  Every case runs
in a process of its own (``cases.py``).  With ``--only`` the named cases are measured, and the rest of the report is
what was measured before.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
AGREED = 0.005
NAMES = ("x", "y", "z")
OURS = (
    "ours",
    "plain",
    "ours_mirrored200",
    "plain_mirrored200",
    "ours_sides",
    "ours_pore",
    "ours_sides_fine",
    "ours_pore_fine",
    "faces",
    "faces_fine",
    "faces_pore",
    "centres_pore",
    "faces_pore_fine",
    "account",
)
PEERS = ("taufactor", "taufactor_pore", "porespy_pore")
REPEATED = ("ours", "ours_mirrored200", "ours_pore", "plain")
TITLES = {
    "ours": "this project",
    "plain": "plain rotated scheme",
    "ours_mirrored200": "this project",
    "plain_mirrored200": "plain rotated scheme",
    "ours_sides": "this project, mirrored boundary",
    "ours_sides_fine": "this project, voxels cut in eight",
    "ours_pore_fine": "this project, voxels cut in eight",
    "taufactor": "TauFactor",
    "ours_pore": "this project, mirrored boundary",
    "taufactor_pore": "TauFactor",
    "porespy_pore": "porespy",
    "faces": "fluxes between centres, faces held",
    "faces_fine": "fluxes between centres, faces held, voxels cut in eight",
    "faces_pore": "fluxes between centres, faces held",
    "centres_pore": "fluxes between centres, first and last centres held",
    "faces_pore_fine": "fluxes between centres, faces held, voxels cut in eight",
}
TABLES = (
    ("Contrast 60, periodic, 100^3", ("ours", "plain")),
    ("The same volume mirrored to 200^3, periodic", ("ours_mirrored200", "plain_mirrored200")),
    (
        "Contrast 60, two faces held, sides insulated, 100^3",
        ("ours_sides", "taufactor", "faces", "ours_sides_fine", "faces_fine"),
    ),
    (
        "Pores conduct, solid does not, 100^3",
        (
            "ours_pore",
            "taufactor_pore",
            "porespy_pore",
            "faces_pore",
            "centres_pore",
            "ours_pore_fine",
            "faces_pore_fine",
        ),
    ),
)


def run_case(case: str, volume: Path, python: str, limit: float) -> dict[str, Any]:
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}" if python == sys.executable else str(HERE),
    }
    command = [python, str(HERE / "cases.py"), case, str(volume), str(limit)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if finished.returncode:
        return {"case": case, "failed": finished.stderr.strip().splitlines()[-1:]}
    return dict(json.loads(finished.stdout.strip().splitlines()[-1]))


def measure(
    volume: Path, cases: tuple[str, ...], peers: str, repeat: int, limit: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    for case in cases:
        python = peers if case in PEERS else sys.executable
        runs = [run_case(case, volume, python, limit) for _ in range(repeat if case in REPEATED else 1)]
        row = min(runs, key=lambda run: run.get("cpu_s", float("inf")))
        row = {**row, "cpu_s_all": [run.get("cpu_s") for run in runs]}
        print({name: value for name, value in row.items() if name not in ("facts", "error")}, flush=True)
        yield case, row


def table(title: str, cases: tuple[str, ...], rows: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| solver | CPU s | all runs | ratio | private MB | k xx, yy, zz | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    first = rows[cases[0]]
    for case in cases:
        row = rows.get(case)
        if row is None or "failed" in row:
            why = "not run" if row is None else f"failed: {' '.join(row['failed'])}"
            lines.append(f"| {TITLES[case]} | {why} | | | | | |")
            continue
        values = ", ".join(f"{row['value'][name]:.5f}" for name in NAMES)
        apart = max(abs(row["value"][name] / first["value"][name] - 1) for name in NAMES)
        said = "" if row is first else f"{100 * apart:.3f} %" + ("" if apart <= AGREED else ", more than 0.5 %")
        ratio = row["cpu_s"] / first["cpu_s"]
        if row.get("flux_spread"):
            said += stopped(row)
        lines.append(
            f"| {TITLES[case]} | {row['cpu_s']} | {row['cpu_s_all']} | {ratio:.1f} | {row['private_mb']} | {values} "
            f"| {said} |"
        )
    return [*lines, ""]


def stopped(row: dict[str, Any]) -> str:
    """What a peer had not reached when its time was over."""
    spreads = ", ".join(f"{100 * row['flux_spread'][name]:.1f} % ({name})" for name in row["flux_spread"])
    return f"; not converged within {row['limit_s'] / 3:.0f} CPU s a direction: fluxes still differ by {spreads}"


def stall(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What TauFactor gives at contrast 60 beside its own discretisation solved to the end."""
    row = rows.get("taufactor", {})
    if "faces" not in rows or not row.get("flux_spread"):
        return []
    steps = ", ".join(f"{row['iterations'][name]} ({name})" for name in NAMES)
    return [
        f"TauFactor at contrast 60: {steps} iterations in single precision, its default. Where its fluxes still",
        "differ, time does not help: a run of 63,100 iterations and 430 CPU s had not met the criterion along x",
        "either. Its values differ from those of its own discretisation solved to 1e-7 by at most",
        f"{apart(rows, 'taufactor', 'faces')}.",
        "",
    ]


def apart(rows: dict[str, dict[str, Any]], one: str, two: str) -> str:
    """Largest relative difference of two rows, in percent."""
    first, second = rows[one]["value"], rows[two]["value"]
    return f"{100 * max(abs(first[name] / second[name] - 1) for name in NAMES):.2f} %"


def origin(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Where the difference from the peers comes from: the place where the potential is held, or the discretisation."""
    if not {"faces_pore", "centres_pore", "taufactor_pore", "porespy_pore"} <= rows.keys():
        return []
    boundary = apart(rows, "centres_pore", "faces_pore")
    same = apart(rows, "faces_pore", "ours_pore")
    dense = f" (contrast 60: {apart(rows, 'faces', 'ours_sides')})" if "faces" in rows else ""
    lines = [
        "`Fluxes between centres` is the peers' discretisation in a solver of this benchmark (`two_point.py`), stopped",
        "on a residual of 1e-7. It tells the boundary from the discretisation. Where only the pores conduct:",
        "",
        f"- held on the faces, it differs from TauFactor by {apart(rows, 'faces_pore', 'taufactor_pore')}; held in the",
        f"  first and last centres, from porespy by {apart(rows, 'centres_pore', 'porespy_pore')};",
        f"- between these two boundaries the value moves by {boundary};",
        "- held faces and insulated sides are the mirrored boundary: the potential is constant on a mirror plane. With",
        f"  this same boundary the two discretisations differ by {same}{dense}.",
    ]
    if {"faces_pore_fine", "ours_pore_fine"} <= rows.keys():
        lines.append(f"- on voxels cut in eight they differ by {apart(rows, 'faces_pore_fine', 'ours_pore_fine')}.")
    return [
        *lines,
        "",
        "So it is the discretisation. Pores that touch along an edge or a corner are connected in the rotated scheme",
        "and are not where only faces exchange.",
        "",
    ]


def stated(row: dict[str, Any]) -> list[str]:
    """The number with all its sensitivities, and the verdict on the volume."""
    order = {name: index for index, name in enumerate(NAMES)}
    lines = [
        "## The number with its sensitivities",
        "",
        f"`bulk.conductivity` with the grey values and every part of the error: {row['cpu_s']} CPU s. On the diagonal:",
        "",
        "| | xx | yy | zz |",
        "|---|---|---|---|",
        "| value | " + " | ".join(f"{row['tensor'][i][i]:.4f}" for i in order.values()) + " |",
    ]
    for part, matrix in row["error"].items():
        shares = (100 * matrix[i][i] / row["tensor"][i][i] for i in order.values())
        lines.append(f"| {part} | " + " | ".join(f"{share:.2f} %" for share in shares) + " |")
    ends = (f"{row['low'][i][i]:.3f} to {row['high'][i][i]:.3f}" for i in order.values())
    lines += [
        "| interval | " + " | ".join(ends) + " |",
        "",
        f"Contained: {', '.join(row['contains'])}. Not contained:",
        "",
    ]
    lines += [f"- {part}: {reason}" for part, reason in row["facts"]["not_contained"].items()]
    grid = " x ".join(str(n) for n in row["facts"]["compared_on"].values())
    lines += ["", f"Boundary, segmentation and RVE were compared on {grid} voxels.", ""]
    return [*lines, f"`bulk.rve` on the same labels: **{row['verdict']}**: {row['reason']}.", ""]


def write(rows: dict[str, dict[str, Any]], out: Path, command: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "conductivity.json").write_text(json.dumps(rows, indent=1) + "\n")
    ours, large = rows["ours"], rows["ours_mirrored200"]
    lines = [
        "# Conductivity of a real fibre volume",
        "",
        "`100_fiberform.tif`, solid above 90, three loads, tolerance 1e-4 on the property; one thread.",
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, shared with other work.",
        "CPU seconds are user + system of the solve alone: the least of the runs, and all of them; ratios below 1.5",
        "are ties. Private memory is the peak of the whole process, interpreter and input included.",
        "",
        f"    {command}",
        "",
        f"Target at 100^3: at most 6 CPU s; taken: **{ours['cpu_s']}**.",
        f"Target at 200^3: at most 60 CPU s and 1 GB; taken: **{large['cpu_s']} CPU s, {large['private_mb']} MB**.",
        "",
    ]
    for title, cases in TABLES:
        lines += table(title, cases, rows)
    lines += [
        "The plain solver has the same discretisation, so that it must give the same values. TauFactor and porespy",
        "balance fluxes between voxel centres: another discretisation of the same problem. `voxels cut in eight` says",
        "on which side of the limit each of them stands: the same geometry on 200^3 voxels, solved by this project.",
        "TauFactor stops on its flux criterion of 1e-3, porespy on a flux balance of 1e-3; porespy solves one",
        "conducting phase only.",
        "",
    ]
    lines += stall(rows)
    lines += origin(rows)
    lines += stated(rows["account"])
    (out / "conductivity.md").write_text("\n".join(lines).rstrip() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peers", default="", help="interpreter of an environment with the peers")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1500.0, help="CPU seconds after which TauFactor is stopped")
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE", choices=(*OURS, *PEERS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    known = arguments.out / "conductivity.json"
    rows = json.loads(known.read_text()) if arguments.only else {}
    cases = tuple(arguments.only) or (*OURS, *(PEERS if arguments.peers else ()))
    peers = " --peers PYTHON" if arguments.peers or any(case in rows for case in PEERS) else ""
    command = f"python benchmarks/conductivity/run.py DATA{peers} --repeat {arguments.repeat}"
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / "volume.npy"
        np.save(volume, tifffile.imread(arguments.data / "100_fiberform.tif"))
        for case, row in measure(volume, cases, arguments.peers, arguments.repeat, arguments.limit):
            rows[case] = row
            if arguments.only:  # a long one that is stopped leaves the report of those before it
                write(rows, arguments.out, command)
    write(rows, arguments.out, command)


if __name__ == "__main__":
    main()
