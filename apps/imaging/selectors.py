"""What can be read of acquisitions and images."""

from __future__ import annotations

import uuid
from typing import IO, Any

from django.db.models import Model, Prefetch, QuerySet

from apps.catalog.models import Calibration
from apps.core import storage
from apps.core.errors import NotFoundError, UncalibratedError
from apps.core.models import Store
from apps.imaging.models import Acquisition, Attachment, Image, Series, SourceFile, Upload
from apps.imaging.scale import calibrated_spacing, missing_axes, plain_spacing
from apps.jobs.models import Job
from apps.projects import access

_STATUS_OF_JOB = {
    Job.Status.QUEUED: "queued",
    Job.Status.RUNNING: "running",
    Job.Status.SUCCEEDED: "ready",
}
STATUSES = ("empty", "queued", "running", "ready", "failed")


def status_of(acquisition: Acquisition) -> str:
    """One of ``STATUSES``, as its ingest job says; files alone leave it empty."""
    if acquisition.ingest_job is None:
        return "empty"
    return _STATUS_OF_JOB.get(Job.Status(acquisition.ingest_job.status), "failed")


def list_acquisitions(user: access.Caller) -> QuerySet[Acquisition]:
    """Acquisitions the caller may see, with job, files, moves and the ids of their current images."""
    current = Image.objects.filter(superseded_by__isnull=True).only("id", "acquisition_id").order_by("created_at", "id")
    return access.visible(
        Acquisition.objects.select_related("ingest_job", "operator").prefetch_related(
            "files", "moves", Prefetch("images", queryset=current, to_attr="current_images")
        ),
        user,
    )


def acquired_of(acquisition: Acquisition) -> dict[str, Any]:
    """When an acquisition was made: as typed, else as its files say.

    Returns
    -------
    dict
        ``value`` (local time, ISO 8601, or None where nobody said), ``zone`` (None = unknown) and ``source``: ``user``,
        ``file`` or None.
    """
    if acquisition.acquired_at:
        return {"value": acquisition.acquired_at, "zone": acquisition.acquired_zone or None, "source": "user"}
    stated = acquisition.facts.get("acquired_at") or {}
    if not isinstance(stated.get("value"), str):
        return {"value": None, "zone": None, "source": None}
    return {"value": stated["value"], "zone": None, "source": "file"}


def current_image_ids(acquisition: Acquisition) -> list[Any]:
    """Ids of the images that no newer version supersedes, oldest first."""
    images = getattr(acquisition, "current_images", None)
    if images is None:
        images = acquisition.images.filter(superseded_by__isnull=True).only("id").order_by("created_at", "id")
    return [image.pk for image in images]


def list_series(user: access.Caller) -> QuerySet[Series]:
    """Series the caller may see, with their acquisitions in order."""
    ordered = Acquisition.objects.only("id", "series_id", "series_index").order_by("series_index")
    return access.visible(Series.objects.prefetch_related(Prefetch("acquisitions", queryset=ordered)), user)


def list_attachments(user: access.Caller) -> QuerySet[Attachment]:
    """Attachments the caller may see."""
    return access.visible(Attachment.objects.all(), user)


def list_uploads(user: access.Caller) -> QuerySet[Upload]:
    """Uploads that the caller began; an upload belongs to no project yet."""
    return Upload.objects.select_related("store").filter(created_by=user.pk)


def upload_offset(upload: Upload) -> int:
    """Bytes of an upload that are there: asked of the file, which no row can disagree with."""
    try:
        return storage.staged_file(upload.store_id).stat().st_size
    except FileNotFoundError:
        return 0


def open_attachment_bytes(row: Attachment) -> IO[bytes]:
    """Open the file of an attachment; NotFoundError where its bytes are gone."""
    path = storage.path(row.store.key)
    if row.store.state != Store.State.READY or not path.is_file():
        raise NotFoundError(f"the bytes of {row.name!r} are not there any more")
    return path.open("rb")


def stores_of_project(project_id: uuid.UUID) -> list[QuerySet[Any, Any]]:
    """Ids of the stores that files, images and attachments of a project use."""
    users: tuple[type[Model], ...] = (SourceFile, Image, Attachment)
    return [model._default_manager.filter(project=project_id).values("store") for model in users]


def list_images(user: access.Caller) -> QuerySet[Image]:
    """Images the caller may see; the manifest, which is large, is left in the database."""
    rows = Image.objects.select_related("store", "calibration__instrument", "calibration__superseded_by")
    return access.visible(rows.defer("store__manifest"), user)


