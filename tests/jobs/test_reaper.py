"""What makes every job end, what the database refuses, and how long the kernel waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, transaction

from apps.core import clock
from apps.jobs import kernel, reaper
from apps.jobs.models import Job
from apps.provenance.models import Event
from tests.jobs.moves import claimed, expire, together

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Job]


# -------------------------------------------------------------------------------------------------------------- reaper


def test_the_reaper_rings_for_what_nobody_answered(make_job: Make, rung: list[Any]) -> None:
    lost, waiting, fresh, running = make_job(), make_job(), make_job(), make_job()
    Job.objects.filter(pk=waiting.pk).update(rung_at=None)
    claimed(lost)
    claimed(running)
    expire(lost)
    Job.objects.filter(pk=lost.pk).update(rung_at=clock.DbNow(-60))
    rung.clear()
    assert set(reaper.reap().rung) == {lost.pk, waiting.pk} == set(rung)
    rung.clear()
    assert reaper.reap().rung == [] == rung
    Job.objects.filter(pk__in=[waiting.pk, fresh.pk]).update(rung_at=clock.DbNow(-reaper.RING_AGAIN_SECONDS - 1))
    assert set(reaper.reap().rung) == {waiting.pk, fresh.pk}


def test_a_job_that_waits_for_long_is_rung_for_less_often(make_job: Make) -> None:
    job = make_job()
    Job.objects.filter(pk=job.pk).update(created_at=clock.DbNow(-100), rung_at=clock.DbNow(-20))
    assert reaper.reap().rung == []
    Job.objects.filter(pk=job.pk).update(rung_at=clock.DbNow(-26))
    assert reaper.reap().rung == [job.pk]


def test_a_broker_that_is_away_leaves_the_job_to_the_next_tick(
    make_job: Make, monkeypatch: pytest.MonkeyPatch, rung: list[Any]
) -> None:
    jobs = [make_job(), make_job()]
    Job.objects.update(rung_at=None)
    rung.clear()
    with monkeypatch.context() as patch:
        patch.setattr("apps.jobs.dispatch.ring", lambda job_id: False)
        assert reaper.reap().rung == []
    assert set(reaper.reap().rung) == {job.pk for job in jobs}


def test_several_reapers_ring_once(make_job: Make, rung: list[Any]) -> None:
    jobs = [make_job() for _ in range(10)]
    Job.objects.update(rung_at=None)
    rung.clear()
    together(4, lambda _: kernel.persistently(reaper.reap, until=lambda: time.monotonic() + 20))
    assert sorted(rung) == sorted(job.pk for job in jobs)


def test_a_poison_job_ends_after_its_attempts(make_job: Make, settings: Any) -> None:
    job = make_job()
    for number in range(settings.CORR_MAX_ATTEMPTS):
        assert claimed(job).attempt == number + 1
        assert reaper.reap().buried == []
        expire(job)
    assert kernel.claim(job.pk, "w") is None
    assert reaper.reap().buried == [job.pk]
    assert reaper.reap().buried == []
    job.refresh_from_db()
    assert (job.status, job.exit_code, job.attempt) == ("errored", "worker_lost", 10)
    assert Event.objects.filter(activity=job.pk).count() == 1


# ----------------------------------------------------------------------------------------------- constraints, patience


@pytest.mark.parametrize(
    "change",
    [
        {"status": "running"},
        {"status": "running", "worker": "w", "attempt": 0, "lease_until": "now"},
        {"lease_until": "now"},
        {"worker": "w"},
        {"status": "succeeded"},
        {"status": "errored", "finished_at": "now"},
        {"finished_at": "now"},
        {"progress": 1.5},
        {"status": "perhaps", "finished_at": "now"},
    ],
    ids=str,
)
def test_impossible_states_are_refused_by_the_database(make_job: Make, change: dict[str, Any]) -> None:
    job = make_job()
    values = {name: clock.now() if value == "now" else value for name, value in change.items()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**values)


def test_patience_ends_with_the_lease() -> None:
    tries: list[float] = []

    def locked() -> None:
        tries.append(time.monotonic())
        raise OperationalError("database is locked")

    until = time.monotonic() + 0.6
    with pytest.raises(OperationalError):
        kernel.persistently(locked, until=lambda: until)
    assert 3 <= len(tries) <= 10
    assert time.monotonic() <= until + 0.1


def test_patience_pays() -> None:
    tries: list[int] = []

    def locked_twice() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("database is locked")
        return "written"

    assert kernel.persistently(locked_twice, until=lambda: time.monotonic() + 5) == "written"


def test_a_full_disk_is_not_waited_for() -> None:
    def full() -> None:
        raise OperationalError("database or disk is full")

    began = time.monotonic()
    with pytest.raises(OperationalError):
        kernel.persistently(full, until=lambda: time.monotonic() + 60)
    assert time.monotonic() - began < 1
