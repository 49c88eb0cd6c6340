"""Regions that were marked in other frames, drawn where they lie in the viewed one, each with its error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from apps.projects.models import User
from apps.spatial.models import Frame, Roi
from apps.spatial.paths import Mapped, NoPathError, map_points
from apps.spatial.roi_geometry import Floats, box_corners, vertices_of
from apps.spatial.roi_mapping import u95
from apps.spatial.selectors import list_rois
from apps.web.present.lengths import format_length
from apps.web.viewer.state import View

MOST_REGIONS: Final = 200
MOST_FRAMES: Final = 12  # each costs a search for a path
MOST_POINTS: Final = 20_000  # of one frame's outlines: they go into the page
_SOLID: Final = frozenset({Roi.GeometryType.BOX, Roi.GeometryType.MESH})
# One line over all twelve edges of a box whose corner i has its high end along x, y, z where i & 1, 2, 4.
_EDGES: Final = (0, 1, 3, 2, 0, 4, 5, 7, 6, 4, 5, 1, 3, 7, 6, 2)


@dataclass(frozen=True)
class Elsewhere:
    """A region of another frame as it lies in the viewed one.

    Attributes
    ----------
    roi : Roi
        With ``frame``.
    points_um : ndarray, (n, 3)
        Of the line that is drawn, or of the one point, in the viewed frame.
    u95_um : float or None
        Largest 95 % error of its points; None where a step on the way states none.
    doubts : tuple of str
        What speaks against the way.
    """

    roi: Roi
    points_um: Floats
    u95_um: float | None
    doubts: tuple[str, ...] = ()

    @property
    def error(self) -> str:
        """The error in words."""
        return "error not known" if self.u95_um is None else f"± {format_length(self.u95_um, 2)} (95 %)"

    @property
    def middle_um(self) -> list[float]:
        """Middle of the box around it."""
        return [float(value) for value in (self.points_um.min(axis=0) + self.points_um.max(axis=0)) / 2.0]


def regions_from_elsewhere(user: User, frame: Frame, specimens: Collection[Any]) -> list[Elsewhere]:
    """Return current regions of the specimens' other frames, newest first, that a path brings into a frame.

    Masks are left out: they are made of samples.  Regions of at most ``MOST_FRAMES`` frames are looked at, at most
    ``MOST_REGIONS`` of them, and of one frame as many as have ``MOST_POINTS`` together.
    """
    rows = (
        list_rois(user)
        .filter(project=frame.project_id, frame__specimen__in=specimens, superseded_by__isnull=True)
        .exclude(frame=frame)
        .exclude(geometry_type=Roi.GeometryType.MASK)
        .select_related("frame__extent")
    )
    newest = list(rows[:MOST_REGIONS])
    frames = list(dict.fromkeys(roi.frame_id for roi in newest))[:MOST_FRAMES]
    kept = sorted((roi for roi in newest if roi.frame_id in frames), key=lambda roi: frames.index(roi.frame_id))
    return [
        found for _, group in groupby(kept, key=lambda roi: roi.frame_id) for found in _of_one_frame(list(group), frame)
    ]


def _of_one_frame(rois: list[Roi], frame: Frame) -> list[Elsewhere]:
    """Map the regions of one frame together: one search, and each point takes the path that serves it best."""
    outlines = [_outline(roi) for roi in rois]
    fitting = int(np.searchsorted(np.cumsum([len(outline) for outline in outlines]), MOST_POINTS, side="right"))
    rois, outlines = rois[:fitting], outlines[:fitting]
    if not rois:
        return []
    try:
        mapped = map_points(rois[0].frame, frame, np.concatenate(outlines))
    except NoPathError:
        return []
    ends = np.cumsum([len(outline) for outline in outlines])
    errors = u95(mapped)
    return [
        _placed(roi, mapped, errors, slice(end - len(outline), end))
        for roi, outline, end in zip(rois, outlines, ends.tolist(), strict=True)
    ]


def _outline(roi: Roi) -> Floats:
    """The points to map: of what fills a volume the corners of its box, however many it has itself."""
    if roi.geometry_type in _SOLID:
        return box_corners([roi.x_min, roi.y_min, roi.z_min], [roi.x_max, roi.y_max, roi.z_max])
    return vertices_of(roi.geometry)


def _placed(roi: Roi, mapped: Mapped, errors: Floats, part: slice) -> Elsewhere:
    points = mapped.points[part]
    if roi.geometry_type in _SOLID:
        points = points[list(_EDGES)]
    elif roi.geometry_type == Roi.GeometryType.POLYGON:
        points = np.concatenate([points, points[:1]])
    worst = float(np.max(errors[part]))  # NaN if one of them is not known
    ways = {int(index) for index in mapped.path_of[part]}
    doubts = dict.fromkeys(
        doubt.message for index in sorted(ways) for doubt in mapped.paths[index].doubts if doubt.code != "no_error"
    )
    return Elsewhere(roi, points, None if np.isnan(worst) else worst, tuple(doubts))


def annotation(found: Elsewhere, view: View) -> dict[str, Any]:
    """Return what the client draws: a point, or one line; a turned box is no box of the client's."""
    said = {"id": str(found.roi.pk), "description": f"{found.roi.name} (from {found.roi.frame.name})"}
    points = [view.local(point) for point in found.points_um.tolist()]
    if len(points) == 1:
        return said | {"type": "point", "point": points[0]}
    return said | {"type": "polyline", "points": points}


def described(found: Elsewhere) -> Mapping[str, Any]:
    """Return what the page's script needs of it."""
    return {"id": str(found.roi.pk), "middle": found.middle_um}
