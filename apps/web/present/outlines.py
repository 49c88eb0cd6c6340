"""A region drawn over planes of an image: which planes, what is cut out of them, and where the lines run.

Everything here is plain numbers.  Points are (x, y, z) in the image's frame, um; the centre of sample 0 is the origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from apps.spatial.roi_geometry import BOX_FACES, Floats
from apps.web.present.lengths import ScaleBar, format_length, scale_bar
from apps.web.present.slices import plane_axes

_AROUND: Final = 3.0  # a close view is so many times as wide as the region
_LEAST_SAMPLES: Final = 48.0  # and never narrower than so many samples
_WORTH: Final = 0.6  # a close view of more than this part of the whole shows nothing new


@dataclass(frozen=True)
class Grid:
    """Samples of an image along x, y and z, and their distance, um."""

    counts: Mapping[str, int]
    step: Mapping[str, float]


@dataclass(frozen=True)
class View:
    """One plane with the region on it.

    Attributes
    ----------
    axis, index : str, int
        Of the plane.
    area : tuple
        First and end across, first and end down: samples.
    width, height : float
        Of the view, um; the drawing has its origin in the upper left corner.
    outline : str
        The lines of the drawing as one SVG path; empty for a point.
    cross : tuple of float
        The middle of the region.
    radius : float or None
        95 % error of that middle in this image, where it is large enough to be seen.
    off_um : float
        How far the middle lies from the plane that is shown, where that is outside of the image.
    """

    axis: str
    index: int
    count: int
    whole: bool
    area: tuple[float, float, float, float]
    width: float
    height: float
    outline: str
    cross: tuple[float, float]
    radius: float | None
    off_um: float

    @property
    def across(self) -> str:
        """Axis to the right."""
        return plane_axes(self.axis)[1]

    @property
    def down(self) -> str:
        """Axis down."""
        return plane_axes(self.axis)[0]

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    @property
    def bar(self) -> ScaleBar | None:
        """A scale bar for the picture."""
        return scale_bar(self.width)

    @property
    def marker(self) -> float:
        """Arm of the cross."""
        return max(self.width, self.height) / 28.0

    @property
    def arm(self) -> float:
        """Line of the cross on one side of its open middle."""
        return 0.65 * self.marker

    @property
    def gap(self) -> float:
        """Open middle of the cross: the place itself stays to be seen."""
        return 0.7 * self.marker

    @property
    def query(self) -> str:
        """What the address of the plane's picture ends in."""
        area = "" if self.whole else "&area=" + ",".join(f"{value:.3f}" for value in self.area)
        return f"axis={self.axis}&index={self.index}{area}"

    @property
    def words(self) -> str:
        """Which plane, and how much of it."""
        part = "Whole plane" if self.whole else "Close"
        plane = f", {self.axis} = {self.index + 1} of {self.count}" if self.count > 1 else ""
        off = f"; the region lies {format_length(self.off_um)} beyond it" if self.off_um else ""
        return f"{part}{plane}: {self.across} to the right, {self.down} down{off}"


def views_of(
    grid: Grid, geometry: Mapping[str, Any], points: Floats, middle: Floats, error_um: float | None
) -> list[View]:
    """Return the planes through the middle of a region: the whole one, and close ones.

    Parameters
    ----------
    grid : Grid
    geometry : mapping
        ``{type, coordinates}``; of a mesh its faces are taken, of all else the type alone.
    points : ndarray, (n, 3)
        Of the geometry in the image's frame; the 8 corners of a box, or of the box around a mask.
    middle : ndarray, (3,)
    error_um : float or None
        95 % error of the middle.
    """
    found = [_view(grid, "z", geometry, points, middle, error_um, close=False)]
    axes = ["z"] + [axis for axis in ("y", "x") if grid.counts.get("z", 1) > 1]
    for axis in axes:
        close = _view(grid, axis, geometry, points, middle, error_um, close=True)
        if axis != "z" or close.width < _WORTH * found[0].width:
            found.append(close)
    return found


