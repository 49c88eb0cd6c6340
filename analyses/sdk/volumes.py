"""Reading images slab by slab: the one place where plugins turn lazy arrays with named axes into blocks of (z, y, x).

No function here loads a whole image unless its name says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.values import SPATIAL_AXES, ImageValue

SLAB_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Volume:
    """The (z, y, x) samples of one channel at one time of an image, read on demand."""

    image: ImageValue
    time: int = 0
    channel: int = 0

    def __post_init__(self) -> None:
        sizes = dict(zip(self.image.axes, self.image.shape, strict=True))
        missing = [axis for axis in SPATIAL_AXES if axis not in sizes]
        if missing:
            raise ValueError(f"the image has axes {self.image.axes}; {missing} are missing")
        for axis, index in (("t", self.time), ("c", self.channel)):
            if not 0 <= index < sizes.get(axis, 1):
                raise IndexError(f"index {index} along {axis}: the image has {sizes.get(axis, 1)} samples there")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Samples along z, y, x."""
        sizes = dict(zip(self.image.axes, self.image.shape, strict=True))
        return (sizes["z"], sizes["y"], sizes["x"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type."""
        return self.image.array.dtype

    def read(self, start: int, stop: int, rows: slice = slice(None)) -> npt.NDArray[Any]:
        """Planes ``start`` to ``stop`` (exclusive) as an array (z, y, x), optionally only the given rows (y)."""
        fixed: dict[str, Any] = {
            "t": self.time,
            "c": self.channel,
            "z": slice(start, stop),
            "y": rows,
            "x": slice(None),
        }
        return np.asarray(self.image.array[tuple(fixed[axis] for axis in self.image.axes)])

    def read_all(self) -> npt.NDArray[Any]:
        """The whole volume in memory, shape (z, y, x)."""
        return self.read(0, self.shape[0])


def slabs(
    shape: tuple[int, int, int], itemsize: int, align: int = 1, budget: int = SLAB_BYTES
) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of planes, each at most ``budget`` bytes and a multiple of ``align`` planes thick where it
    can be.

    ``align`` is the chunk thickness along z of what is written, so that no chunk is written twice.
    """
    plane = max(1, shape[1] * shape[2] * itemsize)
    thickness = max(align, budget // plane // align * align)
    for start in range(0, shape[0], thickness):
        yield start, min(start + thickness, shape[0])


def relative_spacing(image: ImageValue) -> tuple[float, float, float] | None:
    """Spacing along z, y, x in micrometres; (1, 1, 1) where no axis has one.

    None where some axes longer than one sample have a spacing and others do not: their ratio is then unknown.
    """
    sizes = dict(zip(image.axes, image.shape, strict=True))
    known = {axis: image.spacing_um.get(axis) for axis in SPATIAL_AXES}
    long_axes = [axis for axis in SPATIAL_AXES if sizes[axis] > 1]
    if all(known[axis] is None for axis in long_axes):
        return (1.0, 1.0, 1.0)
    if any(known[axis] is None for axis in long_axes):
        return None
    z, y, x = (known[axis] or 1.0 for axis in SPATIAL_AXES)
    return (z, y, x)


def label_counts(volume: Volume) -> dict[int, int]:
    """Voxels of every label present, label -> count, by slabs."""
    total: dict[int, int] = {}
    for start, stop in slabs(volume.shape, volume.dtype.itemsize):
        block = volume.read(start, stop)
        if block.dtype.kind == "u" and block.dtype.itemsize <= 2:
            counts = np.bincount(block.ravel())
            found = [(int(label), int(counts[label])) for label in np.flatnonzero(counts)]
        else:
            labels, numbers = np.unique(block, return_counts=True)
            found = [(int(label), int(number)) for label, number in zip(labels, numbers, strict=True)]
        for label, number in found:
            total[label] = total.get(label, 0) + number
    return dict(sorted(total.items()))
