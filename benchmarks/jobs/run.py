"""Latency of an empty job, submit to succeeded, beside a bare Celery task on the same broker, in one run.

    python -m benchmarks.jobs.run [--rounds 20]

Both workers stay up; rounds alternate, so that noise of the machine falls on both.  The figure is the difference of the
medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LIMIT_SECONDS = 1.0


@contextmanager
def process(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for as long as the body lasts."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield child
        finally:
            child.terminate()
            child.wait(timeout=30)


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come up within {seconds:.0f} s")
        time.sleep(0.2)


def measure(rounds: int) -> dict[str, list[float]]:
    """Time both in alternating rounds; this process is set up for the installation under test."""
    from apps.jobs.models import Job
    from apps.jobs.services import create_job
    from apps.projects.services import create_project, create_user
    from apps.provenance import record
    from benchmarks.jobs.bare import nothing

    user = create_user(username="bench", password="a-long-enough-word")
    project = create_project(actor=user, name="bench")

    def job() -> None:
        with record.act("bench", actor=user, project=project.pk) as act:
            row = create_job(actor=user, project=project, kind="empty", params={}, inputs={}, act=act)
        while (status := Job.objects.values_list("status", flat=True).get(pk=row.pk)) in ("queued", "running"):
            time.sleep(0.005)
        if status != "succeeded":
            raise SystemExit(f"the empty job {status}")

    def bare() -> None:
        nothing.delay().get(timeout=60)

    times: dict[str, list[float]] = {"job": [], "bare": []}
    for _ in range(rounds + 2):
        for name, call in (("bare", bare), ("job", job)):
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: values[2:] for name, values in times.items()}


def run(rounds: int, data_root: Path) -> dict[str, Any]:
    """Start both workers, measure, and return the figures."""
    import django
    from django.core.management import call_command

    django.setup()
    import redis
    from django.conf import settings

    call_command("migrate", verbosity=0)
    port = "8497"
    environment = {"DJANGO_SETTINGS_MODULE": "benchmarks.jobs.settings", "CORR_NO_BOOTSTRAP": "1"}
    with process(sys.executable, "manage.py", "serve", "--port", port, **environment):
        socket = str(settings.CORR_BROKER_SOCKET)
        broker = redis.Redis(unix_socket_path=socket)
        wait_for(lambda: Path(socket).exists() and bool(broker.ping()), "the broker")
        url = f"redis+socket://{socket}?virtual_host=5"
        os.environ["BARE_BROKER"] = url
        pool = ("--pool", "threads", "--concurrency", "1", "--loglevel", "ERROR")
        with process(sys.executable, "-m", "celery", "-A", "benchmarks.jobs.bare", "worker", *pool, BARE_BROKER=url):
            wait_for((data_root / "run" / "worker.pid").exists, "the worker")
            time.sleep(10)
            return dict(measure(rounds))


def report(times: dict[str, list[float]]) -> str:
    """Write the table."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    above = medians["job"] - medians["bare"]
    lines = [
        "# What a tracked job costs",
        "",
        "An empty job, from submit to succeeded (claim, child process, environment, ledger, publishing), beside an",
        f"empty Celery task on the same embedded broker; {len(times['job'])} alternating rounds, median seconds.",
        "",
        "| | median s | fastest s | slowest s |",
        "|---|---|---|---|",
    ]
    for name, title in (("bare", "bare Celery task"), ("job", "tracked job")):
        values = times[name]
        lines.append(f"| {title} | {medians[name]:.3f} | {min(values):.3f} | {max(values):.3f} |")
    verdict = "held" if above <= LIMIT_SECONDS else "MISSED"
    lines += ["", f"Above bare Celery: **{above:.3f} s**; target at most {LIMIT_SECONDS:.0f} s: {verdict}.", ""]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark in a data root of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    data_root = Path(tempfile.mkdtemp(prefix="cb-"))
    os.environ |= {
        "CORR_DATA_ROOT": str(data_root),
        "DJANGO_SETTINGS_MODULE": "benchmarks.jobs.settings",
        "CORR_NO_BOOTSTRAP": "1",
    }
    try:
        times = run(rounds, data_root)
    finally:
        shutil.rmtree(data_root, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "jobs.json").write_text(json.dumps(times, indent=1) + "\n")
    (RESULTS / "jobs.md").write_text(report(times))
    sys.stdout.write(report(times))


if __name__ == "__main__":
    main()
