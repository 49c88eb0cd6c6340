"""Damage documents for a while, and report how each reader took it; the short run is a test of the readers.

Run from the root of the checkout: ``python -m benchmarks.prov.fuzz [--seconds 60] [--seed 1] [--shared PATH]``.  A
finding is an exception that is no refusal, or 5 s of processor time for one document.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.provenance.constraints.mutations import run

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "results" / "prov-fuzz.md"
FORMATS = {"provn": "provn", "json": "json", "xml": "xml", "turtle": "ttl"}
MOST = 5.0


def seeds(shared: Path, suffix: str) -> list[bytes]:
    folder = shared / "prov-cases"
    cases = json.loads((folder / "manifest.json").read_text())["cases"]
    paths = [folder / f["path"] for case in cases for f in case["files"] if f["format"] == suffix]
    return [path.read_bytes() for path in paths if path.stat().st_size < 20_000]


def fuzz(form: str, found: list[bytes], seconds: float, seed: int) -> tuple[Counter[str], float, str]:
    """Return how the documents ended, the slowest one's processor seconds, and what went wrong."""
    ends: Counter[str] = Counter()
    begin = last = time.process_time()
    slowest = 0.0
    try:
        for how, _ in run(form, found, sys.maxsize, seed):
            ends[how] += 1
            now = time.process_time()
            slowest, last = max(slowest, now - last), now
            if now - begin > seconds:
                break
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return ends, slowest, f"{type(error).__name__}: {error}"
    return ends, slowest, "slow" if slowest > MOST else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    rows, findings = [], 0
    for form, suffix in FORMATS.items():
        ends, slowest, wrong = fuzz(form, seeds(given.shared, suffix), given.seconds, given.seed)
        findings += bool(wrong)
        counts = " | ".join(f"{ends[how]:,}" for how in ("refused", "invalid", "valid"))
        rows.append(f"| {form} | {sum(ends.values()):,} | {counts} | {slowest * 1000:.0f} | {wrong or 'none'} |")
        print(rows[-1], flush=True)
    head = [
        "# Damaged PROV documents",
        "",
        f"Written by `python -m benchmarks.prov.fuzz --seconds {given.seconds:g} --seed {given.seed}`: documents of",
        "the conformance cases, damaged in one to six places, read and judged. A finding is an exception that is no",
        "refusal, or 5 s of processor time for one document.",
        "",
        "| form | documents | refused | not valid | valid | slowest ms | findings |",
        "|---|---|---|---|---|---|---|",
    ]
    REPORT.write_text("\n".join([*head, *rows]) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
