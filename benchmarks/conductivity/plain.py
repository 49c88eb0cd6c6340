"""The yardstick: the rotated scheme (Willot 2015) as its paper writes it, strain fields and conjugate gradients.

Nothing is clever here on purpose: three components, float64, one forward and one backward transform of each an
iteration, one thread.
"""

from __future__ import annotations

import numpy as np
from scipy import fft


def frequencies(shape: tuple[int, ...]) -> np.ndarray:
    """The rotated scheme's k_i = (exp(i xi_i) - 1) prod_(j != i) (exp(i xi_j) + 1), shape (3, nz, ny, nx / 2 + 1)."""
    axes = [2 * np.pi * np.fft.fftfreq(n) for n in shape[:-1]] + [2 * np.pi * np.fft.rfftfreq(shape[-1])]
    turns = np.meshgrid(*(np.exp(1j * xi) for xi in axes), indexing="ij", sparse=True)
    rows = []
    for i in range(3):
        row = turns[i] - 1
        for j in range(3):
            if j != i:
                row = row * (turns[j] + 1)
        rows.append(row)
    return np.array(rows)


def solve(local: np.ndarray, axis: int, tolerance: float, max_iterations: int = 2000) -> tuple[float, int]:
    """Effective conductivity along ``axis`` and the iterations; stops when the value moves by less than ``tolerance``.

    ``local`` is the conductivity of every voxel (z, y, x); the volume repeats.
    """
    k = frequencies(local.shape)
    square = np.sum(np.abs(k) ** 2, axis=0)
    square[square < 1e-20] = np.inf

    def project(field: np.ndarray) -> np.ndarray:
        transformed = fft.rfftn(field, axes=(1, 2, 3), workers=1)
        along = np.sum(np.conj(k) * transformed, axis=0) / square
        return fft.irfftn(k * along, s=local.shape, axes=(1, 2, 3), workers=1)

    mean = np.zeros((3, 1, 1, 1))
    mean[axis] = 1.0
    strain = np.zeros((3, *local.shape))
    residual = -project(local * (strain + mean))
    direction = residual.copy()
    norm = float(np.sum(residual * residual))
    value = float(np.mean(local))
    for iteration in range(1, max_iterations + 1):
        image = project(local * direction)
        alpha = norm / float(np.sum(direction * image))
        strain += alpha * direction
        residual -= alpha * image
        before, value = value, float(np.mean(local * (strain[axis] + 1.0)))
        if abs(value - before) <= tolerance * value:
            return value, iteration
        norm, former = float(np.sum(residual * residual)), norm
        direction = residual + (norm / former) * direction
    raise RuntimeError(f"not converged after {max_iterations} iterations")
