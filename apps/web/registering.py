"""What the registration page works with: two images, what stands between their frames, pairs to start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from django.db.models import Q, QuerySet
from django.urls import reverse

from apps.core.models import Store
from apps.imaging.models import Image
from apps.projects import access
from apps.projects.models import User
from apps.spatial.models import Frame, Transform
from apps.spatial.selectors import list_transforms
from apps.web.present.lengths import format_length, samples_of
from apps.web.viewer.compose import compose
from apps.web.viewer.layers import channel_names, contrast, frame_of, spacing_um

MOST_IMAGES: Final = 300
MOST_TRANSFORMS: Final = 20
_XYZ: Final = ("x", "y", "z")
# What a map may do, and how many pairs it needs in the plane and in space (analyses.sdk.landmarks).
KINDS: Final = (
    ("translation", "Translation", "Shifts only. Needs 1 pair."),
    ("rigid", "Rigid", "Shifts and turns; lengths stay. Needs 2 pairs between two planes, 3 not on a line in space."),
    (
        "similarity",
        "Similarity",
        "Shifts, turns and one factor for all lengths. Needs 2 pairs between two planes, 3 not on a line in space.",
    ),
    (
        "affine",
        "Affine",
        "Shifts, turns, stretches and shears. Needs 3 pairs not on a line between planes, 4 not in one plane in space.",
    ),
)


def choices(user: User, near: Image | None, specimen: Any = None) -> list[Image]:
    """Return images that can be registered, those of the same specimen first."""
    rows = access.visible(Image.objects.select_related("specimen"), user).filter(
        calibrated=True, superseded_by__isnull=True
    )
    home = near.specimen if near else specimen
    if home is None:
        return []
    found = list(rows.filter(specimen__project=home.project_id).order_by("specimen__name", "name")[:MOST_IMAGES])
    return sorted(found, key=lambda row: row.specimen_id != home.pk)


def image_of(user: User, frame: Frame) -> Image | None:
    """Return the newest image whose lengths are points of a frame; None where the caller sees none."""
    own = Q(calibrated_frame=frame) | Q(frame=frame, calibrated_frame__isnull=True)
    return access.visible(Image.objects.all(), user).filter(own).order_by("-version", "-created_at").first()


def ends(source: Image, target: Image) -> tuple[Frame, Frame] | None:
    """Return the frames of two images; None where one has no scale, and with it no frame."""
    first, second = frame_of(source), frame_of(target)
    return None if first is None or second is None else (first, second)


def obstacles(source: Image, target: Image) -> Iterator[tuple[Image, str]]:
    """Yield what stands in the way of registering two images, each with the image that it is about."""
    for row in (source, target):
        if row.store.state != Store.State.READY:
            yield row, "its bytes are not there; the record of them is"
        if frame_of(row) is None:
            yield row, "it has no scale, and with it no lengths: set one on its page, with its uncertainty"
    if source.project_id != target.project_id:
        yield target, "it belongs to another project; transforms join frames of one project"
    elif frame_of(source) is not None and frame_of(source) == frame_of(target):
        yield target, f"it shares the frame of {source.name}: the two lie on each other already"


def between(user: User, first: Frame, second: Frame) -> QuerySet[Transform]:
    """Return the transforms between two frames with landmarks, whichever way round they were written, newest first."""
    ends = Q(source=first, target=second) | Q(source=second, target=first)
    return list_transforms(user).filter(ends).exclude(kind=Transform.Kind.DISPLACEMENT).select_related("created_by")


def said_of(transform: Transform) -> dict[str, Any]:
    """Return what identifies a transform to a reader."""
    residual = transform.residual_um
    return {
        "id": str(transform.pk),
        "status": transform.status,
        "words": f"{transform.get_kind_display()} by {transform.get_method_display()}"
        + (f", residual {format_length(residual)}" if residual is not None else ", no residual")
        + f", {transform.created_by} on {transform.created_at:%Y-%m-%d %H:%M} UTC",
    }


def config_of(
    user: User, images: tuple[Image, Image], frames: tuple[Frame, Frame], start: Transform | None
) -> dict[str, Any]:
    """Return what the page's script works with; the two frames are not one, and of one project."""
    (source, target), (first, second) = images, frames
    rows = between(user, first, second)
    standing = rows.filter(status=Transform.Status.ACCEPTED).first()
    found = compose(first, second)
    return {
        "panes": {"source": _pane(source, first), "target": _pane(target, second)},
        "path": {"matrix": found.matrix.tolist(), "doubts": list(found.doubts)} if found else None,
        "standing": said_of(standing) if standing else None,
        "start": _start(start) if start else None,
        "may_register": access.allowed(user, access.Action.CONTRIBUTE, source),
        "key": f"corrspace-register:{user.pk}:{first.pk}:{second.pk}",
        "fit": reverse("transform-fit"),
        "transforms": reverse("transform-list"),
    }


def _pane(row: Image, frame: Frame) -> dict[str, Any]:
    sizes, steps = samples_of(row.axes, row.shape), spacing_um(row)
    labels = row.kind == Image.Kind.LABELS
    window, limits = ((0.0, 1.0), (0.0, 1.0)) if labels else contrast(row)
    return {
        "image": str(row.pk),
        "name": row.name,
        "frame": str(frame.pk),
        "cut": reverse("image-cut", args=[row.pk]),
        "map": reverse("frame-map-points", args=[frame.pk]),
        "sizes": [sizes.get(axis, 1) for axis in _XYZ],
        "spacing": [steps[axis] for axis in _XYZ],
        "labels": labels,
        "window": list(window),
        "limits": list(limits),
        "channels": channel_names(row),
        "times": sizes.get("t", 1),
    }


def _start(transform: Transform) -> dict[str, Any]:
    """Return the pairs of a transform to go on from."""
    pairs = [
        {
            "source": [row.source_x, row.source_y, row.source_z],
            "target": [row.target_x, row.target_y, row.target_z],
            "u_um": row.u_um,
            "state": row.state,
            "reason": row.reason,
        }
        for row in transform.landmarks.all()
    ]
    superseded = getattr(transform, "superseded_by", None)
    return {
        **said_of(transform),
        "kind": transform.kind,
        "pairs": pairs,
        "superseded_by": str(superseded.pk) if superseded else None,
        "matrix": np.array(transform.matrix, np.float64).reshape(4, 4).tolist(),
    }
