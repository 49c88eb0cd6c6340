"""Mapped points and paths as JSON; points and covariances of a request, checked in one go."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from analyses.sdk.propagation import expanded_error
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.spatial.geometry import LIMIT_UM
from apps.spatial.loops import Alternative
from apps.spatial.paths import MAX_POINTS, Doubt, Mapped

Floats = npt.NDArray[np.float64]
_ASYMMETRY: Final = 1e-9


def clean_points(value: object, field: str = "points") -> Floats:
    """Return points as (n, 3), um; InvalidValueError names the first that is none."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_POINTS:
        raise InvalidValueError(f"give a list of 1 to {MAX_POINTS} points [x, y, z], um", field=field)
    for index, point in enumerate(value):
        if not isinstance(point, list) or len(point) != 3 or any(type(number) not in (int, float) for number in point):
            raise InvalidValueError(f"{shown(point)} is no point [x, y, z]", field=f"{field}.{index}")
    return _limited(value, field)


def _limited(value: list[Any], field: str) -> Floats:
    try:
        points = np.array(value, np.float64)
    except OverflowError as error:
        raise InvalidValueError(f"a number is too large: {error}", field=field) from error
    beyond = ~(np.abs(points) <= LIMIT_UM)
    if beyond.any():
        index = int(np.argwhere(beyond)[0][0])
        raise InvalidValueError(
            f"{shown(value[index])} has a coordinate that is not finite or beyond {LIMIT_UM:g} um",
            field=f"{field}.{index}",
        )
    return points


def clean_spreads(value: object, count: int, field: str = "covariances") -> Floats:
    """Return covariances of points as (n, 3, 3), um^2: symmetric, positive semi-definite, one a point."""
    if not isinstance(value, list) or len(value) != count:
        raise InvalidValueError(f"give one 3 x 3 covariance for each of the {count} points, um^2", field=field)
    for index, spread in enumerate(value):
        rows = spread if isinstance(spread, list) else []
        if len(rows) != 3 or any(
            not isinstance(row, list) or len(row) != 3 or any(type(number) not in (int, float) for number in row)
            for row in rows
        ):
            raise InvalidValueError(f"{shown(spread)} is no 3 x 3 matrix", field=f"{field}.{index}")
    spreads = _limited(value, field)
    size = np.abs(spreads).max(axis=(1, 2))
    skew = np.abs(spreads - spreads.swapaxes(1, 2)).max(axis=(1, 2)) > _ASYMMETRY * size
    wrong = skew | (np.linalg.eigvalsh(spreads)[:, 0] < -_ASYMMETRY * size)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InvalidValueError(
            f"{shown(value[index])} is not symmetric and positive semi-definite", field=f"{field}.{index}"
        )
    return spreads


def clean_uuid(value: str | None, field: str) -> uuid.UUID:
    """Return the id in a query parameter."""
    try:
        return uuid.UUID(value or "")
    except ValueError as error:
        raise InvalidValueError(f"{shown(value)} is no id", field=field) from error


def clean_point_text(value: str, field: str) -> list[float]:
    """Return the point in a query parameter ``x,y,z``, um."""
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(abs(number) <= LIMIT_UM for number in numbers):
        raise InvalidValueError(f"{shown(value)} is no point x,y,z in um", field=field)
    return numbers


def told_warnings(doubts: Iterable[Doubt]) -> list[str]:
    """Return each doubt once, in words."""
    return list(dict.fromkeys(doubt.message for doubt in doubts))


def told_points(mapped: Mapped) -> dict[str, Any]:
    """Return mapped points with covariances, paths and warnings, JSON only."""
    known = ~np.isnan(mapped.covariances[:, 0, 0])
    spreads = np.where(known[:, None, None], mapped.covariances, 0.0)
    return {
        "points": mapped.points.tolist(),
        "covariances": _or_none(mapped.covariances.tolist(), known),
        "u95_um": _or_none(expanded_error(spreads, mapped.degrees_of_freedom).tolist(), known),
        "degrees_of_freedom": _or_none(mapped.degrees_of_freedom.tolist(), np.isfinite(mapped.degrees_of_freedom)),
        "paths": [path.steps for path in mapped.paths],
        "path_of": mapped.path_of.tolist(),
        "length_unit": "um",
        "warnings": told_warnings(mapped.doubts),
    }


def _or_none(values: list[Any], known: npt.NDArray[np.bool_]) -> list[Any]:
    return [value if there else None for value, there in zip(values, known.tolist(), strict=True)]


def told_alternative(other: Alternative) -> dict[str, Any]:
    """Return a path with its point, error and closure, JSON only."""
    known = other.path.error_known
    return {
        "steps": other.path.steps,
        "matrix": other.path.matrix.tolist(),
        "point": other.point.tolist(),
        "covariance": other.covariance.tolist() if known else None,
        "u95_um": float(expanded_error([other.covariance], other.degrees_of_freedom)[0]) if known else None,
        "closure_um": other.closure_um.tolist(),
        "closure_p_value": other.p_value,
        "contradicts": other.contradicts,
        "warnings": told_warnings(other.path.doubts),
    }
