"""The points that make a place, what the place is once they are mapped, and its middle.  Nothing here reads rows.

Lengths are micrometres, points (x, y, z).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.core.errors import ConflictError

Floats = npt.NDArray[np.float64]

# Corner i of a box has its high end along x where i & 1, along y where i & 2, along z where i & 4.
_CORNERS: Final = np.array([[i & 1, (i & 2) >> 1, (i & 4) >> 2] for i in range(8)], bool)
# Two triangles a side, normals outward.
BOX_FACES: Final = (
    (0, 2, 3), (0, 3, 1), (4, 5, 7), (4, 7, 6), (0, 1, 5), (0, 5, 4),
    (2, 6, 7), (2, 7, 3), (0, 4, 6), (0, 6, 2), (1, 3, 7), (1, 7, 5),
)  # fmt: skip
_STRAIGHT: Final = 1e-9  # of the size of a box: less is rounding


class MaskError(ConflictError):
    """The place is a mask: it is made of samples, and has no vertices to map."""

    code = "mask_has_no_vertices"


def box_corners(low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """The 8 corners, (8, 3), of the box between two opposite ones."""
    return np.where(_CORNERS, np.asarray(high, np.float64), np.asarray(low, np.float64))


def vertices_of(geometry: Mapping[str, Any]) -> Floats:
    """The points to map, (n, 3): a box gives its 8 corners; MaskError for a mask."""
    kind = geometry["type"]
    if kind == "mask":
        raise MaskError("a mask is made of the samples of its image; map a polygon, box or mesh around it")
    coordinates = geometry["coordinates"]
    if kind == "point":
        return np.array([coordinates], np.float64)
    if kind == "mesh":
        return np.array(coordinates["vertices"], np.float64)
    points = np.array(coordinates, np.float64)
    return box_corners(points.min(axis=0), points.max(axis=0)) if kind == "box" else points


def rebuilt(geometry: Mapping[str, Any], mapped: Floats) -> dict[str, Any]:
    """The place with its mapped points; a box that no longer lies along the axes becomes a mesh."""
    kind = geometry["type"]
    if kind == "point":
        return {"type": kind, "coordinates": mapped[0].tolist()}
    if kind == "mesh":
        return {"type": kind, "coordinates": {"vertices": mapped.tolist(), "faces": geometry["coordinates"]["faces"]}}
    if kind == "box":
        return _mapped_box(mapped)
    return {"type": kind, "coordinates": mapped.tolist()}


def _mapped_box(corners: Floats) -> dict[str, Any]:
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = float(np.linalg.norm(high - low))
    off = np.minimum(np.abs(corners - low), np.abs(corners - high)).max()
    if off <= _STRAIGHT * size:
        return {"type": "box", "coordinates": [low.tolist(), high.tolist()]}
    faces = [list(face) for face in BOX_FACES]
    return {"type": "mesh", "coordinates": {"vertices": corners.tolist(), "faces": faces}}


def middle(geometry: Mapping[str, Any]) -> Floats:
    """The point to drive to: the point itself, half way along a line, the centroid of an area or of a volume."""
    points = vertices_of(geometry)
    kind = geometry["type"]
    if kind == "polyline":
        return _half_way(points)
    if kind == "polygon":
        return _area_centroid(points)
    if kind == "mesh":
        return _volume_centroid(points, np.array(geometry["coordinates"]["faces"], np.int64))
    found: Floats = (points.min(axis=0) + points.max(axis=0)) / 2.0
    return found


def _half_way(points: Floats) -> Floats:
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    half = along[-1] / 2.0
    return np.array([np.interp(half, along, points[:, axis]) for axis in range(3)])


def _area_centroid(points: Floats) -> Floats:
    """Centroid of a polygon in space, by triangles from its first corner weighted along its mean normal."""
    apart = points[1:] - points[0]
    crosses = np.cross(apart[:-1], apart[1:])
    normal = crosses.sum(axis=0)
    weights = crosses @ normal
    if not abs(weights.sum()) > 0.0:  # a figure of eight: its areas cancel
        return np.asarray(points.mean(axis=0), np.float64)
    thirds = (points[0] + points[1:-1] + points[2:]) / 3.0
    return np.asarray(np.average(thirds, axis=0, weights=weights), np.float64)


def _volume_centroid(points: Floats, faces: npt.NDArray[np.int64]) -> Floats:
    """Centroid of what a closed surface holds, by tetrahedra from its mean corner; of its corners if it holds nothing.

    The faces need not be turned the same way round; then the corners' mean answers.
    """
    centre = points.mean(axis=0)
    a, b, c = (points[faces[:, i]] - centre for i in range(3))
    volumes = np.einsum("ij,ij->i", a, np.cross(b, c))
    total = float(volumes.sum())
    if abs(total) <= 1e-9 * float(np.abs(volumes).sum()) or not _turned_alike(faces):
        return np.asarray(centre, np.float64)
    return np.asarray(centre + ((a + b + c) / 4.0 * volumes[:, None]).sum(axis=0) / total, np.float64)


def _turned_alike(faces: npt.NDArray[np.int64]) -> bool:
    """True if each edge is walked once each way."""
    walked = {edge for face in faces.tolist() for edge in itertools.pairwise([*face, face[0]])}
    return len(walked) == 3 * len(faces)
