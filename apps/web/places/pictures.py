"""Pictures of a region: the image it was drawn in, and any other that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import Q, QuerySet

from analyses.sdk.spatial import Matrix, apply, compose, invert
from apps.core.models import Store
from apps.imaging.coverage import Cover
from apps.imaging.models import Image
from apps.imaging.scale import plain_spacing
from apps.imaging.selectors import effective_spacing
from apps.projects import access
from apps.projects.models import User
from apps.spatial.coverage import error_at, roi_box
from apps.spatial.models import Roi
from apps.spatial.paths import Path
from apps.spatial.roi_geometry import Floats, box_corners, middle, vertices_of
from apps.spatial.targeting import Target, frames_along
from apps.web.present.lengths import samples_of
from apps.web.present.outlines import Grid, View, views_of

_DRAWN = 20_000  # triangles of a mesh; of a larger one the box around it is drawn


@dataclass(frozen=True)
class Picture:
    """Planes of an image with a region on them; ``error_um`` is the 95 % error of the overlap, None if not known."""

    image: Image
    views: list[View]
    error_um: float | None
    steps: int

    @property
    def own(self) -> bool:
        """True for an image in whose frame the region was drawn."""
        return not self.steps

    @property
    def whole(self) -> View:
        """The overview."""
        return self.views[0]

    @property
    def close(self) -> View:
        """The closest view of the plane across z; the overview where that is close enough."""
        return next((view for view in self.views[1:] if view.axis == "z"), self.views[0])


def own_images(user: User, roi: Roi) -> list[Image]:
    """Return the current images whose lengths are points of the region's frame; readable ones first."""
    rows = Image.objects.filter(Q(frame=roi.frame_id) | Q(calibrated_frame=roi.frame_id), superseded_by__isnull=True)
    mine = [
        row for row in access.visible(_related(rows), user) if roi.frame_id == (row.calibrated_frame_id or row.frame_id)
    ]
    return sorted(mine, key=lambda row: (row.store.state != Store.State.READY, row.kind != Image.Kind.INTENSITY))


def picture_of(roi: Roi, own: Sequence[Image], covers: Sequence[Cover], wanted: str = "") -> Picture | None:
    """Return the picture of a region in the image wanted, by default in the one it was drawn in; None without any."""
    for row in own:
        if _drawable(row) and wanted in ("", str(row.pk)):
            return _picture(roi, row, np.eye(4), None, 0)
    for cover in covers:
        if _drawable(cover.image) and wanted in ("", str(cover.image.pk)):
            return _picture(roi, cover.image, cover.path.matrix, cover.u95_um, len(cover.path.transforms))
    return picture_of(roi, own, covers) if wanted else None


def on_stage(user: User, roi: Roi, target: Target) -> Picture | None:
    """Return the region in the last image on the path that was taken in the mount: what is seen there while driving.

    The region may be buried below that image; then its shadow is drawn.
    """
    path = target.path
    frames = frames_along(path)
    rows = Image.objects.filter(
        Q(frame__in=frames) | Q(calibrated_frame__in=frames),
        acquisition__mount=target.mount,
        superseded_by__isnull=True,
    )
    known = {row.calibrated_frame_id or row.frame_id: row for row in access.visible(_related(rows), user)}
    for count in range(len(frames) - 1, 0, -1):
        row = known.get(frames[count])
        if row is not None and _drawable(row):
            matrix = compose(invert(step.matrix) if step.backwards else step.matrix for step in path.maps[:count])
            part = Path(roi.frame_id, frames[count], path.transforms[:count], path.maps[:count], path.error_known)
            return _picture(roi, row, matrix, error_at(part, shape_of(roi)[2]), count)
    return None


def _related(rows: QuerySet[Image]) -> QuerySet[Image]:
    return rows.select_related("store", "calibration").order_by("created_at")


def _drawable(row: Image) -> bool:
    return row.store.state == Store.State.READY and bool(effective_spacing(row))


def _picture(roi: Roi, row: Image, matrix: Matrix, error: float | None, steps: int) -> Picture:
    known = {axis: value for axis, value in plain_spacing(effective_spacing(row)).items() if value}
    step = {axis: known.get(axis) or min(known.values()) for axis in "xyz"}
    grid = Grid(samples_of(row.axes, row.shape), step)
    geometry, points, centre = shape_of(roi)
    views = views_of(grid, geometry, apply(matrix, points), apply(matrix, centre[None])[0], error)
    return Picture(row, views, error, steps)


def shape_of(roi: Roi) -> tuple[dict[str, object], Floats, Floats]:
    """Return what is drawn of a region: its geometry, points and middle; of a mask and a large mesh the box around."""
    low, high = roi_box(roi)
    large = roi.geometry_type == Roi.GeometryType.MESH and len(roi.geometry["coordinates"]["faces"]) > _DRAWN
    if large or roi.geometry_type == Roi.GeometryType.MASK:
        return {"type": "box"}, box_corners(low, high), (low + high) / 2.0
    return roi.geometry, vertices_of(roi.geometry), middle(roi.geometry)
