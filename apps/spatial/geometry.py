"""Matrices, covariances and places as they come from outside, checked.  Lengths are micrometres, points (x, y, z)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analyses.sdk.spatial import AffineError, check_affine
from apps.core.clean import clean_number
from apps.core.errors import InvalidValueError
from apps.core.quote import shown

Array = npt.NDArray[np.float64]
Point = list[float]

LIMIT_UM: Final = 1e9  # a kilometre: squares and products of coordinates stay far from overflow
MAX_POINTS: Final = 50_000
ORTHONORMAL_TOLERANCE: Final = 1e-6
_TRANSLATION_TOLERANCE: Final = 1e-9
_MAX_CONDITION: Final = 1e9
_COVARIANCE_TOLERANCE: Final = 1e-9
_COVARIANCE_LIMIT: Final = 1e18
_NO_VARIANCE: Final = (
    1e-200  # below, products underflow; beside the largest variance they leave covariances below the next
)
_NO_COVARIANCE: Final = 1e-80
IDENTITY: Final = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def _square(value: object, size: int, *, field: str, limit: float) -> Array:
    """Return ``size`` rows of ``size`` finite numbers, given nested or in one row-major list."""
    wanted = f"{size} rows of {size} numbers, or {size * size} numbers row by row"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidValueError(f"must be {wanted}", field=field)
    flat = list(value)
    if len(flat) == size and all(isinstance(row, Sequence) and not isinstance(row, str) for row in flat):
        if any(len(row) != size for row in flat):
            raise InvalidValueError(
                f"its rows have {shown([len(row) for row in flat])} numbers; it must be {wanted}", field=field
            )
        flat = [number for row in flat for number in row]
    if len(flat) != size * size:
        raise InvalidValueError(f"has {len(flat)} entries; it must be {wanted}", field=field)
    numbers = [
        clean_number(number, field=f"{field}.{index // size}.{index % size}", limit=limit)
        for index, number in enumerate(flat)
    ]
    return np.array(numbers, dtype=np.float64).reshape(size, size)


def clean_matrix(value: object, *, kind: str, field: str = "matrix") -> list[float]:
    """Return the 16 numbers of a transform's matrix, row-major, ``target = matrix @ source``.

    Parameters
    ----------
    value : object
        4 x 4 nested lists, or 16 numbers row by row.
    kind : str
        What it may do: ``translation``, ``rigid``, ``similarity``, ``affine`` or ``reflection``.
    field : str
        Name of the request field, for the refusal.

    Raises
    ------
    InvalidValueError
        Not 4 x 4 finite numbers, a last row other than 0 0 0 1, singular, mirroring where the kind is not
        ``reflection`` (or the other way round), or doing more than the kind says.
    """
    matrix = _square(value, 4, field=field, limit=LIMIT_UM)
    if matrix[3].tolist() != [0.0, 0.0, 0.0, 1.0]:
        raise InvalidValueError(f"its last row is {matrix[3].tolist()}; it must be 0 0 0 1", field=field)
    linear = matrix[:3, :3]
    scales: Array = np.asarray(np.linalg.svd(linear, compute_uv=False), dtype=np.float64)
    if scales[0] == 0.0 or scales[2] <= scales[0] / _MAX_CONDITION:
        raise InvalidValueError("it is singular: it squeezes space to a plane, a line or a point", field=field)
    _check_handedness(bool(np.linalg.det(linear / scales[0]) < 0.0), kind, field)
    _KIND_CHECKS.get(kind, _anything)(linear, scales, field)
    try:
        check_affine(matrix, allow_mirror=True)  # what is stored must be a map wherever it is used
    except AffineError as error:
        raise InvalidValueError(f"it is no usable map: {error}", field=field) from error
    return [float(number) for number in matrix.ravel()]


def _check_handedness(mirrors: bool, kind: str, field: str) -> None:
    if mirrors and kind != "reflection":
        raise InvalidValueError(f"it mirrors, and a {kind} does not; a flip is said so: kind reflection", field=field)
    if kind == "reflection" and not mirrors:
        raise InvalidValueError(
            "it does not mirror; kind reflection is for matrices of negative determinant", field=field
        )


def _check_translation(linear: Array, scales: Array, field: str) -> None:
    if float(np.abs(linear - np.eye(3)).max()) > _TRANSLATION_TOLERANCE:
        raise InvalidValueError(
            "a translation neither turns nor scales: its upper 3 x 3 is the unit matrix", field=field
        )


def _check_rigid(linear: Array, scales: Array, field: str) -> None:
    off = float(np.abs(linear.T @ linear - np.eye(3)).max())
    if off > ORTHONORMAL_TOLERANCE:
        raise InvalidValueError(
            f"its columns are not orthonormal (off by {off:.3g}, at most {ORTHONORMAL_TOLERANCE:g}); "
            "what scales is a similarity, what shears an affine transform",
            field=field,
        )


def _check_similarity(linear: Array, scales: Array, field: str) -> None:
    squared = float(np.mean(scales**2))
    off = float(np.abs(linear.T @ linear / squared - np.eye(3)).max())
    if off > ORTHONORMAL_TOLERANCE:
        raise InvalidValueError(
            f"it scales unequally or shears (off by {off:.3g}, at most {ORTHONORMAL_TOLERANCE:g}); "
            "that is an affine transform",
            field=field,
        )


def _anything(linear: Array, scales: Array, field: str) -> None:
    """An affine transform and a reflection may do all that is left."""


_KIND_CHECKS: Final[dict[str, Callable[[Array, Array, str], None]]] = {
    "translation": _check_translation,
    "rigid": _check_rigid,
    "similarity": _check_similarity,
}


def clean_covariance(value: object, *, field: str = "covariance") -> list[list[float]]:
    """Return the 12 x 12 covariance of the row-major entries of a matrix's upper 3 x 4 block.

    Entries mix units (1, um, um^2), so symmetry and definiteness are judged on the correlation matrix.

    Raises
    ------
    InvalidValueError
        Not 12 x 12 finite numbers, not symmetric, or not positive semi-definite.
    """
    covariance = _square(value, 12, field=field, limit=_COVARIANCE_LIMIT)
    variances = np.diag(covariance)
    if float(variances.min()) < 0.0:
        raise InvalidValueError(f"the variance of entry {int(variances.argmin())} is negative", field=field)
    deviations = np.sqrt(np.where(variances < _NO_VARIANCE, 0.0, variances))
    outer = np.outer(deviations, deviations)
    if bool(np.any(np.abs(covariance[outer == 0.0]) > _NO_COVARIANCE)):
        raise InvalidValueError("an entry of variance 0 has a covariance other than 0", field=field)
    correlation = np.divide(covariance, outer, out=np.zeros_like(covariance), where=outer > 0.0)
    if float(np.abs(correlation - correlation.T).max()) > _COVARIANCE_TOLERANCE:
        raise InvalidValueError("it is not symmetric", field=field)
    smallest = float(np.linalg.eigvalsh((correlation + correlation.T) / 2.0)[0])
    if smallest < -12 * _COVARIANCE_TOLERANCE:
        raise InvalidValueError(f"it is not positive semi-definite: an eigenvalue is {smallest:.3g}", field=field)
    return [[float(number) for number in row] for row in (covariance + covariance.T) / 2.0]


def clean_point(value: object, *, field: str) -> Point:
    """Return (x, y, z) in um; InvalidValueError unless three finite numbers of at most 1e9."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise InvalidValueError(f"{shown(value)} is not a point [x, y, z] in um", field=field)
    return [
        clean_number(number, field=f"{field}.{axis}", limit=LIMIT_UM) for axis, number in zip("xyz", value, strict=True)
    ]