def _view(
    grid: Grid, axis: str, geometry: Mapping[str, Any], points: Floats, middle: Floats, error: float | None, close: bool
) -> View:
    down, across = plane_axes(axis)
    number = "xyz".index(axis)
    count = grid.counts.get(axis, 1)
    asked = round(middle[number] / grid.step[axis])
    index = int(min(max(asked, 0), count - 1))
    area = _area(grid, (across, down), points, error or 0.0) if close else _whole(grid, (across, down))
    corner = [(area[0] - 0.5) * grid.step[across], (area[2] - 0.5) * grid.step[down]]
    place = ["xyz".index(across), "xyz".index(down)]
    flat = points[:, place] - corner
    width, height = (area[1] - area[0]) * grid.step[across], (area[3] - area[2]) * grid.step[down]
    level = middle[number] if index == asked else index * grid.step[axis]
    seen = error is not None and error > max(width, height) / 200.0
    return View(
        axis=axis,
        index=index,
        count=count,
        whole=not close,
        area=area,
        width=width,
        height=height,
        outline=_outline(geometry, points, flat, number, level, place, corner),
        cross=(float(middle[place[0]] - corner[0]), float(middle[place[1]] - corner[1])),
        radius=error if seen else None,
        off_um=0.0 if index == asked else abs(float(middle[number] - index * grid.step[axis])),
    )


def _whole(grid: Grid, axes: tuple[str, str]) -> tuple[float, float, float, float]:
    across, down = axes
    return 0.0, float(grid.counts.get(across, 1)), 0.0, float(grid.counts.get(down, 1))


def _area(grid: Grid, axes: tuple[str, str], points: Floats, error: float) -> tuple[float, float, float, float]:
    """Some times the region with its error, a square in lengths as far as the image reaches."""
    low, high = points.min(axis=0), points.max(axis=0)
    sides = [float(high["xyz".index(axis)] - low["xyz".index(axis)]) for axis in axes]
    least = _LEAST_SAMPLES * max(grid.step[axis] for axis in axes)
    wide = max(_AROUND * max(sides), least, _AROUND * 2.0 * error)
    ends: list[float] = []
    for axis in axes:
        centre = float(low["xyz".index(axis)] + high["xyz".index(axis)]) / 2.0
        count, step = float(grid.counts.get(axis, 1)), grid.step[axis]
        span = min(wide / step, count)
        first = min(max(0.0, centre / step + 0.5 - span / 2.0), count - span)
        ends += [first, first + span]
    return ends[0], ends[1], ends[2], ends[3]


def _outline(
    geometry: Mapping[str, Any],
    points: Floats,
    flat: Floats,
    axis: int,
    level: float,
    place: Sequence[int],
    corner: Sequence[float],
) -> str:
    """Lines as they fall onto the plane; of a body where the plane cuts it, its shadow where it does not."""
    kind = geometry["type"]
    if kind == "point":
        return ""
    if kind in ("polyline", "polygon"):
        return _joined(flat, closed=kind == "polygon")
    faces = geometry["coordinates"]["faces"] if kind == "mesh" else BOX_FACES
    cut = _cut(points, np.array(faces, np.int64), axis, level)
    if len(cut):
        return " ".join(_joined(line[:, place] - corner) for line in cut)
    low, high = flat.min(axis=0), flat.max(axis=0)
    return _joined(np.array([low, [high[0], low[1]], high, [low[0], high[1]]]), closed=True)


def _cut(points: Floats, faces: Any, axis: int, level: float) -> Floats:
    """Where a plane normal to an axis cuts triangles: lines, (n, 2 ends, 3)."""
    triangles = points[faces]
    heights = triangles[:, :, axis] - level
    lines = []
    for corners, height in zip(triangles, heights, strict=True):
        ends = []
        for one, other in ((0, 1), (1, 2), (2, 0)):
            if (height[one] > 0.0) != (height[other] > 0.0):
                part = height[one] / (height[one] - height[other])
                ends.append(corners[one] + part * (corners[other] - corners[one]))
        if len(ends) == 2:
            lines.append(ends)
    return np.array(lines, np.float64).reshape(-1, 2, 3)


def _joined(points: Floats, *, closed: bool = False) -> str:
    return "M" + " L".join(f"{x:.6g},{y:.6g}" for x, y in points.tolist()) + (" Z" if closed else "")
