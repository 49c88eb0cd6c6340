"""A cube of 512 x 512 x 2048 counts through the server's own door: ingest, the spectrum at a place, element maps.

    python benchmarks/spectrum/run.py --spectrum FILE.msa [--edge 512] [--counts 2000] [--work DIR]

The cube is made from a real spectrum: Poisson draws around the measured counts, channel by channel, with a pattern
over the places; it is no measurement.  It comes in as an OME-Zarr zip through the service that receives files, is
ingested by a job in a process of its own, and is asked for by HTTP requests of a session through all of Django's
middleware, in this process.  Writes ``benchmarks/results/spectrum.md`` and ``.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO))
from analyses.sdk.omezarr import open_store, write_image  # noqa: E402
from analyses.sdk.values import SignalAxis  # noqa: E402

RESULTS = REPO / "benchmarks" / "results"
CHANNELS = 2048
AXES = ("e", "z", "y", "x")
SPECTRUM_MS, MAP_S = 50.0, 1.0
LINES = ("O_Ka", "S_Ka", "Co_Ka", "Co_La", "C_Ka", "Si_Ka")
HEADING = """# Spectrum images: in, and out both ways

Written by `benchmarks/spectrum/run.py`. The cube is **made from a real spectrum**: Poisson draws around the measured
counts with a pattern over the places; it is no measurement. Times of requests are from the call to the last byte of the
answer, through all of Django's middleware with a session, in one process. They are warm: after a first request, the
files in the page cache, at places and lines not asked for before. `CPU` is the median time of the processors, which
other work on the machine moves less. Every spectrum and map was compared with the samples.
"""


class Cube:
    """The cube as a lazy array: a slab is drawn when it is asked for, and is the same each time."""

    dtype = np.dtype("<u2")

    def __init__(self, spectrum: Any, edge: int, counts: float) -> None:
        self.shape = (CHANNELS, 1, edge, edge)
        self.expected = spectrum / spectrum.sum() * counts
        y, x = np.mgrid[0:edge, 0:edge] / edge
        self.patterns = (0.6 + 0.8 * x, 0.75 + 0.5 * np.sin(9 * y) * np.sin(7 * x))
        # Cobalt's K lines follow one pattern, all else the other, so that maps of lines differ.
        self.first = np.zeros(CHANNELS, bool)
        self.first[1340:1600] = True

    def __getitem__(self, key: Any) -> Any:
        rows, columns = key[-2:]
        rng = np.random.default_rng([7, rows.start])
        part = np.empty((CHANNELS, rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        for chosen, pattern in ((self.first, self.patterns[0]), (~self.first, self.patterns[1])):
            rate = self.expected[chosen][:, None, None] * pattern[rows, columns][None]
            part[chosen] = rng.poisson(rate)
        return part


def read_msa(path: Path) -> tuple[Any, SignalAxis]:
    """The counts of an MSA file's first channels, and their axis in keV."""
    header, _, body = path.read_text("latin-1").partition("#SPECTRUM")
    said = {
        line[1:].split(":")[0].strip(): line.split(":", 1)[1].strip() for line in header.splitlines() if ":" in line
    }
    rows = [line for line in body.split("#ENDOFDATA")[0].splitlines()[1:] if line.strip()]
    counts = np.array([float(row.split(",")[1]) for row in rows])[:CHANNELS]
    step, offset = float(said["XPERCHAN"]) / 1000, float(said["OFFSET"]) / 1000
    return counts, SignalAxis("energy", CHANNELS, offset, step, "keV")


def make_file(target: Path, spectrum: Any, axis: SignalAxis, edge: int, counts: float, work: Path) -> float:
    """Write the cube as a zip of OME-Zarr; returns seconds."""
    began = time.perf_counter()
    folder = work / "made" / "cube.zarr"
    write_image(
        folder, Cube(spectrum, edge, counts), axes=AXES, spacing_um={"y": 0.1, "x": 0.1}, kind="spectrum",
        signal=[axis], name="made from a real spectrum",
    )  # fmt: skip
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, str(path.relative_to(folder.parent)))
    return time.perf_counter() - began


