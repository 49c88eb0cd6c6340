"""Positions read back by the programs they are written for: fibsemOS itself, and pyserialem for Navigator files.

Run from the root of the checkout: ``python -m benchmarks.targeting.run``.  CORR_PEERS_PYTHON names a Python with
fibsem, pyserialem and what they import.  Writes ``benchmarks/results/targeting.md``; ends with 1 if a place moved.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from apps.spatial.exchange.navigator import write_nav
from apps.spatial.exchange.positions import StagePosition, write_fibsemos

ROOT = Path(__file__).resolve().parents[2]
COUNT = 1_000


def positions() -> list[StagePosition]:
    rng = np.random.default_rng(3)
    places = rng.uniform(-1, 1, (COUNT, 3)) * 10 ** rng.uniform(-3, 5, (COUNT, 1))
    angles = rng.uniform(-180, 180, (COUNT, 2))
    made = [
        StagePosition(f"place {i}", *map(float, place), *map(float, pair))
        for i, (place, pair) in enumerate(zip(places, angles, strict=True))
    ]
    return [*made, StagePosition("pose not known", 1e-3, -2.0, 3e4)]


def versions(python: str) -> str:
    code = "from importlib.metadata import version as v; print('fibsem', v('fibsem'), 'pyserialem', v('pyserialem'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def read_back(python: str, given: list[StagePosition]) -> dict[str, list[list]]:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, "p.yaml"), Path(folder, "p.nav")]
        files[0].write_text(write_fibsemos(given))
        files[1].write_text(write_nav(given))
        command = [python, str(ROOT / "benchmarks/targeting/peers.py"), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def worst(given: list[StagePosition], found: dict[str, list[list]]) -> dict[str, float]:
    """Largest relative deviation of a length or angle."""
    off: dict[str, float] = {"fibsemos": 0.0, "nav": 0.0}
    for one, entry, item in zip(given, found["fibsemos"], found["nav"], strict=True):
        lengths = [one.x, one.y, one.z]
        back = [value * 1e6 for value in entry[1:4]]
        angles = [None if value is None else math.degrees(value) for value in entry[4:6]]
        if (one.rotation is None) != (angles[0] is None) or item[0] != "Marker":
            return dict.fromkeys(off, math.inf)
        pairs = list(zip(lengths, back, strict=True))
        if one.rotation is not None:
            pairs += list(zip([one.rotation, one.tilt], angles, strict=True))
        off["fibsemos"] = max(off["fibsemos"], *(abs(a - b) / abs(a) for a, b in pairs))
        off["nav"] = max(off["nav"], *(abs(a - b) / abs(a) for a, b in zip(lengths, item[1:], strict=True)))
    return off


def main() -> int:
    python = os.environ["CORR_PEERS_PYTHON"]
    given = positions()
    off = worst(given, read_back(python, given))
    lines = [
        f"# {len(given):,} stage positions read back by other programs",
        "",
        f"Peers: {versions(python)}. Largest relative deviation of a length or an angle, from the position given to",
        "the one that the program holds. Written by `python -m benchmarks.targeting.run`.",
        "",
        "| file | read by | deviation |",
        "|---|---|---|",
        f"| fibsemOS positions | fibsem, `FibsemStagePosition.from_dict` | {off['fibsemos']:.1e} |",
        f"| Navigator | pyserialem, `read_nav_file` | {off['nav']:.1e} |",
        "",
    ]
    (ROOT / "benchmarks/results/targeting.md").write_text("\n".join(lines))
    print("\n".join(lines))
    return 0 if max(off.values()) < 1e-12 else 1


if __name__ == "__main__":
    raise SystemExit(main())
