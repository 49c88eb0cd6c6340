"""What a worker keeps clean: text from children, its keeper, its memory, and the storage over time."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.core import storage
from apps.jobs import keeper, process, reaper, runner, sweep
from apps.jobs.keeper import Keeper
from apps.jobs.models import Job
from apps.jobs.registry import JobFailure
from tests.jobs.handlers import ProbeHandler
from tests.jobs.moves import claimed
from tests.jobs.test_runner import ended, log_of, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Job]
LIBC = ctypes.CDLL(None)
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
CLEAN = "half \ufffd, none \ufffd"


@pytest.mark.parametrize(
    ("end", "status", "exit_code"),
    [
        ("well", "succeeded", ""),
        ("plugin", "failed", "no_contrast"),
        ("child", "failed", "no_contrast"),
        ("bug", "errored", "exception"),
    ],
)
def test_text_that_no_database_holds_ends_no_job_as_lost(make_job: Make, end: str, status: str, exit_code: str) -> None:
    job = make_job("odd_text", request={"end": end, "seconds": 0.8})
    assert runner.execute(job.pk) == status
    job = ended(job)
    assert job.exit_code == exit_code
    assert CLEAN in log_of(job)
    assert job.progress_text == CLEAN
    told = json.dumps([job.message, job.facts, job.outputs], ensure_ascii=False)
    assert CLEAN in told
    assert not {"\0", "\ud800"} & set(job.message + str(job.facts) + str(job.outputs))


def test_text_that_a_handler_refuses_with_is_clean_too(make_job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ProbeHandler, job: Job, workdir: Path) -> Any:
        raise JobFailure("not_possible", "half \ud800, none \0" + "x" * 100_000, {"why": "half \ud800, none \0"})

    monkeypatch.setattr(ProbeHandler, "prepare", refuse)
    job = make_job()
    assert runner.execute(job.pk) == "failed"
    assert ended(job).facts["why"] == CLEAN
    assert job.message.startswith(CLEAN)
    assert len(job.message) < 10_000


def test_a_keeper_that_comes_to_grief_gives_the_claim_up(
    make_job: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def grief(self: Keeper) -> None:
        raise UnicodeError("unforeseen")

    monkeypatch.setattr(Keeper, "_look", grief)
    kept = Keeper(claimed(make_job()))
    kept.start()
    try:
        assert kept.lost.wait(10 * keeper.POLL_SECONDS)
    finally:
        kept.stop()
    assert "its keeper ended" in caplog.text
    assert "unforeseen" in caplog.text


def test_a_job_whose_keeper_ended_is_left_to_the_next_attempt(make_job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def grief(self: Keeper) -> None:
        raise UnicodeError("unforeseen")

    job = make_job("sleep", request={"seconds": 30})
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "_look", grief)
        assert runner.execute(job.pk) == "lost"
    job.refresh_from_db()
    assert (job.status, job.attempt) == ("running", 1)  # until its lease runs out


def reads_its_parent(hidden: bool) -> bool:
    """Whether a process can read the environment of the one that started it, both of one account without privileges."""

    def look() -> int:
        try:
            Path(f"/proc/{os.getppid()}/environ").read_bytes()
        except PermissionError:
            return 1
        return 0

    def start() -> int:
        if os.getuid() == 0:
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        if hidden:
            process.hide_memory()
        return forked(look)

    return forked(start) == 0


def forked(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(work())
        finally:
            os._exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1), status
    return status


def test_a_child_cannot_read_the_environment_of_a_hidden_process() -> None:
    assert reads_its_parent(hidden=False)
    assert not reads_its_parent(hidden=True)


def test_a_worker_is_hidden_before_its_first_child_starts(make_job: Make) -> None:
    LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    job = make_job("nothing")
    assert runner.execute(job.pk) == "succeeded"
    assert LIBC.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0


# --------------------------------------------------------------------------------------------------------------- sweep


def test_half_made_pictures_are_swept_after_an_hour() -> None:
    folder = storage.root() / "cache" / "thumbnails" / "ab"
    folder.mkdir(parents=True)
    names = {"old": ".abc.png.1", "young": ".abc.png.2", "whole": "abc.png"}
    for name in names.values():
        (folder / name).write_bytes(b"png")
    past = time.time() - 3700
    for name in (names["old"], names["whole"]):
        os.utime(folder / name, (past, past))
    swept = sweep.sweep_storage()
    assert swept.lines() == ["removed half-made picture: .abc.png.1"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([names["young"], names["whole"]])
    assert len(sweep.sweep_storage()) == 0


def test_the_reaper_sweeps_again_and_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[float] = []

    def swept() -> Any:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise OSError("a folder that cannot be read")
        return sweep.Swept()

    monkeypatch.setattr(sweep, "sweep_storage", swept)
    monkeypatch.setattr(reaper, "FIRST_SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(reaper, "SWEEP_SECONDS", 0.02)
    thread = reaper.SweepThread()
    thread.start()
    wait_for(lambda: len(calls) >= 3)
    thread.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert "a folder that cannot be read" in caplog.text


def test_a_reaper_that_just_started_does_not_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "sweep_storage", lambda: pytest.fail("swept at once"))
    thread = reaper.SweepThread()
    thread.start()
    thread.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert reaper.FIRST_SWEEP_SECONDS >= 120
