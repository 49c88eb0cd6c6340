"""Ask for an ingest: overrides checked, one job at a time, once an acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging.models import Acquisition
from apps.imaging.scale import check_handedness, check_spacing
from apps.imaging.selectors import status_of
from apps.imaging.services.receive import check_file_name
from apps.jobs import services as jobs
from apps.jobs.models import Job
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

KIND = "ingest"
OVERRIDES = ("spacing_um", "spacing_u_um", "handedness", "name")


def check_overrides(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a person states beside the file.

    Returns
    -------
    dict
        Parameters of the job: ``spacing`` (axis -> {value, unit, source, u}), ``handedness``, ``name``, where given.

    Raises
    ------
    InvalidValueError
        An unknown name, a spacing without its uncertainty or the reverse, a value that cannot be.
    """
    for name in given:
        if name not in OVERRIDES:
            raise InvalidValueError(f"unknown; known are {', '.join(OVERRIDES)}", field=f"overrides.{name}")
    params: dict[str, Any] = {}
    if given.get("spacing_um") is not None:
        params["spacing"] = check_spacing(given["spacing_um"], given.get("spacing_u_um"), prefix="overrides.")
    elif given.get("spacing_u_um") is not None:
        raise InvalidValueError("an uncertainty needs the spacing it belongs to", field="overrides.spacing_u_um")
    if given.get("handedness") is not None:
        params["handedness"] = check_handedness(given["handedness"], field="overrides.handedness")
    if given.get("name") is not None:
        try:
            params["name"] = check_file_name(given["name"])
        except InvalidValueError as error:
            raise InvalidValueError(error.message.replace("file name", "image name"), field="overrides.name") from error
    return params


def start_ingest(*, actor: User, acquisition: Acquisition, overrides: Mapping[str, Any] | None = None) -> Job:
    """Queue the job that turns an acquisition's files into images.

    Raises
    ------
    InvalidValueError
        An override that cannot be.
    ConflictError
        No files, or an ingest that waits, runs or is done; one that failed can be asked for again.
    """
    access.require(actor, access.Action.CONTRIBUTE, acquisition)
    params = check_overrides(overrides or {})
    with record.act("start_ingest", actor=actor, project=acquisition.project_id) as act:
        row = (
            Acquisition.objects.select_for_update(of=("self",))
            .select_related("ingest_job", "project")
            .get(pk=acquisition.pk)
        )
        _require_idle(row)
        files = [str(pk) for pk in row.files.values_list("pk", flat=True)]
        if not files:
            raise ConflictError(
                f"the acquisition has no files; send them to POST /api/v1/acquisitions/{row.pk}/files/ first"
            )
        job = jobs.create_job(
            actor=actor,
            project=row.project,
            kind=KIND,
            params=params,
            inputs={"acquisition": str(row.pk), "files": files},
            act=act,
        )
        row.ingest_job = job
        row.save(update_fields=["ingest_job"])
    acquisition.ingest_job = job
    return job


def _require_idle(acquisition: Acquisition) -> None:
    status = status_of(acquisition)
    if status in ("queued", "running"):
        raise ConflictError(f"an ingest of this acquisition is {status}: job {acquisition.ingest_job_id}")
    if status == "ready":
        raise ConflictError("the acquisition is ingested already; its images are written once")


def follow_retry(*, old: Job, new: Job) -> None:
    """Point the acquisition of a retried ingest to the new job.

    Raises
    ------
    ConflictError
        Another ingest was asked for since.
    """
    rows = Acquisition.objects.filter(pk=old.inputs["acquisition"], ingest_job=old).update(ingest_job=new)
    if not rows:
        raise ConflictError("another ingest of this acquisition was asked for since; this one is not retried")
