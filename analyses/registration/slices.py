"""Where in a volume a plane may lie: rotations tried one by one, all shifts of each by correlation at once.

For every rotation the volume is laid out in planes parallel to the slice, and the slice is correlated with each of
them at all shifts (normalised, masked where the volume ends: Padfield, IEEE Trans. Image Process. 21 (2012) 2706), by
grey values either way up and by the magnitude of their gradients.  It only proposes.  Maps lead from the slice to the
volume; a slice is turned about its middle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from analyses.registration.grids import Grid, Samples, resampled
from analyses.sdk.spatial import Matrix

Vector = npt.NDArray[np.float64]
_PEAKS = 3  # kept of every rotation
_EDGE_SHIFT = 1.25  # samples that the rim of the slice lies off between two rotations: the descent reaches so far
_STEPS = (1.0, 12.0)  # degrees between two rotations, at least and at most
_PLANES = 1 << 21  # samples that are correlated at once


@dataclass(frozen=True)
class Place:
    """A map slice -> volume, um, and how well it correlates there."""

    matrix: Matrix
    score: float


def turned(matrix: Matrix, rotation: Vector, centre: Vector) -> Matrix:
    """A map after a turn (3, 3) of the slice about a point of its frame."""
    turn = np.eye(4)
    turn[:3, :3] = rotation
    turn[:3, 3] = centre - rotation @ centre
    return np.asarray(matrix @ turn)


def rotations(search_deg: float, half_samples: float) -> list[Vector]:
    """Rotations (3, 3) no further than ``search_deg`` from none: a lattice of rotation vectors, the nearest first.

    Its step follows from half the length of the slice in samples.
    """
    step = float(np.clip(np.degrees(2 * _EDGE_SHIFT / max(half_samples, 1.0)), *_STEPS))
    count = int(np.ceil(search_deg / step - 1e-9))
    step = search_deg / count if count else step
    ticks = step * np.arange(-count, count + 1)
    lattice = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), -1).reshape(-1, 3)
    lengths = np.linalg.norm(lattice, axis=1)
    # Half a step beyond the sphere: what lies just inside of it is then near one of them.
    kept = lattice[lengths <= min(search_deg + step / 2, 180.0)]
    order = np.argsort(np.linalg.norm(kept, axis=1), kind="stable")
    return list(np.asarray(Rotation.from_rotvec(kept[order], degrees=True).as_matrix()))


class Finder:
    """A slice and a volume at one resolution, ready to be laid on each other.

    Parameters
    ----------
    plane
        The slice, one sample along z.
    volume
        The volume, of about the same spacing.
    search_um
        How far the middle of the slice may lie from where a map puts it, along each axis of the slice.
    """

    def __init__(self, plane: Grid, volume: Grid, search_um: float, min_overlap: float) -> None:
        self.plane, self.image, self.least = plane, volume.image(), min_overlap * plane.samples.size
        self.step = plane.spacing[0]
        self.reach = int(np.ceil(search_um / self.step - 1e-6))
        rows, columns = plane.samples.shape[1:]
        self.shape = (rows + 2 * self.reach, columns + 2 * self.reach)
        self.fast = tuple(fft.next_fast_len(n, real=True) for n in self.shape)
        self.kernels = [_Kernel(feature, self.fast) for feature in (plane.samples[0], _steepness(plane.samples)[0])]

    def places(self, matrix: Matrix) -> list[Place]:
        """The best shifts of the slice near a map."""
        found: list[Place] = []
        depth = 2 * self.reach + 1
        thick = max(1, _PLANES // int(np.prod(self.fast)))
        for first in range(0, depth, thick):
            found += self._in_planes(matrix, first - self.reach, min(thick, depth - first))
        return sorted(found, key=lambda place: -place.score)[:_PEAKS]

    def _in_planes(self, matrix: Matrix, first: int, count: int) -> list[Place]:
        low = np.array(self.plane.origin) + self.step * np.array([-self.reach, -self.reach, first])
        like = Grid(np.empty((count, *self.shape), np.float32), (self.step,) * 3, (low[0], low[1], low[2]))
        slab = resampled(self.image, like, matrix)
        if np.isfinite(slab).sum() < self.least:
            return []
        grey, steep = (
            kernel.fits(feature, np.isfinite(feature), self.least)
            for kernel, feature in zip(self.kernels, (slab, _steepness(slab)), strict=True)
        )
        # Grey values may be either way up.
        value = np.maximum(np.abs(grey), steep)
        inner = value[:, : 2 * self.reach + 1, : 2 * self.reach + 1]
        return [self._place(matrix, index, first, score) for index, score in _maxima(inner)]

    def _place(self, matrix: Matrix, index: tuple[int, ...], first: int, score: float) -> Place:
        shift = np.eye(4)
        z, y, x = index
        shift[:3, 3] = self.step * np.array([x - self.reach, y - self.reach, z + first])
        return Place(np.asarray(matrix @ shift), score)


def search(
    finder: Finder,
    starts: list[Matrix],
    turns: list[Vector],
    check: Callable[[], None] = lambda: None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Place]:
    """Places for all turns of all starts, best first."""
    centre = finder.plane.centre
    found: list[Place] = []
    total = len(starts) * len(turns)
    for number, start in enumerate(starts):
        for count, rotation in enumerate(turns):
            check()
            found += finder.places(turned(start, rotation, centre))
            progress((number * len(turns) + count + 1) / total)
    return sorted(found, key=lambda place: -place.score)


class _Kernel:
    """One feature of the slice, ready to be correlated with planes of the volume at all shifts that hold it whole."""

    def __init__(self, feature: Samples, shape: tuple[int, ...]) -> None:
        values = (feature - feature.mean()).astype(np.float32)
        self.shape, self.size = shape, feature.size
        self.ones, self.values, self.squares = (
            np.conj(fft.rfft2(part, shape)) for part in (np.ones_like(values), values, values**2)
        )
        self.power = float(np.sum(values.astype(np.float64) ** 2))

    def fits(self, planes: Samples, known: npt.NDArray[np.bool_], least: float) -> Samples:
        """Normalised correlation (planes, y, x) by shift; 0 where less than ``least`` samples take part."""
        level = float(planes[known].mean()) if known.any() else 0.0
        centred = np.where(known, planes - level, 0.0).astype(np.float32)
        mask = fft.rfft2(known.astype(np.float32), self.shape)
        front, square = fft.rfft2(centred, self.shape), fft.rfft2(centred**2, self.shape)
        count = self._back(mask * self.ones)
        safe = np.maximum(count, 1.0)
        ours, theirs = self._back(front * self.ones), self._back(mask * self.values)
        ours_square = self._back(square * self.ones) - ours**2 / safe
        theirs_square = self._back(mask * self.squares) - theirs**2 / safe
        product = self._back(front * self.values) - ours * theirs / safe
        floor = 1e-3 * max(float(ours_square.max()), 1e-30), 1e-3 * self.power
        both = np.sqrt(np.maximum(ours_square, floor[0]) * np.maximum(theirs_square, floor[1]))
        # A high correlation of few samples is easily had by chance.
        value = product / both * np.sqrt(np.clip(count / self.size, 0.0, 1.0))
        return np.where(count >= least, value, 0.0).astype(np.float32)

    def _back(self, spectrum: npt.NDArray[Any]) -> Samples:
        return np.asarray(fft.irfft2(spectrum, self.shape), np.float32)


def _steepness(planes: Samples) -> Samples:
    """Magnitude of the gradient in the plane; NaN where it is not known."""
    rows, columns = np.gradient(planes, axis=(-2, -1))
    return np.asarray(np.hypot(rows, columns), np.float32)


def _maxima(value: Samples) -> list[tuple[tuple[int, ...], float]]:
    """The highest places, at least three samples apart."""
    peaks = np.where(ndimage.maximum_filter(value, size=5, mode="nearest") == value, value, -1.0)
    order = np.argsort(peaks, axis=None)[::-1][:_PEAKS]
    found = [(np.unravel_index(int(flat), peaks.shape), float(peaks.flat[flat])) for flat in order]
    return [(tuple(int(i) for i in index), score) for index, score in found if score > 0]
