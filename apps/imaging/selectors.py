"""What can be read of acquisitions and images."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet

from apps.core import storage
from apps.core.errors import UncalibratedError
from apps.core.models import Store
from apps.imaging.models import Acquisition, Image, Series
from apps.imaging.scale import missing_axes, plain_spacing
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


def list_images(user: access.Caller) -> QuerySet[Image]:
    """Images the caller may see; the manifest, which is large, is left in the database."""
    return access.visible(Image.objects.select_related("store").defer("store__manifest"), user)


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
        ``path`` is absolute; ``spacing_um`` and ``spacing_u_um`` map z, y and x to micrometres or None; ``channels``
        are ``{label, detector, unit}``; ``frame`` is an id or None.
    """
    return {
        "id": str(image.pk),
        "kind": image.kind,
        "path": str(store_path(image.store)),
        "axes": list(image.axes),
        "shape": list(image.shape),
        "dtype": image.dtype,
        "spacing_um": plain_spacing(image.spacing),
        "spacing_u_um": plain_spacing(image.spacing, "u"),
        "channels": list(image.channels),
        "frame": str(image.frame_id) if image.frame_id else None,
        "handedness": image.handedness,
        "digest": image.store.digest,
        "name": image.name,
    }


def store_path(store: Store) -> Any:
    """Where the bytes of a store lie."""
    return storage.path(store.key)
