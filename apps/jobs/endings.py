"""How a job ends: the fenced row, the stores, what the handler writes and the ledger, in one transaction.

Every ending is recorded as the end of the job's activity, the ones without a result too.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q

from apps.core.models import Store
from apps.jobs import kernel, registry
from apps.jobs.models import Job
from apps.jobs.registry import ChildResult, Claim
from apps.projects.models import User
from apps.provenance import record

Status = Job.Status


@dataclass(frozen=True)
class Ending:
    """Why a job ends, and what was measured on the way.

    ``exit_code`` names the declared failure (status failed) or the surprise (errored): ``out_of_memory``,
    ``time_limit``, ``storage_full``, ``crashed``, ``exception``, ``bad_output``, ``internal_error``, ``worker_lost``.
    """

    status: Status
    exit_code: str = ""
    message: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """The row's columns beside status and times."""
        found: dict[str, Any] = {"facts": dict(self.facts)}
        if self.timings:
            found["timings"] = {name: round(seconds, 4) for name, seconds in self.timings.items()}
        if self.environment:
            found["environment"] = dict(self.environment)
        return found


def _plan(job: Job) -> dict[str, Any]:
    plan = {"kind": job.kind, "params": job.params, "inputs": job.inputs, "seed": job.seed}
    if job.plugin:
        plan |= {"plugin": job.plugin, "version": job.plugin_version}
    return plan


def _act(job: Job, *, actor: User | None) -> AbstractContextManager[record.Act]:
    attributes = {"corr:outcome": job.status, "corr:attempt": job.attempt, "corr:exitCode": job.exit_code}
    if digest := job.environment.get("digest"):
        attributes["corr:environment"] = digest
    return record.act(
        job.kind,
        actor=actor,
        project=job.project_id,
        activity=job.pk,
        started_at=job.started_at or job.finished_at,
        ended_at=job.finished_at,
        plan=_plan(job),
        attributes={name: value for name, value in attributes.items() if value != ""},
    )


def _link(job: Job, act: record.Act) -> None:
    if job.retry_of_id is not None:
        act.communicated(job.retry_of_id)
    if job.rerun_of_id is not None:
        act.communicated(job.rerun_of_id)


def end_without_result(condition: Q, job_id: uuid.UUID, ending: Ending, *, cancelled_by: User | None = None) -> bool:
    """End a job that leaves nothing behind; False (and no change at all) if the condition does not hold any more."""
    with transaction.atomic():
        moved: dict[str, Any] = ending.columns()
        if cancelled_by is not None:
            moved |= {"cancel_requested": True, "cancel_requested_by": cancelled_by}
        if not kernel.end(condition, status=ending.status, exit_code=ending.exit_code, message=ending.message, **moved):
            return False
        job = Job.objects.select_related("created_by", "cancel_requested_by").get(pk=job_id)
        kernel.close_attempt(job_id, ending.exit_code or ending.status)
        with _act(job, actor=job.created_by) as act:
            _link(job, act)
            if job.cancel_requested_by is not None and ending.status == Status.CANCELLED:
                act.associated(job.cancel_requested_by, role="canceller")
            handler: object = registry.handler_of(job.kind) if job.kind in registry.kinds() else None
            if isinstance(handler, registry.EndAware):
                handler.ended(job, act)
    return True


def finish_without_result(claim: Claim, ending: Ending) -> None:
    """End a claimed job that failed, erred or was cancelled.

    Raises
    ------
    LeaseLostError
        The claim is void; nothing was written.
    """
    if not end_without_result(kernel.fence(claim), claim.job_id, ending):
        raise kernel.LeaseLostError(f"attempt {claim.attempt} of job {claim.job_id} has lost its lease")


def _ready(claim: Claim, result: ChildResult) -> None:
    """Make the staged rows ready, before anything else: from here on the sweeper waits for this transaction."""
    for staged in result.stores.values():
        rows = Store.objects.filter(
            pk=staged.store.pk, state=Store.State.STAGED, job_id=claim.job_id, attempt=claim.attempt
        ).update(
            state=Store.State.READY,
            digest=staged.digest,
            manifest=staged.manifest,
            size_bytes=staged.size_bytes,
            file_count=staged.file_count,
        )
        if not rows:
            raise kernel.LeaseLostError(f"store {staged.store.key} was swept before it was published")
        staged.store.refresh_from_db()


def finish_succeeded(claim: Claim, result: ChildResult, ending: Ending) -> None:
    """Publish a result: all of it in one transaction, fenced first, or nothing.

    Raises
    ------
    LeaseLostError
        The claim is void; nothing was written.
    JobFailure, CorrError
        The handler refuses to publish what came out; nothing was written.
    """
    with transaction.atomic():
        if not kernel.end(
            kernel.fence(claim), status=Status.SUCCEEDED, progress=1.0, message=ending.message, **ending.columns()
        ):
            raise kernel.LeaseLostError(f"attempt {claim.attempt} of job {claim.job_id} has lost its lease")
        _ready(claim, result)
        job = Job.objects.select_related("created_by", "project").get(pk=claim.job_id)
        with _act(job, actor=job.created_by) as act:
            _link(job, act)
            outputs = registry.handler_of(job.kind).publish(job, result, act)
            Job.objects.filter(pk=job.pk).update(outputs=outputs)
            kernel.close_attempt(job.pk, Status.SUCCEEDED)
