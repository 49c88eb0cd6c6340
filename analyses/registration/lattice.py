"""One image read at the sample centres of another, piece by piece: intensity linearly, labels by the nearest sample.

A sample lies on the image where its place is within the faces of the outermost samples, half a sample beyond their
centres; there the outermost value holds.  An image of one plane reaches half of its thickness up and down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from analyses.sdk.spatial import Matrix, index_to_physical, invert, level_to_base
from analyses.sdk.values import SPATIAL_AXES, ImageValue, LazyArray

Box = tuple[slice, slice, slice]  # along z, y, x
_PIECE_SAMPLES = 1 << 20
_BLOCK_BYTES = 64 * 2**20
_FACE = 0.5 + 1e-9  # samples from the outermost centre to its face, and what rounding adds


def spatial_shape(image: ImageValue) -> tuple[int, int, int]:
    """Samples along z, y, x."""
    z, y, x = (image.shape[image.axes.index(axis)] for axis in SPATIAL_AXES)
    return (z, y, x)


def spacings(image: ImageValue) -> tuple[float, float, float]:
    """Sample distances along x, y, z in um; of one plane without thickness, the larger of those in the plane."""
    sizes = dict(zip(image.axes, image.shape, strict=True))
    known = {axis: image.spacing_um.get(axis) for axis in SPATIAL_AXES}
    wide = max(float(known[axis] or 0.0) for axis in ("x", "y")) or 1.0
    x, y, z = (float(known[axis] or (wide if sizes[axis] == 1 else 1.0)) for axis in ("x", "y", "z"))
    return (x, y, z)


@dataclass(frozen=True)
class Reading:
    """How one image is read at the samples of another.

    Attributes
    ----------
    moving : ImageValue
        What is read.
    array : LazyArray
        The level of it that is read, in the axes of the image.
    level : int
        Its number, 0 for the finest.
    to_level, to_base : ndarray, 4 x 4
        From indices (x, y, z) of the other image to those of this level, and of level 0.
    nearest : bool
        The nearest sample is taken, never a mean.
    """

    moving: ImageValue
    array: LazyArray
    level: int
    to_level: Matrix
    to_base: Matrix
    nearest: bool

    @classmethod
    def of(cls, moving: ImageValue, fixed: ImageValue, to_moving: Matrix) -> Reading:
        """Read ``moving`` at the samples of ``fixed`` through a map fixed -> moving in um.

        Intensity comes from the coarsest stored level that is no coarser than the samples asked for, so that what lies
        between them is averaged and not skipped; labels come from level 0.
        """
        thick = dict(zip(("x", "y", "z"), spacings(moving), strict=True))
        if spatial_shape(moving)[0] == 1 and moving.spacing_um.get("z") is None:
            thick["z"] = max(thick["z"], *spacings(fixed))
        into = dict(zip(("x", "y", "z"), spacings(fixed), strict=True))
        to_base = invert(index_to_physical(thick)) @ to_moving @ index_to_physical(into)
        nearest = moving.kind == "labels"
        number, array, factors = 0, moving.array, (1, 1, 1)
        reach = np.linalg.norm(to_base[:3, :3], axis=1) * 1.01
        for candidate, (level, covers) in enumerate(levels(moving), 1):
            if nearest or any(f > 1 and f > r for f, r in zip(covers, reach, strict=True)):
                break
            number, array, factors = candidate, level, covers
        return cls(moving, array, number, invert(level_to_base(factors)) @ to_base, to_base, nearest)

    def into(self, out: npt.NDArray[Any], start: Sequence[int], lead: dict[str, int], fill: float) -> int:
        """Fill ``out`` (z, y, x), whose first sample is ``start`` of the grid; gives how many samples lie on the image.

        ``lead`` is the index along each axis that is not spatial.
        """
        inside = 0
        for piece in self._pieces(out.shape, start):
            here = [cut.start + s for cut, s in zip(piece, start, strict=True)]
            shape = tuple(cut.stop - cut.start for cut in piece)
            values, mask = self._values(here, shape, lead)
            if values is not None:
                np.copyto(out[piece], np.where(mask, _as(values, out.dtype), out.dtype.type(fill)))
                inside += int(np.count_nonzero(mask))
            else:
                out[piece] = fill
        return inside

    def _pieces(self, shape: Sequence[int], start: Sequence[int]) -> Iterator[Box]:
        """Boxes that fill ``shape``, each small enough with what must be read for it."""
        waiting = [tuple(slice(0, n) for n in shape)]
        while waiting:
            piece = waiting.pop()
            size = [cut.stop - cut.start for cut in piece]
            box = self._block([cut.start + s for cut, s in zip(piece, start, strict=True)], size)
            bytes_read = 8 * int(np.prod([max(0, cut.stop - cut.start) for cut in box]))
            if max(size) == 1 or (np.prod(size) <= _PIECE_SAMPLES and bytes_read <= _BLOCK_BYTES):
                yield (piece[0], piece[1], piece[2])
                continue
            axis = int(np.argmax(size))
            middle = piece[axis].start + size[axis] // 2
            halves = (slice(middle, piece[axis].stop), slice(piece[axis].start, middle))
            waiting += [(*piece[:axis], half, *piece[axis + 1 :]) for half in halves]

    def _block(self, start: Sequence[int], shape: Sequence[int]) -> Box:
        """Samples (z, y, x) of the level that the values of a box of the grid come from; empty where there are none."""
        ends = np.array(list(product(*((s, s + n - 1) for s, n in zip(start, shape, strict=True)))), np.float64)[
            :, ::-1
        ]
        index = ends @ self.to_level[:3, :3].T + self.to_level[:3, 3]
        low, high = np.floor(index.min(axis=0)) - 1, np.ceil(index.max(axis=0)) + 2
        sizes = [self.array.shape[self.moving.axes.index(axis)] for axis in ("x", "y", "z")]
        # The outermost samples hold to their faces: a box beyond the centres still needs them.
        x, y, z = (slice(int(max(a, 0)), int(min(b, n))) for a, b, n in zip(low, high, sizes, strict=True))
        return (z, y, x)

    def _values(
        self, start: Sequence[int], shape: tuple[int, ...], lead: dict[str, int]
    ) -> tuple[npt.NDArray[Any] | None, npt.NDArray[np.bool_]]:
        box = self._block(start, shape)
        if any(cut.stop <= cut.start for cut in box):
            return None, np.zeros(shape, np.bool_)
        mask = self._inside(start, shape)
        if not mask.any():
            return None, mask
        key = lead | dict(zip(SPATIAL_AXES, box, strict=True))
        block = np.asarray(self.array[tuple(key[axis] for axis in self.moving.axes)])
        flip = self.to_level[:3, :3][::-1, ::-1]
        first = np.array([cut.start for cut in box])
        offset = flip @ np.array(start) + self.to_level[:3, 3][::-1] - first
        if self.nearest:
            places = [np.rint(index).astype(np.int64) for index in _indices(flip, offset, shape)]
            return block[tuple(np.clip(p, 0, n - 1) for p, n in zip(places, block.shape, strict=True))], mask
        exact = np.float32 if block.dtype.itemsize <= 2 else np.float64
        read = ndimage.affine_transform(
            block.astype(exact), flip, offset, output_shape=shape, order=1, mode="nearest", output=exact
        )
        return read, mask

    def _inside(self, start: Sequence[int], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        flip = self.to_base[:3, :3][::-1, ::-1]
        offset = flip @ np.array(start) + self.to_base[:3, 3][::-1]
        mask = np.ones(shape, np.bool_)
        for index, n in zip(_indices(flip, offset, shape), spatial_shape(self.moving), strict=True):
            mask &= (index >= -_FACE) & (index <= n - 1 + _FACE)
        return mask


def levels(image: ImageValue) -> Iterator[tuple[LazyArray, tuple[int, int, int]]]:
    """Coarser levels, finest first, and the samples of level 0 along (x, y, z) that one sample of each covers."""
    before, covers = image.shape, (1, 1, 1)
    for level in image.levels:
        at = [image.axes.index(axis) for axis in ("x", "y", "z")]
        steps = [2 if level.shape[i] < before[i] else 1 for i in at]
        covers = (covers[0] * steps[0], covers[1] * steps[1], covers[2] * steps[2])
        before = tuple(level.shape)
        yield level, covers


def _indices(flip: Matrix, offset: npt.NDArray[np.float64], shape: Sequence[int]) -> Iterator[npt.NDArray[np.float64]]:
    """The index read along z, y and x at every sample of a box, one after the other."""
    z, y, x = (np.arange(n, dtype=np.float64) for n in shape)
    for row, first in zip(flip, offset, strict=True):
        yield row[0] * z[:, None, None] + row[1] * y[None, :, None] + (row[2] * x + first)[None, None, :]


def _as(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Values in the type of the samples: integers are rounded, never wrapped."""
    if values.dtype == dtype or dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(values), limits.min, limits.max).astype(dtype))
