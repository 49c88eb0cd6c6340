"""The only place that starts a task.  A ring that is not heard costs a second, never a job: the reaper rings again."""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid

from celery import current_app
from django.db import Error as DatabaseProblem
from django.db import transaction

from apps.jobs.models import Job

logger = logging.getLogger(__name__)

TASK = "jobs.run"
_PAUSE_SECONDS = 1.0  # after a broker did not answer, requests do not wait for it again so soon
_lock = threading.Lock()
_silent_until = 0.0


def ring(job_id: uuid.UUID) -> bool:
    """Tell the workers that a job may be claimed; False if the broker did not take it.  Never raises."""
    global _silent_until  # noqa: PLW0603 - one switch a process, under a lock
    with _lock:
        if time.monotonic() < _silent_until:
            return False
    try:
        current_app.send_task(TASK, args=[str(job_id)], retry=False, ignore_result=True)
    except Exception as problem:  # noqa: BLE001 - whatever a transport raises, the job is in the database and waits
        logger.warning("the broker did not take job %s: %s", job_id, problem)
        with _lock:
            _silent_until = time.monotonic() + _PAUSE_SECONDS
        return False
    return True


def ring_on_commit(job_id: uuid.UUID) -> None:
    """Ring when the transaction that is open has committed (now, if there is none)."""
    transaction.on_commit(functools.partial(_ring_committed, job_id), robust=True)


def _ring_committed(job_id: uuid.UUID) -> None:
    if ring(job_id):
        return
    try:
        Job.objects.filter(pk=job_id, status=Job.Status.QUEUED).update(rung_at=None)
    except DatabaseProblem as problem:  # the reaper rings a while later then
        logger.warning("job %s: could not note that nobody was told: %s", job_id, problem)
