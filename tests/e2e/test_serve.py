"""The one-machine server, killed in every way: siblings, restarts, pid files, health, and jobs that end once.

It runs on the database server and the broker that this run of the tests is about.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.served import Served, is_gone, services, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
SLOW_STORE: dict[str, Any] = {"files": 40, "pause": 0.05}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    root = Path(tempfile.mkdtemp(prefix="corr-e2e-"))
    with services() as environment:
        server = Served(root, **environment)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(root, ignore_errors=True)


def one_result(found: dict[str, Any]) -> None:
    """A succeeded job has one ending in the ledger and one published store, of the attempt that counts."""
    assert found["status"] == "succeeded", found
    assert found["ends"] == 1
    assert [attempt for _, attempt in found["ready"]] == [found["attempt"]]
    assert found["outputs"]["out"]["id"] == found["ready"][0][0]


def tidy(server: Served) -> None:
    found = server.call("tidy")
    removed = found.pop("removed")
    assert found == {"again": [], "keys_without_row": [], "rows_without_bytes": [], "staged": 0, "staging": []}, removed


def test_all_parts_are_up_and_are_siblings(served: Served) -> None:
    health = served.health()
    assert health == {
        "code": 200,
        "status": "ok",
        **dict.fromkeys(("web", "database", "broker", "worker", "reaper"), "up"),
    }
    assert served.process is not None
    for role in ("web", "worker", "reaper"):
        assert psutil.Process(served.pid(role)).ppid() == served.process.pid
    listening = [
        connection.laddr
        for child in psutil.Process(served.process.pid).children(recursive=True)
        for connection in child.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {(address.ip, address.port) for address in listening} == {("127.0.0.1", served.port)}


@pytest.mark.broker
def test_an_empty_job_is_quick(served: Served) -> None:
    served.wait_ended(served.submit("nothing"))
    waits = []
    for _ in range(3):
        found = served.wait_ended(served.submit("nothing"))
        assert found["status"] == "succeeded"
        waits.append(found["finished"] - found["created"])
    assert min(waits) < 6.0, waits  # the benchmark measures it on an idle machine


@pytest.mark.broker
def test_cancel_reaches_a_running_job(served: Served) -> None:
    job = served.submit("sleep", request={"seconds": 60})
    wait_for(lambda: served.call("job", pk=job)["progress"] > 0, 30)
    asked = time.time()
    served.call("cancel", pk=job)
    found = served.wait_ended(job)
    assert found["status"] == "cancelled"
    assert found["finished"] - asked < 3.0


@pytest.mark.parametrize("role", ["worker", "reaper", "web"])
def test_a_killed_part_is_started_again(served: Served, role: str) -> None:
    others = {name: served.pid(name) for name in ("web", "worker", "reaper") if name != role}
    old = served.kill(role)
    wait_for(lambda: served.pid(role) != old, 2.0, f"{role}.pid rewritten")
    assert {name: served.pid(name) for name in others} == others
    served.wait_healthy(60)


@pytest.mark.broker
@pytest.mark.parametrize("what", ["child", "worker", "group", "reaper", "web"])
def test_a_job_survives_the_death_of(served: Served, what: str) -> None:
    job = served.submit("store", request=SLOW_STORE)
    wait_for(lambda: served.call("job", pk=job)["progress"] > 0.1, 60)
    if what == "child":
        assert served.kill_work()
    elif what == "group":
        served.kill("worker", group=True)
    else:
        served.kill(what)
    found = served.wait_ended(job)
    one_result(found)
    assert found["attempt"] == (2 if what in ("child", "worker", "group") else 1)
    served.wait_healthy(60)
    tidy(served)


@pytest.mark.sqlite_only
def test_jobs_wait_for_a_broker_that_died(served: Served) -> None:
    assert served.process is not None
    broker = next(child for child in psutil.Process(served.process.pid).children() if "redis" in child.name())
    broker.kill()
    job = served.submit("store", request={"files": 2})
    one_result(served.wait_ended(job, 120))
    served.wait_healthy(60)


def test_a_worker_that_slept_past_its_lease_cannot_publish(served: Served) -> None:
    """Stopped, overtaken, continued: the first attempt's result is refused although its work was finished."""
    job = served.submit("store", request=SLOW_STORE)
    wait_for(lambda: served.call("job", pk=job)["progress"] > 0.1, 60)
    sleeper = served.pid("worker")
    os.kill(sleeper, signal.SIGSTOP)
    other = served.spawn([sys.executable, "manage.py", "worker"])
    try:
        found = served.wait_ended(job)
        one_result(found)
        assert found["attempt"] == 2
        os.kill(sleeper, signal.SIGCONT)
        time.sleep(3.0)
        assert served.pid("worker") == sleeper
        assert served.call("job", pk=job) == found
        one_result(served.wait_ended(served.submit("store", request={"files": 2})))
    finally:
        os.kill(sleeper, signal.SIGCONT)
        other.terminate()
        other.wait(30)
    tidy(served)


@pytest.mark.sqlite_only
def test_a_poison_job_ends_and_the_worker_goes_on(served: Served) -> None:
    job = served.submit("crash", request={"signal": "SIGKILL"})
    found = served.wait_ended(job, 240)
    assert (found["status"], found["exit_code"], found["attempt"]) == ("errored", "worker_lost", 10)
    assert served.wait_ended(served.submit("nothing"))["status"] == "succeeded"


@pytest.mark.sqlite_only
def test_a_second_server_on_the_same_data_root_is_refused(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--port", "0"],
        cwd=Path(__file__).parents[2],
        env=served.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "another server runs on" in done.stderr


# ------------------------------------------------------------------------------------------------- servers of their own


@pytest.mark.sqlite_only
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_server(tmp_path: Path, how: signal.Signals) -> None:
    # a data root so deep that the broker's socket cannot lie in it
    root = tmp_path / ("deep" * 20)
    root.mkdir(parents=True)
    server = Served(root)
    try:
        server.start()
        job = server.submit("deaf", request={"seconds": 600})
        wait_for(lambda: "deaf now" in server.call("job", pk=job)["log"], 60)
        children = server.children()
        assert len(children) >= 5
        assert server.process is not None
        server.process.send_signal(how)
        server.process.wait(30)
        wait_for(lambda: all(is_gone(pid) for pid in children), 5)
        if how != signal.SIGKILL:
            assert server.call("job", pk=job)["status"] == "queued"
            assert not (root / "run" / "worker.pid").exists()
    finally:
        server.stop()


@pytest.mark.sqlite_only
def test_a_full_disk_under_everything(tmp_path: Path) -> None:
    """Database, staging and stores on one small disk: the job fails, nothing is left, and the next job runs."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(mount)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"full disk: a tmpfs cannot be mounted here ({done.stderr.strip()})")
    server = Served(mount)
    try:
        server.start()
        found = server.wait_ended(server.submit("fill"), 120)
        assert (found["status"], found["exit_code"], found["ends"]) == ("errored", "storage_full", 1), found
        tidy(server)
        one_result(server.wait_ended(server.submit("store", request={"files": 2})))
    finally:
        server.stop()
        subprocess.run(["umount", "-l", str(mount)], check=True)
