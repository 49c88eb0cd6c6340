"""Whether a box that is turned and sheared meets one that lies along the axes, and how much of it lies inside.

Boxes are given by opposite corners, um; a matrix takes points of the first box's frame to that of the second.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import numpy.typing as npt

from analyses.sdk.spatial import Matrix, apply

Floats = npt.NDArray[np.float64]

_SAMPLES: Final = 16  # an axis of the lattice on which what lies inside is counted
_ROUNDING: Final = 1e-9
_FLAT: Final = 0.05  # of the longest side: what is thinner may be missed by its error, and is looked at again


def candidates(low: Floats, high: Floats, matrices: Floats, lows: Floats, highs: Floats) -> npt.NDArray[np.bool_]:
    """True where the box around the mapped box meets the other, along axes in which that one is not flat.

    Parameters
    ----------
    low, high : ndarray, (3,)
        One box.
    matrices : ndarray, (n, 4, 4)
        To the frame of each of the others.
    lows, highs : ndarray, (n, 3)
    """
    middle, half = (low + high) / 2.0, (high - low) / 2.0
    centres = matrices[:, :3, :3] @ middle + matrices[:, :3, 3]
    reach = np.abs(matrices[:, :3, :3]) @ half
    slack = _ROUNDING * (reach + highs - lows)
    meets = (centres + reach + slack >= lows) & (centres - reach - slack <= highs)
    sides = highs - lows
    return np.asarray((meets | (sides <= _FLAT * sides.max(axis=1, keepdims=True))).all(axis=1))


def meet(low: Floats, high: Floats, matrix: Matrix, other_low: Floats, other_high: Floats, slack_um: float) -> bool:
    """True if the mapped box meets the other, missed by at most ``slack_um`` along axes no thicker than twice that.

    Two convex bodies are apart if and only if they are along a normal of a face of either, or along the cross product
    of an edge of each (Gottschalk, Lin & Manocha 1996, for boxes; it holds for all parallelepipeds).
    """
    edges = matrix[:3, :3] * ((high - low) / 2.0)
    apart = apply(matrix, (low + high) / 2.0) - (other_low + other_high) / 2.0
    half = (other_high - other_low) / 2.0
    half = half + np.where(half <= slack_um, slack_um, 0.0)
    faces = [np.cross(edges[:, i], edges[:, j]) for i, j in ((0, 1), (1, 2), (2, 0))]
    crosses = [np.cross(axis, edges[:, i]) for axis, i in itertools.product(np.eye(3), range(3))]
    for direction in (*np.eye(3), *faces, *crosses):
        reach = np.abs(direction @ edges).sum() + np.abs(direction) @ half
        if abs(direction @ apart) > reach * (1.0 + _ROUNDING):
            return False
    return True


def fraction_inside(
    low: Floats, high: Floats, matrix: Matrix, other_low: Floats, other_high: Floats, slack_um: float = 0.0
) -> float:
    """Which part of the first box lies in the other, 0 to 1; the caller has found that they meet.

    A box that is flat counts by its area, length or as one point; an axis along which the other is no thicker than
    twice ``slack_um`` counts as if it went on, so that a plane covers what it cuts.  Exact where the axes stay along
    each other; else counted on a lattice, which a much smaller box slips through: then the boxes' extents along the
    axes answer.
    """
    thick = other_high - other_low > 2.0 * slack_um
    linear = matrix[:3, :3]
    along = np.abs(linear) > _ROUNDING * np.abs(linear).max()
    if not (along.sum(axis=0) == 1).all():
        counted = _counted(low, high, matrix, other_low, other_high, thick)
        if counted > 0.0:
            return counted
    middle, reach = apply(matrix, (low + high) / 2.0), np.abs(linear) @ ((high - low) / 2.0)
    begin, end = np.maximum(middle - reach, other_low), np.minimum(middle + reach, other_high)
    parts = np.divide(end - begin, 2.0 * reach, out=np.ones(3), where=(reach > 0.0) & thick)
    return float(np.clip(parts, 0.0, 1.0).prod())


def holds(low: Floats, high: Floats, matrix: Matrix, other_low: Floats, other_high: Floats, slack_um: float) -> bool:
    """True if all of the first box lies in the other: its eight corners do, both being convex.

    As in ``fraction_inside``, an axis along which the other is no thicker than twice ``slack_um`` counts as if it went
    on.
    """
    corners = apply(matrix, np.array(list(itertools.product(*zip(low, high, strict=True)))))
    rounding = _ROUNDING * (np.ptp(corners, axis=0) + other_high - other_low)
    inside = (corners >= other_low - rounding) & (corners <= other_high + rounding)
    return bool((inside | (other_high - other_low <= 2.0 * slack_um)).all())


def _counted(
    low: Floats, high: Floats, matrix: Matrix, other_low: Floats, other_high: Floats, thick: npt.NDArray[np.bool_]
) -> float:
    cells = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    axes = [low[i] + cells * (high[i] - low[i]) if high[i] > low[i] else low[i : i + 1] for i in range(3)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    mapped = apply(matrix, lattice)
    inside = ((mapped >= other_low) & (mapped <= other_high)) | ~thick
    return float(inside.all(axis=1).mean())


def distance_um(point: Floats, matrix: Matrix, low: Floats, high: Floats) -> float:
    """How far a point is from a box in another frame, in lengths of the point's own frame; 0 inside."""
    there = apply(matrix, point)
    apart = np.clip(there, low, high) - there
    return float(np.linalg.norm(np.linalg.solve(matrix[:3, :3], apart)))
