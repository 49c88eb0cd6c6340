"""Small volumes with known truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def ball(size: int, radius: float, centre: tuple[float, float, float] | None = None) -> Mask:
    """Voxels of a cube whose centres lie in a ball; the centre is in voxels, the middle by default."""
    middle = centre or ((size - 1) / 2,) * 3
    grid = np.indices((size,) * 3, dtype=float)
    return sum((g - c) ** 2 for g, c in zip(grid, middle, strict=True)) <= radius**2


def cylinder(size: int, diameter: float, axis: npt.ArrayLike, offset: npt.ArrayLike = (0, 0, 0)) -> Mask:
    """Voxels of a cube in an infinite cylinder through its middle plus ``offset``."""
    direction = np.asarray(axis, float) / np.linalg.norm(np.asarray(axis, float))
    grid = np.indices((size,) * 3) - (size / 2 + np.asarray(offset, float))[:, None, None, None]
    along = np.tensordot(direction, grid, 1)
    return (grid**2).sum(axis=0) - along**2 <= diameter**2 / 4


def disc_cell(size: int, fraction: float) -> npt.NDArray[np.uint8]:
    """Unit cell of a square array of cylinders: pixels whose centres lie in the disc of that nominal area fraction."""
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return (x * x + y * y < fraction / np.pi * size * size).astype(np.uint8)


def checkerboard(size: int) -> npt.NDArray[np.uint8]:
    """Two by two squares in a plane."""
    half = size // 2
    cell = np.zeros((size, size), np.uint8)
    cell[:half, :half] = cell[half:, half:] = 1
    return cell


def random_labels(seed: int, shape: tuple[int, ...], fraction: float = 0.4) -> npt.NDArray[np.uint8]:
    """Independent voxels."""
    return (np.random.default_rng(seed).random(shape) < fraction).astype(np.uint8)