def effective_spacing(image: Image) -> dict[str, Any] | None:
    """The spacing that lengths of an image are computed with: calibrated where a calibration is applied, else nominal.

    Returns
    -------
    dict or None
        Axis -> {value, unit, source, u} or None, as ``Image.spacing``.
    """
    calibration = image.calibration
    if calibration is None:
        return image.spacing
    return calibrated_spacing(
        image.spacing, axes=calibration.axes, factor=calibration.factor, u_factor=calibration.u_factor
    )


def calibration_of(image: Image) -> dict[str, Any] | None:
    """What stands of the calibration that an image is under; None where there is none.

    Returns
    -------
    dict
        ``id``, ``instrument``, ``instrument_name``, ``version``, ``axes``, ``factor``, ``u_factor``, ``standard``,
        ``measured_at``, ``due_at``, ``status``, ``spacing`` (calibrated, by axis), ``flags`` (codes: where it did not
        hold when it was applied, ``withdrawn``, ``newer_version:N``) and ``notes`` (the same in words).
    """
    row = image.calibration
    if row is None:
        return None
    flags = [(flag["code"], flag["words"]) for flag in image.calibration_flags] + _standing(row)
    return {
        "id": row.pk,
        "instrument": row.instrument_id,
        "instrument_name": row.instrument.name,
        "version": row.version,
        "axes": row.axes,
        "factor": row.factor,
        "u_factor": row.u_factor,
        "standard": row.standard,
        "measured_at": row.measured_at,
        "due_at": row.due_at,
        "status": row.status,
        "spacing": effective_spacing(image),
        "flags": [code for code, _ in flags],
        "notes": [words for _, words in flags],
    }


def _standing(row: Calibration) -> list[tuple[str, str]]:
    """What became of a calibration since: read each time, never stored."""
    found = []
    if row.status == Calibration.Status.WITHDRAWN:
        found.append(("withdrawn", "the calibration was withdrawn"))
    successor: Calibration | None = getattr(row, "superseded_by", None)
    if successor is not None:
        number = successor.version
        found.append((f"newer_version:{number}", f"version {number}, measured {successor.measured_at}, is newer"))
    return found


def require_calibrated(image: Image, *, field: str | None = None) -> None:
    """Raise UncalibratedError, naming the call that sets a scale, unless the image has one."""
    if image.calibrated:
        return
    axes = ", ".join(missing_axes(image.axes, image.shape, image.spacing))
    raise UncalibratedError(
        f"image {image.pk} has no spacing along {axes}; set one with "
        f"POST /api/v1/images/{image.pk}/calibrate/ {{spacing_um, spacing_u_um, reason}}",
        field=field,
    )


def describe_image(image: Image) -> dict[str, Any]:
    """All that a child process needs to open an image as a value, JSON only.

    Returns
    -------
    dict
        ``path`` is absolute; ``spacing_um`` and ``spacing_u_um`` map z, y and x to micrometres or None, calibrated
        where a calibration is applied, and only then with ``calibration`` (id and version) and ``nominal_um`` (the
        spacing that stores keep); ``channels`` are ``{label, detector, unit}``; ``signal`` is None but for a spectrum
        image; ``frame`` is the id of the frame in which these lengths are points, or None.
    """
    spacing = effective_spacing(image)
    frame = image.calibrated_frame_id or image.frame_id
    described: dict[str, Any] = {
        "id": str(image.pk),
        "kind": image.kind,
        "path": str(store_path(image.store)),
        "axes": list(image.axes),
        "shape": list(image.shape),
        "dtype": image.dtype,
        "spacing_um": plain_spacing(spacing),
        "spacing_u_um": plain_spacing(spacing, "u"),
        "channels": list(image.channels),
        "signal": image.signal,
        "frame": str(frame) if frame else None,
        "handedness": image.handedness,
        "digest": image.store.digest,
        "name": image.name,
        "facts": image.facts if image.kind == Image.Kind.LABELS else {},
    }
    if image.calibration is not None:
        described["calibration"] = {"id": str(image.calibration.pk), "version": image.calibration.version}
        described["nominal_um"] = plain_spacing(image.spacing)
    return described


def store_path(store: Store) -> Any:
    """Where the bytes of a store lie."""
    return storage.path(store.key)
