"""The moves a job row can make.  Each is one conditional UPDATE: it takes the row or it takes nothing.

======== ============================================================ ==============================================
move     condition                                                    effect
======== ============================================================ ==============================================
claim    nobody has it, and it had fewer than ten attempts            running, attempt + 1, a lease, a worker's name
beat     running, same attempt and worker, lease not expired          the lease is prolonged
release  as beat                                                      queued again: its worker stops, or lost its child
end      as beat                                                      succeeded, failed, errored or cancelled
withdraw nobody has it                                                cancelled
bury     nobody has it, and it had ten attempts                       errored, ``worker_lost``
======== ============================================================ ==============================================

Nobody has a job that is queued, or running on a lease that ran out.  The fence is attempt, worker *and* a live lease: a
worker that slept past its lease may not write again, even where nobody took over, so "no live lease" alone tells the
sweeper what may be removed.  Whoever wants the row next raises the attempt.  Lease times come from the database's clock
within the same statement (see :mod:`apps.core.clock`).
``select_for_update`` is not used: SQLite ignores it.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q

from apps.core.clock import DbNow
from apps.core.storage import is_full
from apps.jobs.models import Job, JobAttempt
from apps.jobs.registry import Claim

T = TypeVar("T")
Status = Job.Status

WORKER_LOST = "worker_lost"
_BACKOFF = (0.05, 1.0)


class LeaseLostError(Exception):
    """The claim is void: another attempt has the job, or may have it.  Nothing may be published."""


def worker_name() -> str:
    """A name no other claim has: host, process and a random part."""
    return f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def fence(claim: Claim) -> Q:
    """The condition under which a claim may still write."""
    return Q(
        pk=claim.job_id,
        status=Status.RUNNING,
        attempt=claim.attempt,
        worker=claim.worker,
        lease_until__gte=DbNow(),
    )


def claimable() -> Q:
    """Jobs that nobody has: queued, or running on a lease that ran out."""
    return Q(status=Status.QUEUED) | Q(status=Status.RUNNING, lease_until__lt=DbNow())


def claim(job_id: uuid.UUID, worker: str) -> Claim | None:
    """Take a job for one attempt; None if it is not to be had (taken, ended, unknown, or out of attempts)."""
    with transaction.atomic():
        taken = Job.objects.filter(claimable(), pk=job_id, attempt__lt=settings.CORR_MAX_ATTEMPTS).update(
            status=Status.RUNNING,
            attempt=F("attempt") + 1,
            worker=worker,
            lease_until=DbNow(settings.CORR_LEASE_SECONDS),
            started_at=DbNow(),
            progress=0.0,
            progress_text="",
        )
        if not taken:
            return None
        attempt, started_at = Job.objects.values_list("attempt", "started_at").get(pk=job_id)
        if started_at is None:
            raise AssertionError("a claimed job has a beginning")
        JobAttempt.objects.filter(job_id=job_id, ended_at=None).update(ended_at=DbNow(), outcome="lost")
        JobAttempt.objects.create(job_id=job_id, number=attempt, worker=worker, started_at=started_at)
    return Claim(job_id, attempt, worker)


def heartbeat(claim: Claim, *, progress: float | None = None, text: str = "") -> bool:
    """Prolong the lease, and move the progress where given; False if the claim is void."""
    moved: dict[str, Any] = {} if progress is None else {"progress": progress, "progress_text": text[:500]}
    rows = Job.objects.filter(fence(claim)).update(lease_until=DbNow(settings.CORR_LEASE_SECONDS), **moved)
    return bool(rows)


def release(claim: Claim, *, outcome: str) -> bool:
    """Give a job back to the queue unfinished; the attempt counts.  False if the claim is void."""
    with transaction.atomic():
        rows = Job.objects.filter(fence(claim)).update(
            status=Status.QUEUED, worker="", lease_until=None, rung_at=None, progress=0.0, progress_text=""
        )
        if rows:
            close_attempt(claim.job_id, outcome)
    return bool(rows)


def close_attempt(job_id: uuid.UUID, outcome: str) -> None:
    """End the open attempt of a job."""
    JobAttempt.objects.filter(job_id=job_id, ended_at=None).update(ended_at=DbNow(), outcome=outcome[:32])


def end(condition: Q, *, status: Status, exit_code: str = "", message: str = "", **columns: Any) -> bool:
    """Move one job to a final status if the condition holds; must be called inside a transaction."""
    rows = Job.objects.filter(condition).update(
        status=status,
        finished_at=DbNow(),
        lease_until=None,
        exit_code=exit_code[:100],
        message=message,
        **columns,
    )
    return bool(rows)


def withdrawable(job_id: uuid.UUID) -> Q:
    """A job that can be cancelled without anybody's help: it waits, or its worker is gone."""
    return Q(pk=job_id) & claimable()


def exhausted(job_id: uuid.UUID) -> Q:
    """A job that nobody has and nobody will take again."""
    return Q(pk=job_id, attempt__gte=settings.CORR_MAX_ATTEMPTS) & claimable()


def live_job(job_id: uuid.UUID, attempt: int) -> bool:
    """True while an attempt of a job holds its lease."""
    return Job.objects.filter(pk=job_id, status=Status.RUNNING, attempt=attempt, lease_until__gte=DbNow()).exists()


def persistently(work: Callable[[], T], *, until: Callable[[], float]) -> T:
    """Run a piece of database work again while the database is locked, restarting or away.

    Parameters
    ----------
    work : callable
        Has no effect if it raises (one transaction, or one statement).
    until : callable
        Monotonic time after which to give up; asked anew before each wait, because heartbeats move it.

    Raises
    ------
    django.db.OperationalError, django.db.InterfaceError
        The last error, when time is up, or at once where waiting cannot help (disk full, inside a transaction).
    """
    delay, longest = _BACKOFF
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            if is_full(error) or connection.in_atomic_block or time.monotonic() + delay > until():
                raise
            connection.close()
            time.sleep(delay)
            delay = min(2 * delay, longest)
