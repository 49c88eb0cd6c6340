"""Asking for jobs, cancelling and retrying them.  What happens to a job while it runs is the kernel's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.core.clock import now
from apps.core.errors import ConflictError, CorrError
from apps.jobs import dispatch, endings, kernel, registry
from apps.jobs.endings import Ending
from apps.jobs.models import Job
from apps.jobs.selectors import job_with_key, live_retry
from apps.projects import access
from apps.projects.access import Action
from apps.projects.models import Project, User
from apps.provenance import record
from apps.provenance.record import Act

Status = Job.Status


class SameJobError(CorrError):
    """A job with the same content key is queued, running or succeeded; ``job`` is that one."""

    status = 409
    code = "same_job"
    title = "The same work was asked for already"

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.pk} does the same ({job.status})", details={"job": str(job.pk)})
        self.job = job


def create_job(
    *,
    actor: User,
    project: Project,
    kind: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Any],
    act: Act,
    plugin: str = "",
    plugin_version: str = "",
    seed: int = 0,
    content_key: str = "",
    rerun_of: Job | None = None,
    retry_of: Job | None = None,
) -> Job:
    """Queue a job within the caller's act; the doorbell is rung when the transaction commits.

    Parameters
    ----------
    actor : User
        Who asks; needs the right to contribute to the project.
    project : Project
        Where the results will belong.
    kind : str
        A registered kind.
    params, inputs : mapping
        JSON only; checked by the caller, kept as they are.
    act : Act
        The caller's act, which the job was informed by.
    plugin, plugin_version, seed, content_key, rerun_of, retry_of
        As the columns of :class:`~apps.jobs.models.Job`.

    Returns
    -------
    Job
        The queued job.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The caller may not contribute.
    SameJobError
        The content key is in use by a job that is queued, running or succeeded, or such a one retries ``retry_of``.
    LookupError
        No such kind: a bug of the caller.
    """
    access.require(actor, Action.CONTRIBUTE, project)
    registry.handler_of(kind)
    job = Job(
        project=project,
        created_by=actor,
        kind=kind,
        plugin=plugin,
        plugin_version=plugin_version,
        params=dict(params),
        inputs=dict(inputs),
        seed=seed,
        content_key=content_key,
        rerun_of=rerun_of,
        retry_of=retry_of,
        rung_at=now(),
    )
    try:
        with transaction.atomic():  # a savepoint: the caller's transaction survives a key that is taken
            job.save(force_insert=True)
    except IntegrityError:
        other = job_with_key(content_key) if rerun_of is None else None
        other = other or (live_retry(retry_of) if retry_of is not None else None)
        if other is None:
            raise
        raise SameJobError(other) from None
    act.created(job, attributes={"corr:kind": kind} | ({"corr:plugin": plugin} if plugin else {}))
    dispatch.ring_on_commit(job.pk)
    return job


def request_cancel(*, actor: User, job: Job) -> Job:
    """Cancel a job: at once where nobody runs it, else by a flag that its worker sees within a second.

    Asking again changes nothing.  A job that ends while the request is on its way keeps the end it had.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The caller may not contribute to the job's project.
    ConflictError
        The job has ended already.
    """
    access.require(actor, Action.CONTRIBUTE, job)
    gone = endings.end_without_result(kernel.withdrawable(job.pk), job.pk, Ending(Status.CANCELLED), cancelled_by=actor)
    if not gone:
        _flag_cancel(actor, job)
    job.refresh_from_db()
    return job


def _flag_cancel(actor: User, job: Job) -> None:
    with record.act("job.cancel", actor=actor, project=job.project_id) as act:
        flagged = Job.objects.filter(pk=job.pk, status=Status.RUNNING, cancel_requested=False).update(
            cancel_requested=True, cancel_requested_by=actor
        )
        if flagged:
            act.changed(job, before={"cancel_requested": False}, after={"cancel_requested": True})
            return
        job.refresh_from_db()
        if job.status != Status.RUNNING:
            raise ConflictError(f"the job has ended ({job.status}); there is nothing to cancel", field="status")


def write_verdict(*, job: Job, verdict: Mapping[str, Any]) -> None:
    """Keep what comparing a rerun with its original gave; called while the rerun is published, in its transaction."""
    Job.objects.filter(pk=job.pk, rerun_of__isnull=False).update(verdict=dict(verdict))


def write_report(*, job: Job, name: str, report: Any) -> None:
    """Keep what a job found out among its facts; called while it is published, in its transaction."""
    facts = Job.objects.values_list("facts", flat=True).get(pk=job.pk)
    Job.objects.filter(pk=job.pk).update(facts={**facts, name: report})


def retry_job(*, actor: User, job: Job) -> tuple[Job, bool]:
    """Ask again for what a failed or errored job was asked for: a new job, which says whose retry it is.

    The old job keeps its end, its log and its place in the record.

    Returns
    -------
    Job
        The new job; or the one that is queued, running or succeeded as a retry or with the same content already.
    bool
        True if the job is new.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The caller may not contribute to the job's project.
    ConflictError
        The job did not fail.
    """
    access.require(actor, Action.CONTRIBUTE, job)
    if job.status not in (Status.FAILED, Status.ERRORED):
        raise ConflictError(f"the job is {job.status}; only failed and errored jobs are retried", field="status")
    if same := job_with_key(job.content_key) or live_retry(job):
        return same, False
    try:
        return _retried(actor, job), True
    except SameJobError as same_job:  # asked for between the look and the write
        return same_job.job, False


def _retried(actor: User, job: Job) -> Job:
    with record.act("job.retry", actor=actor, project=job.project_id) as act:
        new = create_job(
            actor=actor,
            project=job.project,
            kind=job.kind,
            params=job.params,
            inputs=job.inputs,
            plugin=job.plugin,
            plugin_version=job.plugin_version,
            seed=job.seed,
            content_key=job.content_key,
            rerun_of=job.rerun_of,
            retry_of=job,
            act=act,
        )
        handler = registry.handler_of(job.kind)
        if isinstance(handler, registry.RetryAware):
            handler.retried(job, new, act)
    return new
