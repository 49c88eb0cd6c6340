"""What every reader gives back, and within which limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from analyses.sdk.pyramid import SUPPORTED_DTYPES
from analyses.sdk.values import SPATIAL_AXES, Channel, ImageKind, LazyArray, SignalAxis
from apps.imaging.readers.errors import TooLargeError, UnsupportedFormatError

Array = npt.NDArray[Any]
Source = Literal["file", "derived"]


@dataclass(frozen=True)
class Limits:
    """Bounds on what a file may announce, checked on its header before anything is decoded.

    ``max_ratio`` bounds decoded bytes per byte of the file, for files that decode to more than ``ratio_floor_bytes``:
    deflate reaches 1000 on zeros, microscopy data stay far below 100.
    """

    max_samples: int = 1 << 36
    max_pages: int = 100_000
    max_images: int = 1_000
    max_header_bytes: int = 64 << 20
    max_segment_bytes: int = 1 << 30
    max_ratio: int = 250
    ratio_floor_bytes: int = 256 << 20

    def check_samples(self, shape: Sequence[int], itemsize: int, file_bytes: int, name: str) -> None:
        """Refuse a shape that is too large as such, or for the bytes that are said to hold it."""
        samples = math.prod(shape)
        if samples > self.max_samples:
            raise TooLargeError(
                f"{name} announces {samples} samples {tuple(shape)}; at most {self.max_samples} are read",
                samples=samples,
                limit=self.max_samples,
            )
        self.check_ratio(samples * itemsize, file_bytes, name)

    def check_ratio(self, decoded: int, file_bytes: int, name: str) -> None:
        """Refuse a decompression bomb."""
        if decoded > self.ratio_floor_bytes and decoded > self.max_ratio * file_bytes:
            raise TooLargeError(
                f"{name} has {file_bytes} bytes and announces {decoded} decoded: over {self.max_ratio} times as many",
                decoded_bytes=decoded,
                file_bytes=file_bytes,
                limit=self.max_ratio,
            )


@dataclass(frozen=True)
class Grid:
    """Where the samples of an image lie among those of other images of one file, as the file itself states it.

    Sample (i, j), counted along x and y, lies at ``origin + (i, j) * step`` of the field, in a unit that all images of
    the field share: positions of a raster, pixels of an overview.  ``u_um`` is the standard error of that place along
    each axis; 0 where it is exact by construction.
    """

    field: str
    origin: tuple[float, float] = (0.0, 0.0)
    step: tuple[float, float] = (1.0, 1.0)
    u_um: float = 0.0


@dataclass(frozen=True)
class ReadImage:
    """One image of a file; ``array`` decodes only what is indexed.

    ``spacing_um`` has z, y and x, None where the file gives no usable length; ``spacing_source`` names the field it was
    taken from, and ``spacing_u_um`` the standard uncertainty where the file's own way of saying it implies one.
    ``signal`` describes what the axis ``e`` of a spectrum image is made of.  ``facts`` maps a name to
    ``{"value", "unit", "source"}`` and, where the file's own words differ, ``"tag"`` and ``"raw"``.  ``header`` is the
    raw header as JSON values.  ``specimen_area`` is the part of the frame that shows the specimen,
    ``(y0, y1, x0, x1)``, where the file says so.  ``modality`` is one of the words of the REST interface, or empty.
    ``side_cars`` are the names of the other files that this image was read with.  ``grid`` is set where the file says
    how the image lies to others of it.
    """

    name: str
    axes: tuple[str, ...]
    array: LazyArray
    spacing_um: Mapping[str, float | None]
    spacing_source: str | None = None
    kind: ImageKind = "intensity"
    channels: tuple[Channel, ...] = ()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    handedness: Literal["right", "left", "unknown"] = "unknown"
    specimen_area: tuple[int, int, int, int] | None = None
    spacing_u_um: Mapping[str, float] = field(default_factory=dict)
    signal: tuple[SignalAxis, ...] = ()
    modality: str = ""
    side_cars: tuple[str, ...] = ()
    grid: Grid | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type, little endian."""
        return self.array.dtype

    @property
    def calibrated(self) -> bool:
        """True if every spatial axis longer than one sample has a spacing."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return all(self.spacing_um.get(axis) is not None for axis in SPATIAL_AXES if sizes[axis] > 1)


class Reader(Protocol):
    """One format.  ``claims`` looks at content alone: 0 for "not mine", 100 for "surely mine"."""

    format: str

    def claims(self, path: Path, head: bytes) -> int:
        """Rank of this reader for a file (or folder) whose first bytes are ``head``."""
        ...

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The images of a file; ReaderError if it cannot be read in whole.

        ``beside`` holds the other files that came with it, name to path: side-cars are looked up there, by name alone.
        """
        ...


def fact(
    value: Any, unit: str | None = None, source: Source = "file", *, tag: str | None = None, raw: Any = None
) -> dict[str, Any]:
    """One entry of ``ReadImage.facts``; ``tag`` and ``raw`` are the file's own name and value where they differ."""
    entry = {"value": value, "unit": unit, "source": source}
    return entry | ({"tag": tag} if tag is not None else {}) | ({"raw": raw} if raw is not None else {})


def stored_dtype(found: Any, name: str) -> np.dtype[Any]:
    """The little-endian type in which samples are kept: bool as uint8, float16 as float32, others as they are.

    Raises
    ------
    UnsupportedFormatError
        For complex, structured and other types a store does not hold.
    """
    dtype: np.dtype[Any] = np.dtype(found)
    if dtype.kind == "b":
        return np.dtype("u1")
    if dtype.name == "float16":
        return np.dtype("<f4")
    if dtype.name not in SUPPORTED_DTYPES:
        raise UnsupportedFormatError(
            f"{name} has samples of type {dtype.name}; {', '.join(SUPPORTED_DTYPES)} can be stored", dtype=dtype.name
        )
    return dtype.newbyteorder("<")


@dataclass(frozen=True)
class Box:
    """A checked index: the half-open range along each axis, and which axes an integer index removes."""

    ranges: tuple[tuple[int, int], ...]
    dropped: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape before axes are dropped."""
        return tuple(high - low for low, high in self.ranges)

    @classmethod
    def of(cls, key: Any, shape: Sequence[int]) -> Box:
        """Normalise integers, slices of step 1 and an ellipsis; IndexError for anything else."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if any(part is Ellipsis for part in parts):
            at = next(i for i, part in enumerate(parts) if part is Ellipsis)
            parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
        parts += [slice(None)] * (len(shape) - len(parts))
        if len(parts) != len(shape):
            raise IndexError(f"{len(parts)} indices for {len(shape)} axes")
        ranges, dropped = [], []
        for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
            if isinstance(part, slice):
                low, high, step = part.indices(size)
                if step != 1:
                    raise IndexError(f"axis {axis} is indexed with step {step}; only 1 is read")
                ranges.append((low, max(low, high)))
            else:
                at = range(size)[part]
                ranges.append((at, at + 1))
                dropped.append(axis)
        return cls(tuple(ranges), tuple(dropped))

    def drop(self, array: Array) -> Array:
        """Remove the axes that were indexed by an integer."""
        return array.reshape([n for axis, n in enumerate(array.shape) if axis not in self.dropped])
