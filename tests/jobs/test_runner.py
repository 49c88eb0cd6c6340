"""One attempt at one job, with a real child process: how each way of ending looks from outside."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection

from analyses.sdk.manifest import Manifest, verify_store
from apps.core import storage
from apps.core.models import Store
from apps.jobs import kernel, runner, services, sweep
from apps.jobs.models import Job, JobAttempt
from apps.projects.models import User
from apps.provenance.models import Annotation, Edge, Event
from apps.provenance.relations import Relation

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Job]


def ended(job: Job, attempts: int = 1) -> Job:
    job.refresh_from_db()
    assert job.status in ("succeeded", "failed", "errored", "cancelled"), job.status
    assert (job.lease_until, job.finished_at is not None, job.attempt) == (None, True, attempts)
    open_attempts = JobAttempt.objects.filter(job=job, ended_at=None)
    assert not open_attempts.exists()
    return job


def log_of(job: Job) -> str:
    return "\n".join(job.log_lines.values_list("text", flat=True))


def in_background(work: Callable[[], Any]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_for(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def child_of(job: Job) -> psutil.Process | None:
    """The child process that works on a job, started by this process."""
    for process in psutil.Process().children():
        try:
            if str(job.pk) in " ".join(process.cmdline()):
                return process
        except psutil.NoSuchProcess:
            continue
    return None


# ------------------------------------------------------------------------------------------------------------ succeeded


def test_a_job_succeeds_and_says_on_what_it_ran(make_job: Make, nothing_left: Callable[[], None]) -> None:
    job = make_job("nothing", seed=5)
    assert runner.execute(job.pk) == "succeeded"
    job = ended(job)
    assert job.outputs["value"]["seed"] == 5
    assert job.progress == 1.0
    assert set(job.timings) == {"queued", "prepare", "run", "publish", "cpu"}
    assert all(seconds >= 0 for seconds in job.timings.values())
    assert job.timings["cpu"] > 0.01
    assert job.environment["digest"].startswith("sha256:")
    assert job.environment["versions"]["numpy"]
    assert job.facts["max_rss_bytes"] > 2**20
    nothing_left()


def test_equal_seeds_draw_equal_numbers(make_job: Make) -> None:
    draws = []
    for seed in (1, 1, 2):
        job = make_job("nothing", seed=seed)
        runner.execute(job.pk)
        draws.append(ended(job).outputs["value"]["draw"])
    assert draws[0] == draws[1] != draws[2]


def test_stores_are_published_ready_with_the_digest_of_their_bytes(make_job: Make) -> None:
    job = make_job("store", request={"names": ["labels", "history"], "files": 3})
    runner.execute(job.pk)
    job = ended(job)
    for name in ("labels", "history"):
        store = Store.objects.get(pk=job.outputs[name]["id"])
        assert (store.state, store.job_id, store.attempt, store.file_count) == ("ready", job.pk, 1, 3)
        manifest = Manifest.from_json(store.manifest)
        assert store.digest == manifest.digest
        assert verify_store(storage.path(store.key), manifest) == []
    assert list(storage.job_folders()) == []
    assert len(sweep.sweep_storage()) == 0


def test_the_end_is_in_the_ledger(make_job: Make, user: User) -> None:
    job = make_job("store")
    runner.execute(job.pk)
    job = ended(job)
    event = Event.objects.get(activity=job.pk)
    assert (event.verb, event.project) == ("probe", job.project_id)
    said: dict[str, Any] = {}
    for annotation in Annotation.objects.filter(node_id=job.pk):
        said |= annotation.attributes
    assert said["corr:outcome"] == "succeeded"
    assert said["corr:environment"] == job.environment["digest"]
    assert said["prov:startTime"] <= said["prov:endTime"]
    agents = Edge.objects.filter(subject_id=job.pk, relation=Relation.WAS_ASSOCIATED_WITH)
    assert user.pk in set(agents.values_list("object_id", flat=True))
    made = Edge.objects.filter(object_id=job.pk, relation=Relation.WAS_GENERATED_BY).values_list(
        "subject_id", flat=True
    )
    assert str(made.get()) == job.outputs["out"]["id"]


def test_progress_and_log_are_relayed(make_job: Make) -> None:
    job = make_job("sleep", request={"seconds": 2.0})
    thread = in_background(lambda: runner.execute(job.pk))
    seen = wait_for(lambda: Job.objects.filter(pk=job.pk, progress__gt=0.2, progress__lt=1).first())
    assert seen.progress_text == "sleeping"
    thread.join()
    talk = make_job("talk")
    runner.execute(talk.pk)
    text = log_of(ended(talk))
    for expected in ("said through the context", "printed", "to stderr", "bytes \ufffd\ufffd without an end of line"):
        assert expected in text


def test_reports_of_several_threads_do_not_mix(make_job: Make) -> None:
    job = make_job("threads", plan={"threads": 2})
    runner.execute(job.pk)
    assert ended(job).outputs["value"] == {"threads": 2}
    lines = [line for line in log_of(job).splitlines() if line.startswith("thread")]
    assert len(lines) == 200
    assert all(line.endswith("y" * 200) for line in lines)


def test_a_log_is_cut_at_its_limit(make_job: Make) -> None:
    job = make_job("chatter", request={"lines": 30_000})
    runner.execute(job.pk)
    text = log_of(ended(job))
    assert len(text) < 1_100_000
    assert "the rest is dropped" in text


def test_the_child_sees_no_secret_and_no_stdin(make_job: Make, settings: Any) -> None:
    job = make_job("environment", plan={"threads": 3})
    runner.execute(job.pk)
    value = ended(job).outputs["value"]
    assert not [name for name in value["names"] if name.startswith(("CORR_", "DJANGO_"))]
    assert "OMP_NUM_THREADS" in value["names"]
    assert value["stdin"] == ""
    assert value["umask"] == 0o077
    assert value["cwd"].endswith("/scratch")


# ---------------------------------------------------------------------------------------------- failed, errored, limits


@pytest.mark.parametrize(
    ("params", "status", "exit_code", "message"),
    [
        ({"do": "fail"}, "failed", "no_contrast", "all samples are 7"),
        ({"do": "plugin_error"}, "failed", "no_contrast", "value = 7"),
        ({"do": "nothing", "refuse_prepare": "no scale"}, "failed", "not_possible", "no scale"),
        ({"do": "store", "refuse_publish": "not closed"}, "failed", "not_publishable", "not closed"),
        ({"do": "bug"}, "errored", "exception", "ZeroDivisionError: an unforeseen one"),
        ({"do": "no_such_target"}, "errored", "exception", "AttributeError"),
        ({"do": "not_json"}, "errored", "exception", "not JSON"),
        ({"do": "memory", "plan": {"memory_bytes": 2**30}}, "errored", "out_of_memory", "more memory"),
        ({"do": "sleep", "request": {"seconds": 60}, "plan": {"seconds": 1.0}}, "errored", "time_limit", "time limit"),
        ({"do": "spin", "plan": {"seconds": 1.0}}, "errored", "time_limit", "time limit"),
        ({"do": "deaf", "request": {"seconds": 60}, "plan": {"seconds": 1.0}}, "errored", "time_limit", "time limit"),
        ({"do": "crash", "request": {"signal": "SIGSEGV"}}, "errored", "crashed", "SIGSEGV"),
        ({"do": "crash", "request": {"signal": "SIGABRT"}}, "errored", "crashed", "SIGABRT"),
        ({"do": "leave", "request": {"status": 3}}, "errored", "crashed", "status 3"),
        ({"do": "leave", "request": {"status": 0}}, "errored", "crashed", "status 0"),
        ({"do": "full"}, "errored", "storage_full", "disk is full"),
        ({"do": "link"}, "errored", "bad_output", "symbolic link"),
        ({"do": "store", "request": {"spoil": True}}, "errored", "bad_output", "digest"),
        ({"do": "store", "request": {"files": 0}}, "errored", "bad_output", "not written: out"),
        (
            {"do": "store", "request": {"names": ["a", "b"]}, "plan": {"stores": 1}},
            "errored",
            "bad_output",
            "at most 1",
        ),
        ({"do": "store", "request": {"names": ["white space"]}}, "errored", "bad_output", "letters"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_endings_without_result(
    make_job: Make, nothing_left: Callable[[], None], params: dict[str, Any], status: str, exit_code: str, message: str
) -> None:
    job = make_job(**params)
    before = Event.objects.count()
    assert runner.execute(job.pk) == status
    job = ended(job)
    assert (job.status, job.exit_code) == (status, exit_code), job.message
    assert message in job.message
    assert job.outputs == {}
    assert not Store.objects.exists()
    nothing_left()
    assert Event.objects.count() == before + 1
    assert Event.objects.get(activity=job.pk).verb == "probe"


def test_the_traceback_of_a_bug_is_in_the_log(make_job: Make) -> None:
    job = make_job("bug")
    runner.execute(job.pk)
    assert "ZeroDivisionError: an unforeseen one" in log_of(ended(job))
    assert "targets.py" in log_of(job)


def test_a_crash_leaves_its_stack_in_the_log(make_job: Make) -> None:
    job = make_job("crash", request={"signal": "SIGSEGV"})
    runner.execute(job.pk)
    assert "Fatal Python error: Segmentation fault" in log_of(ended(job))


def test_what_a_child_started_dies_with_it(make_job: Make, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    job = make_job("offspring", request={"note": str(note)})
    runner.execute(job.pk)
    assert ended(job).status == "succeeded"
    wait_for(
        lambda: (
            not psutil.pid_exists(int(note.read_text())) or psutil.Process(int(note.read_text())).status() == "zombie"
        )
    )


# --------------------------------------------------------------------------------------------------------------- cancel


def test_cancel_stops_a_running_child_soon(make_job: Make, user: User, nothing_left: Callable[[], None]) -> None:
    job = make_job("sleep", request={"seconds": 60})
    thread = in_background(lambda: runner.execute(job.pk))
    wait_for(lambda: Job.objects.filter(pk=job.pk, progress__gt=0))
    asked = time.monotonic()
    services.request_cancel(actor=user, job=job)
    thread.join()
    assert time.monotonic() - asked < 2.0
    assert ended(job).status == "cancelled"
    assert (job.cancel_requested, job.cancel_requested_by) == (True, user)
    nothing_left()


def test_cancel_kills_a_child_that_does_not_listen(
    make_job: Make, user: User, nothing_left: Callable[[], None]
) -> None:
    job = make_job("deaf", request={"seconds": 60})
    thread = in_background(lambda: runner.execute(job.pk))
    wait_for(lambda: "deaf now" in log_of(job))
    services.request_cancel(actor=user, job=job)
    thread.join()
    assert ended(job).status == "cancelled"
    nothing_left()


# ------------------------------------------------------------------------------------------------ lost, killed, stopped


def test_a_child_killed_from_outside_is_tried_again(make_job: Make, nothing_left: Callable[[], None]) -> None:
    job = make_job("sleep", request={"seconds": 2})
    outcomes: list[str] = []
    thread = in_background(lambda: outcomes.append(runner.execute(job.pk)))
    wait_for(lambda: child_of(job)).kill()
    thread.join()
    assert outcomes == ["killed"]
    job.refresh_from_db()
    assert (job.status, job.rung_at, job.worker) == ("queued", None, "")
    nothing_left()
    assert runner.execute(job.pk) == "succeeded"
    assert ended(job, attempts=2).outputs == {"value": {}}
    assert list(job.attempts.values_list("outcome", flat=True)) == ["killed", "succeeded"]


def test_a_job_whose_child_is_always_killed_ends(make_job: Make, settings: Any) -> None:
    settings.CORR_MAX_ATTEMPTS = 3
    job = make_job("crash", request={"signal": "SIGKILL"})
    assert [runner.execute(job.pk) for _ in range(4)] == ["killed", "killed", "errored", ""]
    assert ended(job, attempts=3).exit_code == "worker_lost"


def test_a_worker_that_stops_gives_the_job_back(make_job: Make, nothing_left: Callable[[], None]) -> None:
    job = make_job("sleep", request={"seconds": 60})
    outcomes: list[str] = []
    thread = in_background(lambda: outcomes.append(runner.execute(job.pk)))
    wait_for(lambda: child_of(job))
    runner.shutting_down.set()
    thread.join()
    assert outcomes == ["stopping"]
    job.refresh_from_db()
    assert job.status == "queued"
    assert runner.execute(job.pk) == ""
    nothing_left()


def test_an_attempt_whose_lease_is_taken_stops_and_publishes_nothing(make_job: Make, settings: Any) -> None:
    settings.CORR_LEASE_SECONDS = 1.0
    job = make_job("store", request={"files": 100, "pause": 0.05})
    outcomes: list[str] = []
    thread = in_background(lambda: outcomes.append(runner.execute(job.pk)))
    child = wait_for(lambda: child_of(job))
    Job.objects.filter(pk=job.pk).update(lease_until=kernel.DbNow(-1))
    claim = kernel.claim(job.pk, "another")
    assert claim is not None
    thread.join()
    assert outcomes == ["lost"]
    assert not psutil.pid_exists(child.pid)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.worker) == ("running", 2, "another")
    assert not Store.objects.exists()
    assert list(storage.job_folders()) == []


def test_a_job_that_is_not_to_be_had_costs_nothing(make_job: Make) -> None:
    job = make_job("nothing")
    assert kernel.claim(job.pk, "another") is not None
    assert runner.execute(job.pk) == ""
    job.refresh_from_db()
    assert (job.attempt, job.worker) == (1, "another")


def test_a_child_dies_with_the_worker(make_job: Make, tmp_path: Path, data_root: Path) -> None:
    """The parent is killed with -9 while the child works: the kernel kills the child."""
    work = tmp_path / "work"
    (work / "staging").mkdir(parents=True)
    (work / "scratch").mkdir()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        request = {
            "target": "tests.jobs.targets:deaf", "request": {"seconds": 60}, "seed": 0, "threads": 1,
            "memory_bytes": 2**34, "seconds": 60, "parent": os.getpid(),
        }  # fmt: skip
        (work / "request.json").write_text(json.dumps(request))
        import subprocess
        import sys

        child = subprocess.Popen(
            [sys.executable, "-m", "analyses.sdk.child", str(work), "1"],
            stdout=(work / "report").open("wb"), start_new_session=True,
        )  # fmt: skip
        (work / "pid").write_text(str(child.pid))
        signal.pause()
        os._exit(0)
    wait_for(lambda: (work / "report").exists() and b"deaf now" in (work / "report").read_bytes())
    child = int((work / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", seconds=3)
