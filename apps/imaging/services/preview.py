"""Ask for a preview: what an ingest would make of the files, shown before they are taken."""

from __future__ import annotations

from apps.core.errors import ConflictError
from apps.imaging.models import Acquisition
from apps.imaging.services.receipts import require_open
from apps.jobs import services as jobs
from apps.jobs.models import Job
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

KIND = "preview"


def start_preview(*, actor: User, acquisition: Acquisition) -> Job:
    """Queue the job that looks into an acquisition's files.

    Readers run in a process of the worker, never where requests are answered.  What they find is in the job's facts,
    ``preview``, once it has succeeded; no image is made.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The caller may not contribute to its project.
    ConflictError
        No files, or an ingest that waits, runs or is done.
    """
    access.require(actor, access.Action.CONTRIBUTE, acquisition)
    require_open(acquisition)
    files = [str(pk) for pk in acquisition.files.values_list("pk", flat=True)]
    if not files:
        raise ConflictError(
            f"the acquisition has no files; send them to POST /api/v1/acquisitions/{acquisition.pk}/files/ first"
        )
    with record.act("start_preview", actor=actor, project=acquisition.project_id) as act:
        return jobs.create_job(
            actor=actor,
            project=acquisition.project,
            kind=KIND,
            params={},
            inputs={"acquisition": str(acquisition.pk), "files": files},
            act=act,
        )
