"""The moves of a job row: who may take it, who may write, and what ends it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from apps.core import clock
from apps.core.errors import ConflictError, NotFoundError, PermissionRefusedError
from apps.core.models import Store
from apps.jobs import endings, kernel, services
from apps.jobs.endings import Ending
from apps.jobs.models import Job, JobAttempt
from apps.jobs.registry import ChildResult, Claim, JobFailure, StagedStore
from apps.projects.models import Project, User
from apps.projects.services import create_user, set_member
from apps.provenance.models import Event
from tests.jobs.handlers import ProbeHandler
from tests.jobs.moves import claimed, expire, succeed, together

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Job]


# --------------------------------------------------------------------------------------------------------------- clock


def test_the_clock_is_the_databases(make_job: Make) -> None:
    job = make_job()
    before = clock.now()
    Job.objects.filter(pk=job.pk).update(rung_at=clock.DbNow(90.5))
    after = clock.now()
    job.refresh_from_db()
    assert job.rung_at is not None
    lead = (job.rung_at - before).total_seconds()
    assert 90.4 < lead < 90.6 + (after - before).total_seconds()
    assert before.tzinfo is not None


def test_times_by_the_clock_compare_with_times_by_python(make_job: Make) -> None:
    job = make_job()
    assert Job.objects.filter(pk=job.pk, created_at__lt=clock.DbNow(5)).exists()
    assert Job.objects.filter(pk=job.pk, created_at__gt=clock.DbNow(-60)).exists()
    assert not Job.objects.filter(pk=job.pk, created_at__lt=clock.DbNow(-60)).exists()


# --------------------------------------------------------------------------------------------------------------- claim


def test_a_queued_job_is_claimed_once(make_job: Make) -> None:
    job = make_job()
    assert kernel.claim(job.pk, "a") == Claim(job.pk, 1, "a")
    assert kernel.claim(job.pk, "b") is None
    job.refresh_from_db()
    assert (job.status, job.attempt, job.worker) == ("running", 1, "a")
    assert job.lease_until is not None
    assert 50 < (job.lease_until - clock.now()).total_seconds() <= 60.1


def test_an_expired_lease_is_claimed_with_the_next_attempt(make_job: Make) -> None:
    job = make_job()
    claimed(job, "a")
    expire(job)
    assert kernel.claim(job.pk, "b") == Claim(job.pk, 2, "b")
    assert list(JobAttempt.objects.filter(job=job).values_list("number", "worker", "outcome")) == [
        (1, "a", "lost"),
        (2, "b", ""),
    ]


def test_a_finished_job_is_not_claimed(make_job: Make) -> None:
    job = make_job()
    succeed(claimed(job))
    assert kernel.claim(job.pk, "b") is None


def test_one_of_many_wins_a_claim(make_job: Make) -> None:
    for _ in range(5):
        job = make_job()
        claims = together(8, lambda number, pk=job.pk: kernel.claim(pk, f"w{number}"))
        assert len([claim for claim in claims if claim]) == 1
        assert JobAttempt.objects.filter(job=job).count() == 1


def test_one_of_many_wins_an_expired_lease(make_job: Make) -> None:
    for _ in range(5):
        job = make_job()
        claimed(job)
        expire(job)
        claims = together(8, lambda number, pk=job.pk: kernel.claim(pk, f"w{number}"))
        assert [claim.attempt for claim in claims if claim] == [2]


# --------------------------------------------------------------------------------------------------------------- fence


def test_a_heartbeat_prolongs_and_moves_the_progress(make_job: Make, settings: Any) -> None:
    job = make_job()
    claim = claimed(job)
    settings.CORR_LEASE_SECONDS = 1000.0
    assert kernel.heartbeat(claim, progress=0.5, text="half")
    job.refresh_from_db()
    assert (job.progress, job.progress_text) == (0.5, "half")
    assert job.lease_until is not None
    assert (job.lease_until - clock.now()).total_seconds() > 900


@pytest.mark.parametrize("void", ["expired", "taken", "ended", "released"])
def test_a_void_claim_writes_nothing(make_job: Make, void: str) -> None:
    job = make_job()
    old = claimed(job, "a")
    if void in ("expired", "taken"):
        expire(job)
    if void == "taken":
        claimed(job, "b")
    if void == "ended":
        succeed(old)
    if void == "released":
        assert kernel.release(old, outcome="stopping")
    events = Event.objects.count()
    row = Job.objects.values().get(pk=job.pk)
    assert not kernel.heartbeat(old, progress=0.9)
    assert not kernel.release(old, outcome="stopping")
    with pytest.raises(kernel.LeaseLostError):
        succeed(old)
    with pytest.raises(kernel.LeaseLostError):
        endings.finish_without_result(old, Ending(Job.Status.FAILED, "x", "y"))
    assert Job.objects.values().get(pk=job.pk) == row
    assert Event.objects.count() == events


def test_a_worker_of_the_same_attempt_under_another_name_is_refused(make_job: Make) -> None:
    job = make_job()
    claim = claimed(job, "a")
    assert not kernel.heartbeat(Claim(claim.job_id, claim.attempt, "b"))


def test_only_one_of_many_finishes(make_job: Make) -> None:
    job = make_job()
    claim = claimed(job)
    before = Event.objects.count()

    def finish(number: int) -> bool:
        try:
            kernel.persistently(lambda: succeed(claim), until=lambda: time.monotonic() + 20)
        except kernel.LeaseLostError:
            return False
        return True

    assert sum(together(6, finish)) == 1
    assert Event.objects.count() == before + 1


def test_a_store_swept_meanwhile_is_not_published(make_job: Make, tmp_path: Any) -> None:
    job = make_job()
    claim = claimed(job)
    store = Store.objects.create(kind="zarr", key="stores/00/x.zarr", job_id=job.pk, attempt=1)
    Store.objects.filter(pk=store.pk).delete()
    staged = StagedStore("out", tmp_path, "sha256:0", "[]", 0, 0, store)
    with pytest.raises(kernel.LeaseLostError, match="swept"):
        succeed(claim, out=staged)
    job.refresh_from_db()
    assert job.status == "running"


def test_a_refused_publication_rolls_everything_back(make_job: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    claim = claimed(job)
    store = Store.objects.create(kind="zarr", key="stores/00/y.zarr", job_id=job.pk, attempt=1)

    def publish(self: ProbeHandler, job: Job, result: ChildResult, act: Any) -> dict[str, Any]:
        Store.objects.create(kind="file", key="files/00/z", lease_until=clock.now())
        raise JobFailure("no", "not this one")

    monkeypatch.setattr(ProbeHandler, "publish", publish)
    events = Event.objects.count()
    with pytest.raises(JobFailure):
        succeed(claim, out=StagedStore("out", None, "sha256:0", "[]", 0, 0, store))  # type: ignore[arg-type]
    store.refresh_from_db()
    job.refresh_from_db()
    assert (store.state, job.status, Store.objects.count(), Event.objects.count()) == ("staged", "running", 1, events)


# -------------------------------------------------------------------------------------------------------- cancel, retry


def test_cancel_of_a_queued_job_is_its_end(make_job: Make, user: User) -> None:
    job = services.request_cancel(actor=user, job=make_job())
    assert (job.status, job.cancel_requested_by, job.attempt) == ("cancelled", user, 0)
    assert kernel.claim(job.pk, "w") is None
    assert Event.objects.filter(activity=job.pk).count() == 1


def test_cancel_of_a_running_job_is_a_flag(make_job: Make, user: User) -> None:
    job = make_job()
    claim = claimed(job)
    for _ in range(2):  # asking again changes nothing
        job = services.request_cancel(actor=user, job=job)
        assert (job.status, job.cancel_requested) == ("running", True)
    endings.finish_without_result(claim, Ending(Job.Status.CANCELLED))
    with pytest.raises(ConflictError):
        services.request_cancel(actor=user, job=job)


def test_cancel_of_a_job_whose_worker_is_gone_is_its_end(make_job: Make, user: User) -> None:
    job = make_job()
    claim = claimed(job)
    expire(job)
    assert services.request_cancel(actor=user, job=job).status == "cancelled"
    assert not kernel.heartbeat(claim)


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_who_may_not(make_job: Make, project: Project, user: User, verb: str) -> None:
    job = make_job()
    call = services.request_cancel if verb == "cancel" else services.retry_job
    viewer = create_user(username="vera", password="a-long-enough-word")
    with pytest.raises(NotFoundError):
        call(actor=viewer, job=job)
    set_member(actor=user, project=project, username="vera", role="viewer")
    with pytest.raises(PermissionRefusedError):
        call(actor=viewer, job=job)
    job.refresh_from_db()
    assert job.status == "queued"


def test_retry_is_a_new_job_that_says_whose(make_job: Make, user: User, rung: list[Any]) -> None:
    old = make_job("bug", content_key="a" * 64, seed=3)
    endings.finish_without_result(claimed(old), Ending(Job.Status.ERRORED, "exception", "m"))
    old.refresh_from_db()
    new, made = services.retry_job(actor=user, job=old)
    assert made
    assert (new.status, new.retry_of, new.params, new.seed, new.content_key) == ("queued", old, old.params, 3, "a" * 64)
    assert rung[-1] == new.pk
    assert services.retry_job(actor=user, job=old) == (new, False)
    old.refresh_from_db()
    assert old.status == "errored"


@pytest.mark.parametrize("status", ["queued", "running", "succeeded", "cancelled"])
def test_only_failed_and_errored_jobs_are_retried(make_job: Make, user: User, status: str) -> None:
    job = make_job()
    if status in ("running", "succeeded"):
        claim = claimed(job)
        if status == "succeeded":
            succeed(claim)
    if status == "cancelled":
        services.request_cancel(actor=user, job=job)
    job.refresh_from_db()
    with pytest.raises(ConflictError, match=status):
        services.retry_job(actor=user, job=job)


def test_many_retries_at_once_make_one_job(make_job: Make, user: User) -> None:
    old = make_job("bug")
    endings.finish_without_result(claimed(old), Ending(Job.Status.ERRORED, "exception", "m"))
    old.refresh_from_db()

    def retry(number: int) -> Any:
        end = time.monotonic() + 20
        return kernel.persistently(lambda: services.retry_job(actor=user, job=old), until=lambda: end)

    answers = together(6, retry)
    assert len({job.pk for job, _ in answers}) == 1
    assert sum(made for _, made in answers) == 1


def test_equal_content_is_one_job(make_job: Make) -> None:
    first = make_job(content_key="b" * 64)
    with pytest.raises(services.SameJobError) as refused:
        make_job(content_key="b" * 64)
    assert refused.value.job == first
    endings.finish_without_result(claimed(first), Ending(Job.Status.FAILED, "x", "y"))
    assert make_job(content_key="b" * 64).pk != first.pk
