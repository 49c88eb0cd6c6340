"""What a version of a plugin is held to be: draft, validated or retired.  Set by staff, with a reason."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from apps.analysis import resolve
from apps.analysis.models import MethodStatus
from apps.core.clean import TEXT_LENGTH, clean_text
from apps.core.errors import InvalidValueError
from apps.jobs.models import Job
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

Status = MethodStatus.Status


def set_method_status(
    *,
    actor: User,
    plugin: str,
    status: str,
    reason: str,
    version: str = "",
    validated_by: str = "",
    validated_on: dt.date | None = None,
    text: str = "",
    document: str = "",
    job: Job | None = None,
) -> MethodStatus:
    """Say from now on what the installed version of a plugin is held to be.

    Parameters
    ----------
    actor : User
        Staff.
    status : str
        ``draft``, ``validated`` or ``retired``.
    reason : str
        Why; kept for every status.
    version : str, optional
        The version the statement is about, if the caller wants to be sure; it must be the one installed.
    validated_by, validated_on, text, document, job : optional
        The record of a validation: by whom (the actor by default), when (today by default), what was compared and what
        came out (needed), the report, and a run of this version that shows it.

    Raises
    ------
    PermissionRefusedError
        The actor is no staff.
    NotFoundError
        There is no such plugin, or no such job.
    InvalidValueError
        A validation without a text, a record without a validation, another version, a job of something else.
    """
    access.require_staff(actor)
    spec = resolve.get_spec(plugin)
    if status not in Status.values:
        raise InvalidValueError(f"{status!r} is not one of {', '.join(Status.values)}", field="status")
    if version and version != spec.version:
        raise InvalidValueError(f"version {version} is not installed; {spec.version} is", field="version")
    row = MethodStatus(
        plugin=spec.name,
        version=spec.version,
        status=status,
        reason=clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True),
        validated_by=clean_text(validated_by, field="validated_by"),
        validated_on=validated_on,
        text=clean_text(text, field="text", max_length=TEXT_LENGTH),
        document=clean_text(document, field="document", max_length=500),
        job=job,
        set_by=actor,
    )
    _check_validation(row, actor)
    with record.act("set_method_status", actor=actor, project=None, reason=row.reason) as act:
        row.save(force_insert=True)
        stated = {"corr:plugin": row.plugin, "corr:version": row.version, "corr:status": row.status}
        words = {name: getattr(row, name) for name in ("validated_by", "text", "document") if getattr(row, name)}
        act.created(row, attributes=stated, erasable=words)
    return row


def _check_validation(row: MethodStatus, actor: User) -> None:
    if row.status != Status.VALIDATED:
        for field in ("validated_by", "validated_on", "text", "document", "job"):
            if getattr(row, field):
                raise InvalidValueError(f"belongs to a validation; the status is {row.status}", field=field)
        return
    if not row.text:
        raise InvalidValueError("say what was compared with what, and what came out", field="text")
    row.validated_by = row.validated_by or actor.get_username()
    today = timezone.localdate()
    row.validated_on = row.validated_on or today
    if row.validated_on > today:
        raise InvalidValueError(f"{row.validated_on} is still to come", field="validated_on")
    if row.job is not None:
        _check_job(row, row.job)


def _check_job(row: MethodStatus, job: Job) -> None:
    if (job.plugin, job.plugin_version) != (row.plugin, row.version):
        raise InvalidValueError(
            f"job {job.pk} ran {job.plugin or job.kind} {job.plugin_version}".rstrip()
            + f"; the validation is one of {row.plugin} {row.version}",
            field="job",
        )
    if job.status != Job.Status.SUCCEEDED:
        raise InvalidValueError(f"job {job.pk} is {job.status}; only one that succeeded shows anything", field="job")
