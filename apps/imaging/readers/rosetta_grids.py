"""How the images and the map of a Bruker file lie to each other, by the rectangle that its overview marks as mapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from apps.imaging.readers.base import Grid, ReadImage

_MAP = "map"


def bruker_grids(images: Sequence[ReadImage], overviews: Sequence[Any]) -> list[ReadImage]:
    """Return the images with their grids.

    Images recorded with the map come first, then the overviews, then the map; all but the overviews have its rows and
    columns.  The unit of the field is a pixel of the first overview in which the map is marked, or of the map itself.

    Parameters
    ----------
    images : sequence of ReadImage
        As the library gives them.
    overviews : sequence of mapping
        ``size`` (columns, rows), ``planes`` and ``map`` (left, top, right, bottom, whole pixels, or None) of each.
    """
    planes = [one for one in overviews for _ in range(one.get("planes") or 0)]
    pictures = [at for at, image in enumerate(images) if image.kind != "spectrum"]
    first = len(pictures) - len(planes)
    of_overview = dict(zip(pictures[first:], planes, strict=True)) if first >= 0 else None
    if of_overview is None or any(list(images[at].shape[:-3:-1]) != one["size"] for at, one in of_overview.items()):
        return list(images)
    mapped = {image.shape[-2:] for at, image in enumerate(images) if at not in of_overview}
    if len(mapped) != 1:
        return list(images)
    marked = next((one for one in planes if one.get("map")), None)
    inside = _inside(mapped.pop(), marked["map"]) if marked else Grid(_MAP)
    grids = {at: Grid(_MAP) if one is marked else None for at, one in of_overview.items()}
    return [replace(image, grid=grids.get(at, inside)) for at, image in enumerate(images)]


def _inside(shape: Sequence[int], rectangle: Sequence[int]) -> Grid | None:
    """The grid of a map in pixels of the overview; both ends of the rectangle belong to it."""
    left, top, right, bottom = rectangle
    if right < left or bottom < top:
        return None
    steps = ((right - left + 1) / shape[1], (bottom - top + 1) / shape[0])
    return Grid(_MAP, (left + (steps[0] - 1) / 2, top + (steps[1] - 1) / 2), steps)