def _points(value: object, *, field: str, at_least: int, what: str) -> list[Point]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not at_least <= len(value) <= MAX_POINTS:
        raise InvalidValueError(f"{what} has {at_least} to {MAX_POINTS} points [x, y, z]", field=field)
    return [clean_point(point, field=f"{field}.{index}") for index, point in enumerate(value)]


def residual_um(matrix: Sequence[float], pairs: Sequence[tuple[Point, Point]]) -> float | None:
    """Return the root mean square distance, um, between mapped source points and their targets; None without pairs.

    Parameters
    ----------
    matrix : sequence of float, length 16
        Row-major, ``target = matrix @ source``.
    pairs : sequence of (source, target)
        The same physical point in both frames, (x, y, z), um.
    """
    if not pairs:
        return None
    block = np.array(matrix, dtype=np.float64).reshape(4, 4)
    source, target = (np.array(points, dtype=np.float64) for points in zip(*pairs, strict=True))
    mapped = source @ block[:3, :3].T + block[:3, 3]
    return float(np.sqrt(np.mean(np.sum((mapped - target) ** 2, axis=1))))


# -------------------------------------------------------------------------------------------------------------- places


def clean_geometry(value: object, *, field: str = "geometry") -> dict[str, Any]:
    """Return a place: ``{type, coordinates}`` in um.

    Parameters
    ----------
    value : object
        ``point``: [x, y, z]; ``polyline``: two or more points; ``polygon``: three or more points, not on one line,
        closed by itself; ``box``: two opposite corners; ``mesh``: ``{vertices, faces}``, faces are triples of indices
        and close a surface.
    field : str
        Name of the request field, for the refusal.

    Raises
    ------
    InvalidValueError
        Unknown type, a coordinate that is no finite number, or points that do not make the thing; a mask, because that
        is drawn on the samples of an image and can be taken only together with the image's store.
    """
    if not isinstance(value, Mapping):
        raise InvalidValueError("must be an object {type, coordinates}", field=field)
    kind = value.get("type")
    if kind == "mask":
        raise InvalidValueError(
            "a mask is not taken here: it is the labels of an image; ingest or compute a labels image in this frame, "
            "and give its outline as a polygon, box or mesh",
            field=f"{field}.type",
        )
    if not isinstance(kind, str) or kind not in _PLACES:
        raise InvalidValueError(f"{shown(kind)} is no type; types: {', '.join(_PLACES)}", field=f"{field}.type")
    unknown = sorted(str(key) for key in value if key not in ("type", "coordinates"))
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: type, coordinates", field=field)
    if "coordinates" not in value:
        raise InvalidValueError("coordinates are missing", field=f"{field}.coordinates")
    return {"type": kind, "coordinates": _PLACES[kind](value["coordinates"], f"{field}.coordinates")}


