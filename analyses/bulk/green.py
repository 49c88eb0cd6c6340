"""The Green operator of a homogeneous medium under the rotated scheme: (G^T G)^-1 by fast transforms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from analyses.bulk.stencil import Field, Stencil

# Relative size below which an eigenvalue is a null mode (the mean, and corner modes that no voxel's gradient sees).
_NULL = 1e-12


class Green:
    """Pseudo-inverse of G^T G on the nodes of a stencil, one forward and one backward transform of a real field.

    Eigenvalues are sum_i w_i 4 sin^2(x_i/2) prod_{j != i} cos^2(x_j/2) (Willot 2015, his k.k* with unit edges), with
    x = 2 pi m / n for a periodic axis and pi m / n for a mirrored one of n voxels.  Even axes take the cosine
    transform of type I, odd ones the sine transform of type I; there the residual of a node on a mirror plane counts
    twice, because the mirrored half contributes as much again.
    """

    def __init__(self, stencil: Stencil, workers: int = 1) -> None:
        self._stencil = stencil
        self._workers = max(1, workers)
        self._periodic = stencil.modes[0] == "periodic"
        self._inverse = self._inverse_eigenvalues()

    def apply(self, r: Field) -> Field:
        """(G^T G)^-1 r, shape ``stencil.nodes``, float32; r is not changed."""
        return self._apply_periodic(r) if self._periodic else self._apply_mirrored(r)

    def _inverse_eigenvalues(self) -> npt.NDArray[np.float32]:
        sines, cosines = [], []
        for axis, (count, mode) in enumerate(zip(self._stencil.voxels, self._stencil.modes, strict=True)):
            half = self._half_angles(axis, count, mode)
            shape = [1] * self._stencil.dimension
            shape[axis] = half.size
            sines.append(np.sin(half).reshape(shape) ** 2)
            cosines.append(np.cos(half).reshape(shape) ** 2)
        total = np.zeros([1] * self._stencil.dimension)
        for i, weight in enumerate(self._stencil.weights):
            term = 4.0 * weight * sines[i]
            for j, cosine in enumerate(cosines):
                term = term * cosine if j != i else term
            total = total + term
        null = total <= _NULL * total.max() if total.size else total > 0
        return np.where(null, 0.0, 1.0 / np.where(null, 1.0, total)).astype(np.float32)

    def _half_angles(self, axis: int, count: int, mode: str) -> npt.NDArray[np.float64]:
        if mode == "periodic":
            last = axis == self._stencil.dimension - 1
            return np.pi * np.arange(count // 2 + 1 if last else count) / count
        orders = np.arange(1, count) if mode == "odd" else np.arange(count + 1)
        return 0.5 * np.pi * orders / count

    def _apply_periodic(self, r: Field) -> Field:
        spectrum = fft.rfftn(r, workers=self._workers)
        spectrum *= self._inverse
        return np.asarray(fft.irfftn(spectrum, s=r.shape, workers=self._workers, overwrite_x=True))

    def _apply_mirrored(self, r: Field) -> Field:
        out = np.zeros_like(r)
        inner = tuple(slice(1, -1) if mode == "odd" else slice(None) for mode in self._stencil.modes)
        work = r[inner].copy()
        if work.size == 0:
            return out
        for axis, mode in enumerate(self._stencil.modes):
            before = (slice(None),) * axis
            if mode == "even":
                work[(*before, slice(0, 1))] *= 2.0
                work[(*before, slice(-1, None))] *= 2.0
        for axis, mode in enumerate(self._stencil.modes):
            transform = fft.dst if mode == "odd" else fft.dct
            work = transform(work, type=1, axis=axis, workers=self._workers, overwrite_x=True)
        work *= self._inverse
        for axis, mode in enumerate(self._stencil.modes):
            transform = fft.idst if mode == "odd" else fft.idct
            work = transform(work, type=1, axis=axis, workers=self._workers, overwrite_x=True)
        out[inner] = work
        return out
