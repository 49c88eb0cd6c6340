"""Which images show a region, or lie near a place: every modality, scale and time, with the error of each overlap."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db.models import Exists, OuterRef

from apps.imaging import selectors
from apps.imaging.models import Image
from apps.imaging.selectors import acquired_of, effective_spacing
from apps.projects import access
from apps.spatial import coverage as places
from apps.spatial import selectors as spatial
from apps.spatial.coverage_boxes import candidates, distance_um, fraction_inside, holds, meet
from apps.spatial.models import Frame, FrameExtent, Roi
from apps.spatial.paths import Path

Floats = npt.NDArray[np.float64]
MAX_IMAGES: Final = 1_000


@dataclass(frozen=True)
class Cover:
    """An image that shows a region, or a part of it.

    ``fraction`` is the part of the region's bounding box inside the image, see ``fraction_inside``; ``whole`` is true
    if all its corners are inside too; ``u95_um`` the 95 % error of the region's middle in the image's frame, None where
    it is not known.
    """

    image: Image
    frame: Frame
    fraction: float
    whole: bool
    point: Floats
    u95_um: float | None
    path: Path


@dataclass(frozen=True)
class NearImage:
    """An image that comes within a radius of a place."""

    image: Image
    frame: Frame
    distance_um: float
    u95_um: float | None
    path: Path


@dataclass(frozen=True)
class Coverage:
    """What covers a region; ``unreached`` counts images of the project that no accepted transforms lead to."""

    covers: list[Cover]
    unreached: int
    truncated: bool


@dataclass(frozen=True)
class Near:
    """What is near a place, the nearest first."""

    images: list[NearImage]
    rois: list[places.NearRoi]
    truncated: bool


def frame_of(image: Image) -> Frame | None:
    """The frame in which an image's lengths are points: the calibrated one where a calibration is applied."""
    return image.calibrated_frame or image.frame


def _images(user: access.Caller, project: uuid.UUID) -> list[tuple[Image, Frame, FrameExtent]]:
    rows = (
        selectors.list_images(user)
        .filter(project=project, superseded_by__isnull=True, frame__isnull=False)
        .select_related("frame__extent", "calibrated_frame__extent", "acquisition", "state", "store", "calibration")
        .defer("acquisition__header")
    )
    found = [(image, frame_of(image)) for image in rows]
    return [(image, frame, frame.extent) for image, frame in found if frame is not None and hasattr(frame, "extent")]


def _corners(extents: Sequence[FrameExtent]) -> tuple[Floats, Floats]:
    low = [[extent.x_min, extent.y_min, extent.z_min] for extent in extents]
    high = [[extent.x_max, extent.y_max, extent.z_max] for extent in extents]
    return np.array(low).reshape(-1, 3), np.array(high).reshape(-1, 3)


def images_covering(user: access.Caller, roi: Roi) -> Coverage:
    """Return every current image whose samples hold a region wholly or partly, the whole ones first.

    An image of one plane covers what its plane cuts, or passes within the error of the overlap.  The number of queries
    does not grow with the images, only with the states of specimens among them.
    """
    low, high = places.roi_box(roi)
    middle = (low + high) / 2.0
    rows = _images(user, roi.project_id)
    paths = places.paths_to(roi.frame, middle, list({frame.pk: frame for _, frame, _ in rows}.values()))
    reached = [row for row in rows if row[1].pk in paths]
    covers = list(_covers(reached, paths, low, high))
    covers.sort(
        key=lambda cover: (not cover.whole, -round(cover.fraction, 6), cover.u95_um is None, cover.u95_um or 0.0)
    )
    return Coverage(covers[:MAX_IMAGES], len(rows) - len(reached), len(covers) > MAX_IMAGES)


def _covers(
    rows: Sequence[tuple[Image, Frame, FrameExtent]], paths: dict[uuid.UUID, Path], low: Floats, high: Floats
) -> Iterator[Cover]:
    middle = (low + high) / 2.0
    matrices = np.array([paths[frame.pk].matrix for _, frame, _ in rows]).reshape(-1, 4, 4)
    lows, highs = _corners([extent for *_, extent in rows])
    for index in np.flatnonzero(candidates(low, high, matrices, lows, highs)):
        image, frame, _ = rows[int(index)]
        path, matrix = paths[frame.pk], matrices[index]
        error = places.error_at(path, middle)
        if meet(low, high, matrix, lows[index], highs[index], error or 0.0):
            fraction = fraction_inside(low, high, matrix, lows[index], highs[index], error or 0.0)
            yield Cover(
                image=image,
                frame=frame,
                fraction=fraction,
                whole=fraction >= 1.0 - 1e-9 and holds(low, high, matrix, lows[index], highs[index], error or 0.0),
                point=matrix[:3, :3] @ middle + matrix[:3, 3],
                u95_um=error,
                path=path,
            )


def find_near(user: access.Caller, source: Frame, point: Floats, radius_um: float) -> Near:
    """Return the current images and regions of the frame's project that come within a radius of a place.

    Parameters
    ----------
    user : Caller
    source : Frame
        Visible to the caller.
    point : ndarray, (3,)
        (x, y, z), um.
    radius_um : float
        Distances are lengths of the source frame, to the samples of an image and to the box around a region.
    """
    rows = _images(user, source.project_id)
    frames = {frame.pk: frame for _, frame, _ in rows}
    marked = Exists(Roi.objects.filter(frame=OuterRef("pk")))
    for frame in spatial.list_frames(user).filter(marked, project=source.project_id):
        frames.setdefault(frame.pk, frame)
    paths = places.paths_to(source, point, list(frames.values()))
    reached = [row for row in rows if row[1].pk in paths]
    images = sorted(_near(reached, paths, point, radius_um), key=lambda near: near.distance_um)
    rois, more = places.rois_near(user, source, point, radius_um, paths)
    return Near(images[:MAX_IMAGES], rois, len(images) > MAX_IMAGES or more)


def _near(
    rows: Sequence[tuple[Image, Frame, FrameExtent]], paths: dict[uuid.UUID, Path], point: Floats, radius_um: float
) -> Iterator[NearImage]:
    lows, highs = _corners([extent for *_, extent in rows])
    for (image, frame, _), low, high in zip(rows, lows, highs, strict=True):
        path = paths[frame.pk]
        distance = distance_um(point, path.matrix, low, high)
        if distance <= radius_um:
            yield NearImage(image, frame, distance, places.error_at(path, point), path)


def told_image(image: Image, frame: Frame) -> dict[str, Any]:
    """What an answer says of an image: kind, scale, time and state."""
    spacing = effective_spacing(image)
    return {
        "image": str(image.pk),
        "name": image.name,
        "kind": image.kind,
        "modality": image.modality,
        "frame": str(frame.pk),
        "spacing": spacing,
        "calibrated_scale": image.calibration_id is not None,
        "acquisition": str(image.acquisition_id) if image.acquisition_id else None,
        "acquired_at": acquired_of(image.acquisition) if image.acquisition else None,
        "recorded_at": image.created_at.isoformat(),
        "specimen": str(image.specimen_id),
        "state": str(image.state_id),
        "state_number": image.state.number,
    }
