"""What a map may do: small moves of rigid and affine maps, in the plane and in space."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import linalg

from analyses.sdk.spatial import Matrix

Motion = Literal["rigid", "affine"]
Vector = npt.NDArray[np.float64]


def directions(motion: Motion, dimensions: int) -> Vector:
    """The moves of a map, (k, 3, 4), acting on ``(x - centre, 1)``: shifts first, then turns or all linear entries."""
    found = []
    for axis in range(dimensions):
        shift = np.zeros((3, 4))
        shift[axis, 3] = 1.0
        found.append(shift)
    if motion == "affine":
        for i, j in itertools.product(range(dimensions), repeat=2):
            entry = np.zeros((3, 4))
            entry[i, j] = 1.0
            found.append(entry)
    else:
        for i, j in ((0, 1),) if dimensions == 2 else ((1, 2), (2, 0), (0, 1)):
            turn = np.zeros((3, 4))
            turn[i, j], turn[j, i] = -1.0, 1.0
            found.append(turn)
    return np.array(found)


def moved(motion: Motion, ways: Vector, amounts: Vector, centre: Vector) -> Matrix:
    """The map of finite moves about a centre, 4 x 4: a true rotation for a rigid one."""
    total = np.tensordot(amounts, ways, axes=1)
    linear = np.eye(3) + total[:, :3] if motion == "affine" else np.asarray(linalg.expm(total[:, :3]))
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre - linear @ centre + total[:, 3]
    return matrix


def turn(axis: int, degrees: float) -> Vector:
    """Rotation (3, 3) round x, y or z (0, 1, 2)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    found = np.eye(3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    found[i, i], found[i, j], found[j, i], found[j, j] = c, -s, s, c
    return found