def _polyline(value: object, field: str) -> list[Point]:
    points = _points(value, field=field, at_least=2, what="a polyline")
    if all(point == points[0] for point in points):
        raise InvalidValueError("its points are all the same; that is a point", field=field)
    return points


def _polygon(value: object, field: str) -> list[Point]:
    points = _points(value, field=field, at_least=3, what="a polygon")
    centred = np.array(points) - np.mean(points, axis=0)
    spread = np.linalg.svd(centred, compute_uv=False)
    if spread[1] <= 1e-9 * spread[0]:
        raise InvalidValueError("its points lie on one line; that is a polyline", field=field)
    return points


def _box(value: object, field: str) -> list[Point]:
    corners = _points(value, field=field, at_least=2, what="a box")
    if len(corners) != 2:
        raise InvalidValueError("a box has two opposite corners [[x, y, z], [x, y, z]]", field=field)
    if corners[0] == corners[1]:
        raise InvalidValueError("its two corners are the same; that is a point", field=field)
    return corners


def _mesh(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"vertices", "faces"}:
        raise InvalidValueError("a mesh is an object {vertices, faces}", field=field)
    vertices = _points(value["vertices"], field=f"{field}.vertices", at_least=4, what="a mesh")
    faces = value["faces"]
    if not isinstance(faces, Sequence) or isinstance(faces, str) or not 4 <= len(faces) <= 2 * MAX_POINTS:
        raise InvalidValueError(f"a mesh has 4 to {2 * MAX_POINTS} faces", field=f"{field}.faces")
    triples = [_face(face, len(vertices), f"{field}.faces.{index}") for index, face in enumerate(faces)]
    edges = Counter(frozenset(pair) for face in triples for pair in itertools.pairwise([*face, face[0]]))
    if any(count != 2 for count in edges.values()):
        raise InvalidValueError(
            "its faces do not close a surface: an edge belongs to other than two faces", field=f"{field}.faces"
        )
    return {"vertices": vertices, "faces": triples}


def _face(face: object, vertices: int, field: str) -> list[int]:
    indices = list(face) if isinstance(face, Sequence) and not isinstance(face, str) else []
    whole = all(isinstance(index, int) and not isinstance(index, bool) and 0 <= index < vertices for index in indices)
    if len(indices) != 3 or not whole or len(set(indices)) != 3:
        raise InvalidValueError(
            f"{shown(face)} is not three different indices of vertices, 0 to {vertices - 1}", field=field
        )
    return indices


def _one_point(value: object, field: str) -> Point:
    return clean_point(value, field=field)


_PLACES: Final[dict[str, Callable[[object, str], Any]]] = {
    "point": _one_point,
    "polyline": _polyline,
    "polygon": _polygon,
    "box": _box,
    "mesh": _mesh,
}


def bounding_box(geometry: Mapping[str, Any]) -> dict[str, float]:
    """Return ``x_min`` .. ``z_max`` (um) of a checked geometry."""
    coordinates = geometry["coordinates"]
    points: list[Point] = coordinates
    if geometry["type"] == "point":
        points = [coordinates]
    elif geometry["type"] == "mesh":
        points = coordinates["vertices"]
    return {
        f"{axis}_{end}": pick(point[number] for point in points)
        for number, axis in enumerate("xyz")
        for end, pick in (("min", min), ("max", max))
    }
