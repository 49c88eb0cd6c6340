"""What makes every accepted job end: rings again for jobs that nobody answers, buries those that nobody can finish.

Any number of reapers may run at once: each step is one conditional UPDATE that one of them wins.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connections
from django.db.models import F, Q

from apps.core import clock
from apps.core.clock import DbNow
from apps.jobs import dispatch, kernel, runner, sweep
from apps.jobs.models import Job

logger = logging.getLogger(__name__)

RING_AGAIN_SECONDS = 5.0
FIRST_SWEEP_SECONDS = 300.0
SWEEP_SECONDS = 3600.0
_LONGEST_SILENCE = 60.0
_BATCH = 500


@dataclass
class Reaped:
    """What one tick did, by job id."""

    rung: list[uuid.UUID] = field(default_factory=list)
    buried: list[uuid.UUID] = field(default_factory=list)


def reap() -> Reaped:
    """One tick: ring for expired leases and for queued jobs whose doorbell was not answered; end the lost ones."""
    done = Reaped()
    for job_id in _ids(Q(attempt__gte=settings.CORR_MAX_ATTEMPTS) & kernel.claimable()):
        if runner.bury(job_id):
            done.buried.append(job_id)
            logger.error("job %s is not tried again after %s attempts", job_id, settings.CORR_MAX_ATTEMPTS)
    for job_id in _due():
        if not _take_turn(job_id):
            continue
        if not dispatch.ring(job_id):
            Job.objects.filter(pk=job_id).update(rung_at=None)
            break  # the broker is away; the next tick tries again
        done.rung.append(job_id)
    return done


def _ids(condition: Q) -> list[uuid.UUID]:
    return list(Job.objects.filter(condition).order_by("created_at").values_list("pk", flat=True)[:_BATCH])


def _silent() -> Q:
    return Q(rung_at=None) | Q(rung_at__lt=DbNow(-RING_AGAIN_SECONDS))


def _due() -> list[uuid.UUID]:
    """Jobs to ring for.  A job that has waited for long behind others is rung for less and less often."""
    now = clock.now()
    rows = (
        Job.objects.filter(kernel.claimable() & _silent(), attempt__lt=settings.CORR_MAX_ATTEMPTS)
        .order_by(F("rung_at").asc(nulls_first=True), "created_at")
        .values_list("pk", "status", "created_at", "rung_at")[:_BATCH]
    )
    return [pk for pk, status, created, rung in rows if _quiet_for_long(now, status, created, rung)]


def _quiet_for_long(now: dt.datetime, status: str, created: dt.datetime, rung: dt.datetime | None) -> bool:
    if rung is None or status == Job.Status.RUNNING:
        return True
    wait = min(_LONGEST_SILENCE, max(RING_AGAIN_SECONDS, (now - created).total_seconds() / 4))
    return (now - rung).total_seconds() >= wait


def _take_turn(job_id: uuid.UUID) -> bool:
    """Win the right to ring for one job; False where another reaper rang or a worker claimed it meanwhile."""
    return bool(Job.objects.filter(kernel.claimable() & _silent(), pk=job_id).update(rung_at=DbNow()))


class SweepThread(threading.Thread):
    """Sweeps the storage every hour, beside the ticks: a large installation's takes longer than a job may wait.

    The first time some minutes after the start, so that a process that is started again and again only reaps.
    """

    def __init__(self) -> None:
        super().__init__(name="sweep", daemon=True)
        self._ended = threading.Event()

    def run(self) -> None:
        """Sweep until told to stop; what goes wrong is logged and left to the next time."""
        pause = FIRST_SWEEP_SECONDS
        while not self._ended.wait(pause):
            pause = SWEEP_SECONDS
            try:
                for line in sweep.sweep_storage().lines():
                    logger.info("%s", line)
            except Exception:  # the thread must not end for a database that is away or one folder that cannot be read
                logger.exception("the storage was not swept; it is tried again in an hour")
            finally:
                connections.close_all()

    def stop(self) -> None:
        """End the thread; a sweep that runs is not waited for: it may be cut off anywhere."""
        self._ended.set()
