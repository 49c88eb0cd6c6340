"""Points of an EBSD map on the grid that they were measured on.

The header says what grid was meant, the points say where they are.  Where all points lie on the header's grid, that is
the grid, and places without a point are NaN; else the grid is found from the points, and the map says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.imaging.readers.base import fact
from apps.imaging.readers.errors import MetadataError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.quantities import Facts
from apps.imaging.readers.tiff_spacing import usable

Array = npt.NDArray[Any]
_OFF = 0.2  # of a step: printed positions are rounded
_SAME = 0.01
_MOST = 1 << 24
HEXAGONAL = (
    "was measured on a hexagonal grid, whose rows are shifted by half a step; square grids are read: "
    "resample it to one in the program that measured it, which knows the neighbours"
)


@dataclass(frozen=True)
class Line:
    """Regular positions along one axis: ``origin + i * step`` for ``i < count``."""

    origin: float
    step: float
    count: int

    def index(self, positions: Array) -> Array | None:
        """Number of the place of each position, None if one lies off the places."""
        at = (positions - self.origin) / self.step
        whole = np.rint(at)
        if not np.all(np.abs(at - whole) <= _OFF) or whole.min() < 0 or whole.max() >= self.count:
            return None
        found: Array = whole.astype(np.int64)
        return found


@dataclass(frozen=True)
class Stated:
    """The grid of a header; None where it says nothing."""

    rows: int | None
    columns: int | None
    step_x: float | None
    step_y: float | None

    def lines(self, positions: Array, count: int | None, step: float | None) -> list[Line]:
        """The header's places along one axis, from zero or from the first point."""
        if count is None or step is None or not 0 < count <= _MOST or step <= 0:
            return []
        return [Line(origin, step, count) for origin in sorted({0.0, float(positions.min())}, key=abs)]


@dataclass(frozen=True)
class Grid:
    """Where the points of a map belong: ``place`` is the flat number of each point's place."""

    rows: Line
    columns: Line
    place: Array
    stated: Stated | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.count, self.columns.count

    def spacing_um(self) -> dict[str, float | None]:
        """Step along y and x; None along an axis with a single place, where there is no step to see."""
        steps = {"y": self.rows, "x": self.columns}
        seen = self.stated is not None
        kept = {axis: line.step if line.count > 1 or seen else None for axis, line in steps.items()}
        return {"z": None} | {axis: usable(step) for axis, step in kept.items()}

    def in_order(self) -> bool:
        """True if the points fill the grid row by row."""
        return len(self.place) == math.prod(self.shape) and bool((np.diff(self.place) == 1).all())

    def check_complete(self, x: Array, y: Array, name: str) -> None:
        """Refuse points that fill the grid row by row and then end: the rest of the file is missing.

        A map that was measured on every fourth place, or around a hole, has its gaps elsewhere.
        """
        rows, row = np.unique(y, return_inverse=True)
        columns, column = np.unique(x, return_inverse=True)
        among = row * len(columns) + column
        for places, at in ((math.prod(self.shape), self.place), (len(rows) * len(columns), among)):
            if len(at) < places and bool((at == np.arange(len(at))).all()):
                raise TruncatedFileError(
                    f"{name} has {len(at)} of {places} points of its grid: those at the end are missing",
                    found=len(at),
                    expected=places,
                )

    def facts(self, x: Array, y: Array, header: Stated) -> Facts:
        """How the points fill the grid, where they do not fill it or the header is at odds with them."""
        facts: Facts = {}
        if len(self.place) != math.prod(self.shape):
            facts["points_measured"] = fact(len(self.place), "1", "derived")
            facts["points_of_grid"] = fact(math.prod(self.shape), "1", "derived")
            for name, positions in (("measured_step_x", x), ("measured_step_y", y)):
                if (gap := _even_gap(positions)) is not None:
                    facts[name] = fact(gap, "um", "derived")
        if self.stated is None:
            facts["grid_source"] = fact("positions of the points", None, "derived", raw=str(header))
        for name, line in (("origin_x", self.columns), ("origin_y", self.rows)):
            if line.origin:
                facts[name] = fact(line.origin, "um")
        return facts


def find_grid(x: Array, y: Array, stated: Stated, name: str) -> Grid:
    """The grid of a map whose points are at ``x`` and ``y``, in micrometres.

    Raises
    ------
    UnsupportedFormatError
        Points that form no rectangular grid.
    MetadataError
        Two points at one place, or positions that are no numbers.
    """
    if not len(x) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise MetadataError(f"{name} has points without a position" if len(x) else f"{name} has no points")
    down, across = stated.lines(y, stated.rows, stated.step_y), stated.lines(x, stated.columns, stated.step_x)
    for rows, columns in product(down, across):
        place = _place(x, y, rows, columns, name)
        if place is not None:
            return Grid(rows, columns, place, stated)
    rows, columns = _found(y, name), _found(x, name)
    place = _place(x, y, rows, columns, name)
    if place is None:
        raise UnsupportedFormatError(f"{name} has points that lie on no rectangular grid")
    row, column = np.divmod(place, columns.count)
    if rows.count > 1 and len(place) > 2 and len(np.unique((row + column) % 2)) == 1:
        raise UnsupportedFormatError(f"{name} {HEXAGONAL}", grid="hexagonal")
    return Grid(rows, columns, place, None)


def _found(positions: Array, name: str) -> Line:
    """The places that the positions themselves form: one distance between neighbours, or whole multiples of it."""
    places = np.unique(positions)
    span = float(places[-1] - places[0])
    if span == 0:
        return Line(float(places[0]), 1.0, 1)
    gaps = np.diff(places)
    # Rounding puts the positions of one column a little apart: such gaps are none.
    gaps = gaps[gaps > _SAME * gaps.max()]
    smallest = float(np.percentile(gaps, 5))
    count = span / smallest + 1
    if not count <= _MOST:
        raise UnsupportedFormatError(f"{name} has points {smallest:g} apart over {span:g}: no regular grid")
    return Line(float(places[0]), span / (round(count) - 1), round(count))


def _even_gap(positions: Array) -> float | None:
    """The distance of neighbours if it is the same everywhere."""
    gaps = np.diff(np.unique(positions))
    if not gaps.size or np.ptp(gaps) > _SAME * gaps.max():
        return None
    return float(f"{(positions.max() - positions.min()) / gaps.size:.9g}")


def _place(x: Array, y: Array, rows: Line, columns: Line, name: str) -> Array | None:
    """Flat place of each point, None if the points do not lie on the grid."""
    row, column = rows.index(y), columns.index(x)
    if row is None or column is None:
        return None
    place: Array = row * columns.count + column
    if len(np.unique(place)) != len(place):
        raise MetadataError(f"{name} has several points at one place of its grid")
    return place
