"""Fuzz each of our parsers for a while, and report how far each run got.

python -m benchmarks.fuzz.run [--seconds 60] [--shared PATH]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.readers.fuzz import TARGETS

REPO_ROOT = Path(__file__).resolve().parents[2]
REPORT = REPO_ROOT / "benchmarks" / "results" / "fuzz.md"
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_COVER = re.compile(r"cov: (\d+)")


def run(target: str, seconds: int, shared: Path) -> tuple[str, str]:
    """Row of the table, and the end of what a run that found something said."""
    command = [sys.executable, "-m", "tests.readers.fuzz", target, "--seconds", str(seconds), "--shared", str(shared)]
    done = subprocess.run(command, check=False, cwd=REPO_ROOT, capture_output=True, text=True, errors="replace")
    runs = _DONE.search(done.stderr)
    cover = _COVER.findall(done.stderr)
    found = "none" if done.returncode == 0 else "yes"
    row = f"| {target} | {runs[1] if runs else '-'} | {cover[-1] if cover else '-'} | {found} |"
    return row, "" if done.returncode == 0 else done.stderr[-1500:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--shared", type=Path, default=REPO_ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    rows, findings = [], []
    for target in TARGETS:
        row, finding = run(target, given.seconds, given.shared)
        print(row, flush=True)
        rows.append(row)
        findings += [f"## {target}\n\n```\n{finding}\n```\n"] if finding else []
    head = (
        "# Fuzzed parsers\n\n"
        f"Made by `python -m benchmarks.fuzz.run --seconds {given.seconds}`: atheris, seeds from real files.\n"
        "A finding is an exception that is no refusal, 30 s for one input, or 2 GB.\n\n"
        "| parser | inputs | edges covered | findings |\n|---|---|---|---|\n"
    )
    REPORT.write_text(head + "\n".join([*rows, "", *findings]))


if __name__ == "__main__":
    main()
