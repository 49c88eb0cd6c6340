"""Regions of interest as the client's annotations.

An annotation's id begins with the id of its region, so that what is drawn is compared with what is stored id by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apps.web.viewer.state import View

Point = Sequence[float]


def annotation(region: Mapping[str, Any], view: View) -> dict[str, Any]:
    """Return what is drawn of a region.

    Parameters
    ----------
    region : mapping
        ``id``, ``name`` and ``geometry`` as REST gives them; coordinates in um in the viewed frame.
    view : View
        Where the client's coordinates begin.
    """
    drawn = _drawn(region["geometry"], view)
    return {"id": str(region["id"]), "description": region["name"], **drawn}


def _drawn(geometry: Mapping[str, Any], view: View) -> dict[str, Any]:
    kind, given = geometry["type"], geometry["coordinates"]
    if kind == "point":
        return {"type": "point", "point": view.local(given)}
    if kind == "box":
        return _box(given, view)
    if kind == "mesh":
        return _box(_around(given["vertices"]), view)
    points = [view.local(point) for point in given]
    return {"type": "polyline", "points": [*points, points[0]] if kind == "polygon" else points}


def _box(corners: Sequence[Point], view: View) -> dict[str, Any]:
    first, second = (view.local(corner) for corner in corners)
    return {"type": "axis_aligned_bounding_box", "pointA": first, "pointB": second}


def _around(points: Iterable[Point]) -> list[Point]:
    columns = list(zip(*points, strict=True))
    return [[min(column) for column in columns], [max(column) for column in columns]]
