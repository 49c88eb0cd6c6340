"""Cut and flip one small file of each format, all cases, and report how each ended.

python -m benchmarks.damage.run [--shared PATH] [--only FORMAT]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests.readers.damage import MEMORY_BYTES, SECONDS, Ended, Reader, cuts, damaged, flips
from tests.readers.samples import SAMPLES, Sample

REPO_ROOT = Path(__file__).resolve().parents[2]
REPORT = REPO_ROOT / "benchmarks" / "results" / "damage.md"


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
        for damage in [*cuts(size), *flips(size, sample=sample.flips)]:
            with damaged(target, damage):
                ended.append(reader.read(path, beside, damage))
    return ended


def report(results: dict[str, list[Ended]]) -> str:
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
    for name, ended in results.items():
        counts = Counter(e.outcome for e in ended)
        wrong = sum(e.wrong for e in ended)
        slowest = max(e.seconds for e in ended)
        lines.append(f"| {name} | {len(ended)} | {counts['read']} | {counts['refused']} | {wrong} | {slowest:.2f} |")
    findings = [
        f"- {name}: {e.damage}: {e.outcome} {e.detail}" for name, all_ in results.items() for e in all_ if e.wrong
    ]
    return "\n".join([*lines, "", "## Findings", "", *(findings[:200] or ["None."]), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=REPO_ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="one format, without writing the report")
    options = parser.parse_args()
    results = {}
    with Reader() as reader:
        for sample in SAMPLES:
            if options.only not in (None, sample.format):
                continue
            with tempfile.TemporaryDirectory() as scratch:
                results[sample.format] = run(sample, options.shared / "microscopy", reader, Path(scratch))
            found = results[sample.format]
            print(sample.format, len(found), "cases,", sum(e.wrong for e in found), "findings", flush=True)
    text = report(results)
    if options.only:
        print(text)
    else:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
