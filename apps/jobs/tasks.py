"""The one task: somebody rang, see whether the job is still to be had."""

from __future__ import annotations

import uuid

from celery import shared_task

from apps.jobs import runner
from apps.jobs.dispatch import TASK


@shared_task(name=TASK, ignore_result=True, acks_late=False)  # type: ignore[untyped-decorator]
def run(job_id: str) -> str:
    """Execute one attempt at the job with this id; a job that is not to be had costs one UPDATE."""
    return runner.execute(uuid.UUID(job_id))
