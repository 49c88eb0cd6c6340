"""What can be read about jobs."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.jobs.models import ACTIVE, Job, JobLogLine
from apps.projects import access


def list_jobs(user: access.Caller) -> QuerySet[Job]:
    """Jobs the caller may see."""
    return access.visible(Job.objects.all(), user)


def job_with_key(content_key: str) -> Job | None:
    """The job that is queued, running or succeeded with a content key and is no rerun; None if there is none."""
    if not content_key:
        return None
    return Job.objects.filter(
        content_key=content_key, rerun_of=None, status__in=[*ACTIVE, Job.Status.SUCCEEDED]
    ).first()


def live_retry(job: Job) -> Job | None:
    """The retry of a job that is queued, running or succeeded; there is at most one."""
    return Job.objects.filter(retry_of=job, status__in=[*ACTIVE, Job.Status.SUCCEEDED]).first()


def log_lines(job: Job) -> QuerySet[JobLogLine]:
    """The lines of a job's log in the order in which they were written, all attempts."""
    return job.log_lines.order_by("id")
