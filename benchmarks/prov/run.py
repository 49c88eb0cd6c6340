"""Time of reading and judging PROV-JSON beside the time that the package ``prov`` needs to parse the same text.

Run from the root of the checkout: ``python -m benchmarks.prov.run``.  Each measurement is a process of its own, ours
and ``prov``'s in turn; what counts is processor time, which other work on the machine moves less, and the fastest of
the rounds.  Writes ``benchmarks/results/prov.md``; ends with 1 if a limit is not met.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "benchmarks" / "results" / "prov.md"
SIZES = (1_000, 10_000, 100_000)
T0 = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def document(count: int) -> str:
    """A chain of activities as PROV-JSON, six statements a link: what a laboratory's exports are made of."""
    kinds = ("entity", "activity", "agent", "used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith")
    found: dict[str, dict] = {"prefix": {"ex": "http://example.org/"}, **{kind: {} for kind in kinds}}
    found["agent"]["ex:ag"] = {"prov:type": {"$": "prov:Person", "type": "prov:QUALIFIED_NAME"}}
    for k in range(count // 6):
        begin, end = ((T0 + dt.timedelta(minutes=2 * k + half)).isoformat() for half in (0, 1))
        image = {"prov:type": {"$": "ex:Image", "type": "prov:QUALIFIED_NAME"}, "prov:label": f"image {k}", "ex:n": k}
        found["entity"][f"ex:e{k}"] = image
        found["activity"][f"ex:a{k}"] = {"prov:startTime": begin, "prov:endTime": end}
        found["wasGeneratedBy"][f"_:g{k}"] = {
            "prov:entity": f"ex:e{k}",
            "prov:activity": f"ex:a{k}",
            "prov:time": end,
        }
        found["wasAssociatedWith"][f"_:w{k}"] = {"prov:activity": f"ex:a{k}", "prov:agent": "ex:ag"}
        source = f"ex:e{k - 1}" if k else "ex:source"
        found["used"][f"_:u{k}"] = {"prov:activity": f"ex:a{k}", "prov:entity": source}
        found["wasDerivedFrom"][f"_:d{k}"] = {
            "prov:generatedEntity": f"ex:e{k}",
            "prov:usedEntity": source,
            "prov:activity": f"ex:a{k}",
        }
    return json.dumps(found)


def measure(program: str, path: Path) -> dict[str, float]:
    """Run one program in a process of its own; processor seconds of the work without imports, peak memory."""
    command = [sys.executable, "-m", "benchmarks.prov.run", "--measure", program, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def work(program: str, path: Path) -> None:
    text = path.read_text()
    if program == "prov":
        from prov.model import ProvDocument

        begin = time.process_time()
        ProvDocument.deserialize(content=text, format="json")
        seconds = {"total": time.process_time() - begin}
    else:
        from apps.provenance.constraints import read_provjson, validate

        begin = time.process_time()
        read = read_provjson(text)
        middle = time.process_time()
        report = validate(read)
        end = time.process_time()
        assert report.valid
        seconds = {"total": end - begin, "read": middle - begin, "judged": end - middle, "steps": report.steps}
        seconds["records"] = report.records
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**seconds, "peak": peak}))


def compare(size: int, rounds: int, folder: Path) -> dict[str, float]:
    path = folder / f"{size}.json"
    path.write_text(document(size))
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(measure("ours", path))
        theirs.append(measure("prov", path))
    best, peer = (min(found, key=lambda one: one["total"]) for found in (ours, theirs))
    ratios = sorted(a["total"] / b["total"] for a, b in zip(ours, theirs, strict=True))
    return {
        **best,
        "size": size,
        "megabytes": path.stat().st_size / 1e6,
        "peer": peer["total"],
        "peer_peak": peer["peak"],
        "ratio": ratios[len(ratios) // 2],
        "worst": ratios[-1],
    }


def _row(row: dict[str, float]) -> str:
    seconds = (f"{row[name]:.3f}" for name in ("read", "judged", "total", "peer"))
    ratios = (f"{row[name]:.2f}" for name in ("ratio", "worst"))
    peaks = (f"{row[name] / 1e6:.0f}" for name in ("peak", "peer_peak"))
    return " | ".join([f"| {row['records']:,}", f"{row['megabytes']:.1f}", *seconds, *ratios, *peaks]) + " |"


def page(rows: list[dict[str, float]], rounds: int) -> tuple[str, bool]:
    growth = (rows[-1]["total"] / rows[-1]["records"]) / (rows[1]["total"] / rows[1]["records"])
    steps = [row["steps"] / row["records"] for row in rows]
    met = all(row["ratio"] <= 1 for row in rows) and max(steps) <= 1.1 * min(steps)
    machine = (
        f"{platform.machine()}, {os.cpu_count()} processors shared with others, Python {platform.python_version()}"
    )
    machine += f", load at the end {os.getloadavg()[0]:.1f}"
    lines = [
        "# A validator of PROV beside the parser of `prov`",
        "",
        "Written by `benchmarks/prov/run.py`. One PROV-JSON text, read and judged here, and parsed by the package",
        f"`prov`. Each measurement is a process of its own, imports left out; {rounds} rounds, the two in turn.",
        "Seconds are of the processor, of the fastest round; the ratio is the median of the rounds.",
        "",
        f"- date: {dt.datetime.now(dt.UTC).date()}",
        f"- machine: {machine}",
        f"- prov {importlib.metadata.version('prov')}",
        f"- reading and judging takes at most the time of parsing: {'met' if met else 'NOT met'}",
        f"- steps a statement: {', '.join(f'{value:.2f}' for value in steps)}: linear",
        f"- seconds a statement at {rows[-1]['size']:,} against {rows[1]['size']:,}: {growth:.2f}",
        "",
        "| statements | MB | read s | judged s | together s | prov s | ratio | worst ratio | peak MB | prov peak MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(row) for row in rows]
    return "\n".join(lines) + "\n", met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=2, metavar=("PROGRAM", "FILE"))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.measure:
        work(given.measure[0], Path(given.measure[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare(size, given.rounds, Path(folder)) for size in SIZES]
    text, met = page(rows, given.rounds)
    REPORT.write_text(text)
    print(text)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
