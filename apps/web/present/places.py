"""Places in words: what a region is, how large, and stage readings with the digits that their error bears."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.spatial.exchange.positions import ANGLES, LENGTHS, StagePosition, StageUnits
from apps.spatial.roi_geometry import Floats
from apps.web.present.lengths import format_length, significant

WORKING_DISTANCE_MM = 1e3  # um
DEFAULT_UNITS = StageUnits("um", "deg")
UNIT_WORDS = {"um": "µm", "mm": "mm", "m": "m", "deg": "°", "rad": "rad"}
READINGS = (
    ("x", "x"),
    ("y", "y"),
    ("z", "z"),
    ("rotation", "Rotation (r)"),
    ("tilt", "Tilt (t)"),
    ("working_distance", "Working distance (wd)"),
)


def point_words(point: Sequence[float]) -> str:
    """Return a point of a frame: ``x 400, y 200, z 30 µm``."""
    return ", ".join(f"{axis} {significant(float(value), 6)}" for axis, value in zip("xyz", point, strict=True)) + " µm"


def size_words(low: Floats, high: Floats) -> str:
    """Return the sides of a box that are longer than nothing: ``10 µm × 20 µm``."""
    sides = [format_length(float(side)) for side in high - low if side > 0.0]
    return " × ".join(sides) or "no extent"


def geometry_words(geometry: Mapping[str, Any], low: Floats, high: Floats) -> str:
    """Return what a region is, and how large, in one phrase.

    Parameters
    ----------
    geometry : mapping
        ``{type, coordinates}``, um.
    low, high : ndarray, (3,)
        Opposite corners of the box around it, um.
    """
    kind, size = geometry["type"], size_words(low, high)
    if kind == "point":
        return "a point"
    if kind == "mask":
        return f"the samples of value {geometry.get('value')} of an image of labels, within {size}"
    if kind == "mesh":
        faces = len(geometry["coordinates"]["faces"])
        return f"a mesh of {faces} triangles, within {size}"
    if kind == "box":
        return f"a box of {size}"
    points = np.array(geometry["coordinates"], np.float64)
    if kind == "polyline":
        length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
        return f"a line through {len(points)} points, {format_length(length)} long"
    return f"a polygon of {len(points)} corners, {area_words(polygon_area(points))} large, within {size}"


def polygon_area(points: Floats) -> float:
    """Return the area of a polygon in space, um^2: half the length of the sum of its triangles' cross products."""
    apart = points[1:] - points[0]
    return float(np.linalg.norm(np.cross(apart[:-1], apart[1:]).sum(axis=0)) / 2.0)


def area_words(um2: float) -> str:
    """Return an area in the unit that reads best."""
    for size, unit in ((1e6, "mm²"), (1.0, "µm²")):
        if um2 >= size:
            return f"{significant(um2 / size)} {unit}"
    return f"{significant(um2 * 1e6)} nm²"


@dataclass(frozen=True)
class Reading:
    """One number that a stage shows, in its unit; ``text`` is None where it is not known."""

    name: str
    title: str
    unit: str
    text: str | None


def factor_of(name: str, units: StageUnits) -> tuple[float, str]:
    """Return how many um or degrees one unit of a reading is, and the unit."""
    if name == "working_distance":
        return WORKING_DISTANCE_MM, "mm"
    if name in ("x", "y", "z"):
        return LENGTHS[units.length], units.length
    return ANGLES[units.angle], units.angle


def readings(position: StagePosition, units: StageUnits, u95_um: float | None) -> list[Reading]:
    """Return what the stage shows at a position, in its units, with the digits that the error bears."""
    found = []
    for name, title in READINGS:
        factor, unit = factor_of(name, units)
        value = getattr(position, name)
        finest = (u95_um or 0.1) / 10.0 if name in ("x", "y", "z") else _FINEST[name]
        found.append(Reading(name, title, UNIT_WORDS[unit], None if value is None else _digits(value, factor, finest)))
    return found


_FINEST = {"rotation": 0.01, "tilt": 0.01, "working_distance": 1.0}  # degrees, degrees, um


def _digits(value: float, factor: float, finest: float) -> str:
    """Return a value in units of ``factor``, to the decimal that is no coarser than ``finest``."""
    decimals = max(0, -math.floor(math.log10(finest / factor)))
    text = f"{value / factor:.{min(decimals, 12)}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
