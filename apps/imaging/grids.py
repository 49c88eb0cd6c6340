"""How two images of one file lie to each other, from the grids that the file states."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_SAME: Final = 1e-9  # relative, of a distance of samples: what rounding leaves of two that are equal


def relation(one: Mapping[str, Any], other: Mapping[str, Any]) -> npt.NDArray[np.float64] | None:
    """Return the map between the frames of two images of one field, 4 x 4, um; None if there is none.

    Parameters
    ----------
    one, other : mapping
        Descriptions of images: ``file``, ``grid`` (``field``, ``origin``, ``step``), ``spacing``, ``axes``, ``shape``.
        Sample i of the first lies at ``origin + i * step`` of the field, and so at sample
        ``(origin + i * step - origin') / step'`` of the other; distances of samples lead to um on both sides.
    """
    first, second = one.get("grid"), other.get("grid")
    if not first or not second or (one["file"], first["field"]) != (other["file"], second["field"]):
        return None
    if not _planes_agree(one, other):
        return None
    matrix = np.eye(4)
    for row, axis in enumerate("xy"):
        here, there = _step_um(one, axis), _step_um(other, axis)
        if here is None or there is None:
            return None
        scale = there * first["step"][row] / (second["step"][row] * here)
        matrix[row, row] = 1.0 if math.isclose(scale, 1.0, rel_tol=_SAME) else scale
        shift = there * (first["origin"][row] - second["origin"][row]) / second["step"][row]
        matrix[row, 3] = 0.0 if abs(shift) <= _SAME * there else shift
    return matrix


def same_grid(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True if samples of equal index lie on each other: one frame serves both images."""
    found = relation(one, other)
    exact = not one["grid"]["u_um"] and not other["grid"]["u_um"] if found is not None else False
    if not exact or not np.array_equal(found, np.eye(4)) or one["handedness"] != other["handedness"]:
        return False
    return _sizes(one, "yx") == _sizes(other, "yx")


def _planes_agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """True of two single planes, and of stacks with the same planes."""
    if _sizes(one, "z") != _sizes(other, "z"):
        return False
    return _sizes(one, "z") == [1] or _step_um(one, "z") == _step_um(other, "z")


def _sizes(image: Mapping[str, Any], axes: str) -> list[int]:
    sizes = dict(zip(image["axes"], image["shape"], strict=True))
    return [sizes.get(axis, 1) for axis in axes]


def _step_um(image: Mapping[str, Any], axis: str) -> float | None:
    entry = (image.get("spacing") or {}).get(axis)
    return None if entry is None else float(entry["value"])


def error_um(images: Sequence[Mapping[str, Any]]) -> float:
    """Standard error along each axis of how images of one field lie to each other, um."""
    return math.hypot(*(float(image["grid"]["u_um"]) for image in images))