def pieces(path: Path) -> Any:
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block


def ingest(source: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Take the file in and make the image; the account, the image's row, and what it took."""
    from apps.catalog.services import create_specimen
    from apps.imaging.models import Image
    from apps.imaging.services import create_acquisition, receive_files, start_ingest
    from apps.jobs import dispatch, runner
    from apps.projects.services import create_project, create_user

    dispatch.ring = lambda job_id: True
    user = create_user(username="bench", password="a-long-enough-word")
    project = create_project(actor=user, name="spectra")
    specimen = create_specimen(actor=user, project=project, name="made")
    acquisition = create_acquisition(actor=user, project=project, specimen=specimen, modality="eds")
    began = time.perf_counter()
    receive_files(actor=user, acquisition=acquisition, files=[(source.name, "application/zip", pieces(source))])
    received = time.perf_counter()
    job = start_ingest(actor=user, acquisition=acquisition)
    ended = runner.execute(job.pk)
    done = time.perf_counter()
    job.refresh_from_db()
    if ended != "succeeded":
        raise SystemExit(f"the ingest {ended}: {job.message}")
    image = Image.objects.select_related("store").get(acquisition=acquisition)
    return user, image, {
        "receive_s": received - began,
        "ingest_s": done - received,
        "ingest_child_s": job.timings["run"],
        "ingest_cpu_s": job.timings["cpu"],
        "ingest_rss_mib": job.facts["max_rss_bytes"] / 2**20,
    }  # fmt: skip


Times = tuple[float, float]  # of the clock, of the processor


def timed(ask: Callable[[], Any]) -> tuple[Times, Any]:
    began, spent = time.perf_counter(), time.process_time()
    answer = ask()
    body = answer.content
    seconds = time.perf_counter() - began, time.process_time() - spent
    if answer.status_code != 200:
        raise SystemExit(f"{answer.status_code}: {body[:300]!r}")
    return seconds, body


def ask(user: Any, image: Any, repeats: int) -> dict[str, list[Times]]:
    """Times of requests, every answer checked against the cube."""
    from django.test import Client

    from apps.core import storage

    client = Client()
    client.force_login(user)
    base = f"/api/v1/images/{image.pk}"
    array = open_store(storage.path(image.store.key)).level(0)
    edge = image.shape[-1]
    rng = np.random.default_rng(1)
    found: dict[str, list[Times]] = {
        name: [] for name in ("spectrum", "sum spectrum", "map png", "map npy", "thumbnail")
    }
    timed(lambda: client.get(f"{base}/spectrum/?x=0&y=0"))
    timed(lambda: client.get(f"{base}/element-map/?low=4&high=4.1"))
    for x, y in rng.integers(0, edge, (repeats, 2)).tolist():
        seconds, body = timed(lambda x=x, y=y: client.get(f"{base}/spectrum/?x={x}&y={y}"))
        if json.loads(body)["counts"] != array[:, 0, y, x].tolist():
            raise SystemExit(f"the spectrum at {x}, {y} is not that of the cube")
        found["spectrum"].append(seconds)
    for line in LINES:
        found["map png"].append(timed(lambda line=line: client.get(f"{base}/element-map/?line={line}"))[0])
        seconds, body = timed(lambda line=line: client.get(f"{base}/element-map/?line={line}&format=npy"))
        found["map npy"].append(seconds)
        told = json.loads(client.get(f"{base}/element-map/?line={line}&format=npy").headers["X-Corr-Map"])
        first, last = told["window"]["channels"]
        if not np.array_equal(np.load(io.BytesIO(body)), array[first : last + 1, 0].sum(axis=0)):
            raise SystemExit(f"the map of {line} is not that of the cube")
        found["sum spectrum"].append(timed(lambda: client.get(f"{base}/spectrum/"))[0])
        found["thumbnail"].append(timed(lambda: client.get(f"{base}/thumbnail.png?size=300"))[0])
    return found


def _ms(choose: Callable[[Any], float], values: list[Times], which: int) -> str:
    return f"{1000 * choose([pair[which] for pair in values]):.1f}"


def write_results(facts: dict[str, Any], times: dict[str, list[Times]]) -> None:
    rows = [
        f"| {name} | {_ms(statistics.median, values, 0)} | {_ms(min, values, 0)} | {_ms(max, values, 0)} | "
        f"{_ms(statistics.median, values, 1)} | {len(values)} |"
        for name, values in times.items()
    ]
    spectrum = 1000 * statistics.median(wall for wall, _ in times["spectrum"])
    slowest = max(wall for wall, _ in (*times["map png"], *times["map npy"]))
    met = {True: "met", False: "**not met**"}
    machine = (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors shared with others, "
        f"Python {platform.python_version()}, load at the end {os.getloadavg()[0]:.1f}"
    )
    taken = (
        f"received in {facts['receive_s']:.1f} s, ingested in {facts['ingest_s']:.1f} s "
        f"({facts['ingest_cpu_s']:.1f} CPU s, {facts['ingest_rss_mib']:.0f} MiB resident at most)"
    )
    disk = (
        f"{facts['stored_mib']:.0f} MiB in {facts['files']} files; sum image and sum spectrum are "
        f"{facts['side_kib']:.0f} KiB of it"
    )
    cube = (
        f"{facts['shape']} uint16, {facts['raw_mib']:.0f} MiB raw, {facts['counts']:.0f} counts a place on average, "
        f"from `{facts['spectrum']}`"
    )
    judged = (
        f"spectrum at a place: median {spectrum:.1f} ms (at most {SPECTRUM_MS:.0f} ms): {met[spectrum <= SPECTRUM_MS]}"
    )
    lines = [
        HEADING,
        f"- date: {time.strftime('%Y-%m-%d')}",
        f"- machine: {machine}",
        f"- cube: {cube}",
        f"- on disk: {disk}",
        f"- {taken}",
        "",
        f"- {judged}",
        f"- element map: slowest {slowest:.2f} s (at most {MAP_S:.0f} s): {met[slowest <= MAP_S]}",
        "",
        "| request | median ms | fastest ms | slowest ms | CPU ms | requests |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "spectrum.md").write_text("\n".join(lines))
    (RESULTS / "spectrum.json").write_text(json.dumps({"facts": facts, "seconds": times}, indent=1) + "\n")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spectrum", type=Path, required=True, help="an MSA file of at least 2048 channels")
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--counts", type=float, default=2000.0, help="a place, on average")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="spectrum-", dir=given.work))
    os.environ |= {"CORR_DATA_ROOT": str(work / "data"), "CORR_NO_BOOTSTRAP": "1", "CORR_DATABASE_URL": ""}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "corr_project.settings", "CORR_ALLOWED_HOSTS": "testserver"}
    try:
        counts, axis = read_msa(given.spectrum)
        made = make_file(work / "cube.zip", counts, axis, given.edge, given.counts, work)
        shutil.rmtree(work / "made")
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        user, image, facts = ingest(work / "cube.zip")
        entries = json.loads(image.store.manifest)
        side = sum(entry["size"] for entry in entries if entry["path"].startswith("sum"))
        facts |= {
            "shape": " x ".join(map(str, image.shape)), "raw_mib": np.prod(image.shape) * 2 / 2**20,
            "stored_mib": image.store.size_bytes / 2**20, "files": len(entries), "side_kib": side / 2**10,
            "counts": given.counts, "spectrum": given.spectrum.name, "made_s": made,
        }  # fmt: skip
        write_results(facts, ask(user, image, given.repeats))
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
