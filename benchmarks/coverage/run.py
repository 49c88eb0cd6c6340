"""The box query among 200,000 regions, on SQLite and PostgreSQL, with and without the tree.

Run from the root of the checkout: ``python -m benchmarks.coverage.run``.  CORR_TEST_POSTGRES_URL names the server where
a database may be made.  Writes ``benchmarks/results/coverage.{json,md}``; ends with 1 if a target is missed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.lineage.run import postgres_database, sqlite_database, versions

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
COUNT = 200_000
LAYOUTS = (1, 1_000)  # frames among which the regions are shared out
TARGET_MS = 5.0
TIMED = ("a point in one frame", "300 um in one frame")


def measured(url: str, frames: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {
            "CORR_DATABASE_URL": url,
            "CORR_DATA_ROOT": folder,
            "CORR_NO_BOOTSTRAP": "1",
            "DJANGO_SETTINGS_MODULE": "corr_project.settings",
        }
        command = [sys.executable, "-m", "benchmarks.coverage.measure", str(COUNT), str(frames)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr + done.stdout)
    return json.loads(done.stdout.splitlines()[-1])


def table(reports: dict[str, list[dict]]) -> list[str]:
    lines = ["| database | frames | query | median ms | 95 % ms | found |", "|---|---|---|---|---|---|"]
    for database, found in reports.items():
        for report in found:
            for name, case in report["cases"].items():
                lines.append(
                    f"| {database} | {report['frames']} | {name} | {case['median_ms']:.2f} | {case['p95_ms']:.2f} |"
                    f" {case['found']:.1f} |"
                )
    return lines


def main() -> int:
    reports: dict[str, list[dict]] = {"SQLite": [], "PostgreSQL": []}
    for frames in LAYOUTS:
        with sqlite_database() as url:
            reports["SQLite"].append(measured(url, frames))
        with postgres_database() as url:
            reports["PostgreSQL"].append(measured(url, frames))
    medians = [report["cases"][name]["median_ms"] for found in reports.values() for report in found for name in TIMED]
    met = max(medians) <= TARGET_MS
    (RESULTS / "coverage.json").write_text(
        json.dumps({"versions": versions(), "machine": platform.processor() or platform.machine(), **reports}, indent=2)
        + "\n"
    )
    words = [
        f"# Regions by box: {COUNT:,} of them",
        "",
        "Times are of the whole call, from Python to Python. A point and a cube of 300 um at random places of a cube",
        "of 10 mm, regions of up to 100 um; 200 queries each (20 without the tree). Written by",
        "`python -m benchmarks.coverage.run`.",
        "",
        (
            f"Target: at most {TARGET_MS:g} ms in one frame, median: {'met' if met else 'missed'}"
            f" (the slowest: {max(medians):.2f} ms)."
        ),
        "",
        *table(reports),
        "",
        "Seconds to fill and to check the tree against the regions: "
        + "; ".join(
            f"{database}, {report['frames']} frames: {report['fill_s']:.0f} and {report['check_s']:.2f}"
            for database, found in reports.items()
            for report in found
        )
        + ".",
        "",
    ]
    (RESULTS / "coverage.md").write_text("\n".join(words))
    print("\n".join(words))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
