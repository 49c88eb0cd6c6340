"""The rotated scheme in real space: gradients at voxel centres from potentials at voxel corners, and the adjoint.

Gradients are *raw*: 2^(d-1) times the edge length times the physical gradient, divided by 2^(d-1), that is
differences of the potential across a voxel.  ``weights`` are (shortest edge / edge)^2 along each axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[Any]  # float32, except where a sum says otherwise
Mode = Literal["periodic", "even", "odd"]
_SLAB_BYTES = 192 * 1024


class Stencil:
    """Operators between the potential at ``nodes`` and the gradient at ``voxels``.

    An axis is ``periodic`` (as many nodes as voxels), ``even`` (mirror: one more node than voxels, no flux through the
    ends) or ``odd`` (mirror with a sign: one more node than voxels, the end nodes held at zero).
    """

    def __init__(self, voxels: Sequence[int], weights: Sequence[float], modes: Sequence[Mode]) -> None:
        self.voxels = tuple(voxels)
        self.modes = tuple(modes)
        self.weights = tuple(weights)
        self.nodes = tuple(n if mode == "periodic" else n + 1 for n, mode in zip(voxels, modes, strict=True))
        self.dimension = len(self.voxels)
        row = 4 * int(np.prod(self.voxels[1:]))
        self._thickness = max(1, min(self.voxels[0], _SLAB_BYTES // max(row, 1)))
        self._average = np.float32(0.5 ** (self.dimension - 1))

    def slabs(self) -> Iterator[tuple[int, int]]:
        """Ranges of voxels along the first axis that fit a processor cache."""
        for start in range(0, self.voxels[0], self._thickness):
            yield start, min(start + self._thickness, self.voxels[0])

    def gradient(self, u: Field, start: int, stop: int) -> list[Field]:
        """Differences of the potential across voxels ``start`` to ``stop`` of the first axis, one array per
        direction.
        """
        return [self._average * g for g in _differences(self._corners(u, start, stop))]

    def load(self, local: Field, axis: int) -> Field:
        """Right-hand side - G^T k E for a unit difference along ``axis``, shape ``nodes``."""
        out = np.zeros(self.nodes, np.float32)
        for start, stop in self.slabs():
            block = local[start:stop]
            flux = [np.zeros_like(block) for _ in range(self.dimension)]
            flux[axis] = np.float32(-self.weights[axis]) * self._average * block
            self._scatter(out, _adjoint(flux), start, stop)
        return self._hold(out)

    def apply(self, u: Field, local: Field) -> Field:
        """G^T k G u, shape ``nodes``."""
        out = np.zeros(self.nodes, np.float32)
        square = float(self._average) ** 2
        for start, stop in self.slabs():
            flux = _differences(self._corners(u, start, stop))
            block = local[start:stop] * np.float32(square)
            for g, weight in zip(flux, self.weights, strict=True):
                g *= block
                if weight != 1.0:
                    g *= np.float32(weight)
            self._scatter(out, _adjoint(flux), start, stop)
        return self._hold(out)

    def _corners(self, u: Field, start: int, stop: int) -> Field:
        """Potential at the corners of a slab of voxels: one more node than voxels along every axis."""
        corners = np.empty((stop - start + 1, *(n + 1 for n in self.voxels[1:])), np.float32)
        inner = tuple(slice(0, n) for n in self.nodes[1:])
        last = min(stop + 1, self.nodes[0])
        corners[(slice(0, last - start), *inner)] = u[start:last]
        if last <= stop:
            corners[(slice(-1, None), *inner)] = u[:1]
        for axis in range(1, self.dimension):
            if self.modes[axis] == "periodic":
                corners[_at(axis, -1)] = corners[_at(axis, 0)]
        return corners

    def _scatter(self, out: Field, corners: Field, start: int, stop: int) -> None:
        """Add what a slab gives to its corners, corners that are the same node together."""
        for axis in range(1, self.dimension):
            if self.modes[axis] == "periodic":
                corners[_at(axis, 0)] += corners[_at(axis, -1)]
        inner = tuple(slice(0, n) for n in self.nodes[1:])
        last = min(stop + 1, self.nodes[0])
        out[start:last] += corners[(slice(0, last - start), *inner)]
        if last <= stop:
            out[:1] += corners[(slice(-1, None), *inner)]

    def _hold(self, out: Field) -> Field:
        for axis, mode in enumerate(self.modes):
            if mode == "odd":
                out[_at(axis, 0)] = 0.0
                out[_at(axis, -1)] = 0.0
        return out


def _at(axis: int, index: int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, index)


def _pair(axis: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    before = (slice(None),) * axis
    return (*before, slice(None, -1)), (*before, slice(1, None))


def _differences(corners: Field) -> list[Field]:
    """Sums over corners with signs: 2^(d-1) times the difference along each axis."""
    dimension = corners.ndim
    total = corners
    parts: list[Field] = []
    for axis in range(dimension):
        low, high = _pair(axis)
        parts = [part[low] + part[high] for part in parts]
        parts.append(total[high] - total[low])
        if axis < dimension - 1:
            total = total[low] + total[high]
    return parts


def _adjoint(flux: list[Field]) -> Field:
    """The transpose of ``_differences``."""
    *parts, last = flux
    total = _spread(-last, last, len(parts))
    for axis in reversed(range(len(parts))):
        parts = [_spread(part, part, axis + 1) for part in parts]
        last = parts.pop()
        total = _spread(total - last, total + last, axis)
    return total


def _spread(to_low: Field, to_high: Field, axis: int) -> Field:
    """Give each voxel's value to the node below and the node above it along ``axis``."""
    shape = list(to_low.shape)
    shape[axis] += 1
    out = np.empty(shape, to_low.dtype)
    low, high = _pair(axis)
    before = (slice(None),) * axis
    np.add(to_low[high], to_high[low], out=out[(*before, slice(1, -1))])
    out[_at(axis, 0)] = to_low[_at(axis, 0)]
    out[_at(axis, -1)] = to_high[_at(axis, -1)]
    return out
