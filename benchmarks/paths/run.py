"""A path among 1,000 frames and 3,000 accepted transforms, in the service, on SQLite and PostgreSQL.

Run from the root of the checkout: ``python -m benchmarks.paths.run [--seed N]``.  CORR_TEST_POSTGRES_URL names the
server where a database may be made.  Writes ``benchmarks/results/paths.{json,md}``; ends with 1 if a target is missed.
The peer is networkx, Dijkstra on the traces alone: it knows no covariances and no point, and answers another question,
but it is what one would take first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.lineage.run import postgres_database, sqlite_database

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TARGET_MS = 20.0


def measured(url: str, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as data:
        env = os.environ | {"CORR_DATABASE_URL": url, "CORR_DATA_ROOT": data, "CORR_NO_BOOTSTRAP": "1"}
        for command in (["manage.py", "migrate", "-v0"], ["-m", "benchmarks.paths.measure", str(seed)]):
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def report(found: dict[str, dict], seed: int) -> str:
    machine = (
        f"{platform.machine()}, {os.cpu_count()} processors shared with others, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    lines = [
        "# Paths between frames",
        "",
        f"Made by `python -m benchmarks.paths.run --seed {seed}`: 1,000 frames with poses in a common one, 3,000",
        "accepted transforms with covariances of rank 6, 40 pairs of frames. `map` is the whole service (search at",
        "nine places of a box of points, exact covariances; a million points of one place are one call), `path` one",
        "search at a point; statements to the database are counted. networkx is Dijkstra on fixed weights, which knows",
        "neither covariances nor the point.",
        "",
        f"- machine: {machine}",
        f"- target: a path in at most {TARGET_MS:g} ms, a constant number of statements",
        "",
        "| database | what | median ms | slowest ms | median CPU ms | statements |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_line(name, row) for name, rows in found.items() for row in rows["rows"]]
    return "\n".join([*lines, ""])


def _line(name: str, row: dict) -> str:
    times = " | ".join(f"{row[key]:.1f}" for key in ("median_ms", "slowest_ms", "cpu_ms"))
    return f"| {name} | {row['what']} | {times} | {row['statements']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    found = {}
    with sqlite_database() as url:
        found["SQLite"] = measured(url, seed)
    with postgres_database() as url:
        found["PostgreSQL"] = measured(url, seed)
    (RESULTS / "paths.json").write_text(json.dumps(found, indent=1) + "\n")
    text = report(found, seed)
    (RESULTS / "paths.md").write_text(text)
    print(text)
    paths = [row for rows in found.values() for row in rows["rows"] if row["what"] == "path"]
    sys.exit(any(row["median_ms"] > TARGET_MS for row in paths))


if __name__ == "__main__":
    main()
