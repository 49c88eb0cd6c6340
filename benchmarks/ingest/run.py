"""Compare the ingest of a volume and a tiled mosaic with its limit and with other writers.

    python benchmarks/ingest/run.py [--runs 5] [--edge 512] [--mosaic 16384] [--work DIR] [--peer-python PYTHON]

The limit reads the input, cuts it into the same chunks, compresses every level with the same codec and as many threads,
and appends all of it to one file; its levels are made by leaving samples out.  Programs take turns, so that a busy
moment of the machine does not fall on one of them.  Writes ``benchmarks/results/ingest.md`` and ``.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import inputs  # noqa: E402
import programs  # noqa: E402

RESULTS = HERE.parent / "results"
MAX_RATIO, MAX_PRIVATE = 2.0, 512 << 20
SAMPLE_SECONDS = 0.02
HEADING = """# Ingest: from a TIFF to a finished OME-Zarr store

Written by `benchmarks/ingest/run.py`. Wall and CPU are medians over runs of a process each, from after the imports to
the finished store; memory is the highest seen in any run, sampled every 20 ms, imports included.
The limit makes its levels by leaving samples out and holds what it likes in memory. `ours` reads through the project's
reader, makes exact means, hashes every file and writes the manifest; `synced and read back` adds fsync of every file
and a verification that reads all bytes again. `of the limit` compares median wall times,
`fastest of it` the fastest runs, `CPU of it` processor times: the last two are less moved by whatever else runs.
"""


class MemorySampler(threading.Thread):
    """Peak of the anonymous and of all private memory of a process, as the kernel counts it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.anonymous, self.private = pid, 0, 0
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
            except OSError:
                return
            sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in rollup.splitlines()[1:]}
            self.anonymous = max(self.anonymous, sizes["Anonymous"])
            self.private = max(self.private, sizes["Private_Clean"] + sizes["Private_Dirty"])
            self.ended.wait(SAMPLE_SECONDS)


def run_once(python: str, name: str, source: Path, work: Path, threads: int) -> dict:
    target = work / "out"
    shutil.rmtree(target, ignore_errors=True)
    target.unlink(missing_ok=True)
    with source.open("rb") as stream:  # everyone finds the input in the page cache
        while stream.read(1 << 24):
            pass
    os.sync()
    command = [python, str(HERE / "programs.py"), name, str(source), str(target), str(threads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    sampler = MemorySampler(process.pid)
    sampler.start()
    output, errors = process.communicate()
    sampler.ended.set()
    sampler.join()
    if process.returncode:
        return {"failed": errors.strip().splitlines()[-1][:200]}
    return json.loads(output.splitlines()[-1]) | {"anonymous": sampler.anonymous, "private": sampler.private}


def summarise(runs: list[dict], limit: list[dict]) -> dict:
    for key in ("missing", "failed"):
        if key in runs[0]:
            return {key: runs[0][key]}
    summary = {key: statistics.median(r[key] for r in runs) for key in ("wall", "cpu", "bytes", "files")}
    summary |= {key: max(r[key] for r in runs) for key in ("anonymous", "private")}
    summary |= {"wall_all": [round(r["wall"], 3) for r in runs]}
    for key, name in (("wall", "ratio"), ("cpu", "cpu_ratio")):
        summary[name] = summary[key] / statistics.median(r[key] for r in limit)
    summary["fastest_ratio"] = min(r["wall"] for r in runs) / min(r["wall"] for r in limit)
    return summary


def measure(label: str, source: Path, work: Path, options: argparse.Namespace, threads: int) -> dict:
    names = [n for n in programs.PROGRAMS if not options.only or n in options.only]
    runs: dict[str, list[dict]] = {name: [] for name in names}
    for number in range(options.runs):
        for name in names:
            peer = name in ("ome-zarr-py", "ngff-zarr")
            if peer and number >= options.peer_runs:
                continue
            python = options.peer_python if name == "ngff-zarr" and options.peer_python else sys.executable
            runs[name].append(run_once(python, name, source, work, threads))
            print(label, name, runs[name][-1], flush=True)
    return {name: summarise(found, runs["limit"]) for name, found in runs.items() if found}


def table(results: dict) -> str:
    columns = ["input", "program", "wall s", "of the limit", "fastest of it", "CPU s", "CPU of it"]
    columns += ["private MiB", "anonymous MiB", "stored MiB", "files", "runs"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for label, found in results.items():
        for name, r in found.items():
            if "missing" in r or "failed" in r:
                reason = f"not installed ({r['missing']})" if "missing" in r else f"failed: {r['failed']}"
                lines.append(f"| {label} | {name} | {reason} | | | | | | | | | |")
                continue
            sizes = [f"{r[key] / 2**20:.0f}" for key in ("private", "anonymous", "bytes")]
            times = [f"{r[key]:.2f}" for key in ("wall", "ratio", "fastest_ratio", "cpu", "cpu_ratio")]
            cells = [label, name, *times, *sizes, f"{r['files']:.0f}", str(len(r["wall_all"]))]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def report(results: dict, facts: dict) -> str:
    verdicts = []
    for label, found in results.items():
        r = found["ours"]
        good = r["ratio"] <= MAX_RATIO and r["private"] <= MAX_PRIVATE
        verdicts.append(
            f"- {label}: {r['ratio']:.2f} of the limit (at most {MAX_RATIO}), {r['private'] / 2**20:.0f} MiB private "
            f"(at most {MAX_PRIVATE >> 20}): {'met' if good else 'NOT met'}"
        )
    listed = "\n".join(f"- {key}: {value}" for key, value in facts.items())
    return f"{HEADING}\n{listed}\n\n" + "\n".join(verdicts) + f"\n\n{table(results)}\n"


def filesystem(path: Path) -> str:
    """Type of the file system that inputs and outputs lie on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    within = [(len(point), kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(within)[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-runs", type=int, default=3, help="runs of the other writers, which take long")
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--mosaic", type=int, default=16384)
    parser.add_argument("--work", type=Path, help="folder for inputs and outputs (a temporary one by default)")
    parser.add_argument("--peer-python", help="interpreter of an environment with ngff-zarr")
    parser.add_argument("--only", action="append", help="run this program only (may be repeated; keep `limit`)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        work = Path(scratch)
        made = {
            f"volume {options.edge}^3 uint16": work / "volume.tif",
            f"mosaic {options.mosaic}^2 uint16": work / "mosaic.tif",
        }
        inputs.make_volume(work / "volume.tif", options.edge)
        inputs.make_mosaic(work / "mosaic.tif", options.mosaic)
        results = {label: measure(label, source, work, options, threads) for label, source in made.items()}
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {threads} processors shared with others, Python {platform.python_version()}",
        "load at the end": f"{os.getloadavg()[0]:.1f}",
        "threads": f"{threads} in every program",
        "work folder": filesystem(options.work or Path(tempfile.gettempdir())),
        "samples": inputs.fibre_volume()[1],
    }
    options.results.mkdir(parents=True, exist_ok=True)
    text = report(results, facts)
    (options.results / "ingest.md").write_text(text)
    (options.results / "ingest.json").write_text(json.dumps({"facts": facts, "results": results}, indent=1) + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
