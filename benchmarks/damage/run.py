"""Cut and flip one small file of each format, all cases, and report how each ended.

python -m benchmarks.damage.run [--shared PATH] [--only FORMAT ...] [--resume]

Each format takes minutes; its result is kept as soon as it is there, so that a run that was stopped can go on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.readers.damage import MEMORY_BYTES, SECONDS, Ended, Reader, cuts, damaged, flips
from tests.readers.samples import SAMPLES, Sample

REPO_ROOT = Path(__file__).resolve().parents[2]
REPORT = REPO_ROOT / "benchmarks" / "results" / "damage.md"
KEPT = REPORT.with_suffix(".json")


def run(sample: Sample, folder: Path, reader: Reader, scratch: Path) -> list[Ended]:
    """All cases of one file and its side-cars."""
    source = folder / sample.file
    path = scratch / source.name
    beside = {name: scratch / name for name in sample.beside}
    for name in (source.name, *sample.beside):
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, scratch / name)
    ended = []
    for target in (path, *beside.values()):
        size = target.stat().st_size
        for damage in [*cuts(size), *flips(size)]:
            with damaged(target, damage):
                ended.append(reader.read(path, beside, damage))
    return ended


def summary(ended: list[Ended]) -> dict[str, Any]:
    """What is kept of the cases of a format."""
    counts = Counter(e.outcome for e in ended)
    return {
        "cases": len(ended),
        "read": counts["read"],
        "refused": counts["refused"],
        "findings": [f"{e.damage}: {e.outcome} {e.detail}" for e in ended if e.wrong],
        "slowest_s": round(max(e.seconds for e in ended), 2),
    }


def report(results: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "# Damaged files",
        "",
        "Made by `python -m benchmarks.damage.run`. One small real file a format, cut at 20 places and with each of",
        f"its first 4096 bytes flipped; read and decoded in a process that may take {MEMORY_BYTES >> 20} MB beyond its",
        f"code. A case that takes {SECONDS:g} s, ends the process or raises anything but a refusal is a finding.",
        "",
        "| format | cases | read | refused | findings | slowest (s) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['cases']} | {row['read']} | {row['refused']} | {len(row['findings'])} | {row['slowest_s']} |"
        for name, row in sorted(results.items())
    ]
    findings = [f"- {name}: {finding}" for name, row in results.items() for finding in row["findings"]]
    missing = [sample.format for sample in SAMPLES if sample.format not in results]
    unrun = ["", f"Not run yet: {', '.join(missing)}."] if missing else []
    return "\n".join([*lines, *unrun, "", "## Findings", "", *(findings[:200] or ["None."]), ""])


def kept() -> dict[str, Any]:
    """Results of the formats that were run before."""
    return dict(json.loads(KEPT.read_text())) if KEPT.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=REPO_ROOT.parent / "shared" / "data")
    parser.add_argument("--only", action="append", help="a format; may be given more than once")
    parser.add_argument("--resume", action="store_true", help="leave out formats of which a result is kept")
    options = parser.parse_args()
    asked = [sample for sample in SAMPLES if options.only is None or sample.format in options.only]
    with Reader() as reader:
        for sample in asked:
            if options.resume and sample.format in kept():
                continue
            with tempfile.TemporaryDirectory() as scratch:
                found = summary(run(sample, options.shared / "microscopy", reader, Path(scratch)))
            results = kept() | {sample.format: found}  # read anew: another run may have finished a format
            KEPT.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
            REPORT.write_text(report(results))
            print(sample.format, found, flush=True)


if __name__ == "__main__":
    main()
