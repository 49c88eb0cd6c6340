"""What a plugin is given and what it gives back: checked values, never rows or paths.

Arrays are C-order with named axes in the order ``t, c, e, z, y, x`` (``t``, ``c`` and ``e`` only where the image has
them; ``z`` always, of length 1 for a plane).  ``e`` is the signal at a place, in images of kind ``spectrum``; these
have no ``c``.  Lengths are micrometres, the pixel centre is the origin of a voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

AXIS_ORDER = ("t", "c", "e", "z", "y", "x")
SIGNAL_AXIS = "e"
SPATIAL_AXES = ("z", "y", "x")
TABLE_FILE = "table.parquet"  # within the store of a table

ImageKind = Literal["intensity", "labels", "displacement", "spectrum"]
TransformKind = Literal["translation", "rigid", "similarity", "affine", "reflection"]
Number = float | int
Nested = Any  # a number, None, or a nested list of these: the value of a property


@runtime_checkable
class LazyArray(Protocol):
    """Read access by slices; nothing is in memory before it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the samples."""
        ...

    def __getitem__(self, key: Any) -> npt.NDArray[Any]: ...


class WritableArray(LazyArray, Protocol):
    """A staged output: one chunk (shard) has one writer."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Samples along each axis that one writer writes at once."""
        ...

    def __setitem__(self, key: Any, value: npt.ArrayLike) -> None: ...


@dataclass(frozen=True)
class Channel:
    """One detector or page of a field."""

    label: str
    detector: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class SignalAxis:
    """What an axis of the signal at a place is: sample ``i`` stands for ``offset + i * step``, in ``unit`` (UCUM).

    An EDS spectrum has one, energy; a diffraction pattern two, which the axis ``e`` holds flattened in C order.
    """

    name: str
    size: int
    offset: float
    step: float
    unit: str


@dataclass(frozen=True)
class ImageValue:
    """An image read lazily, with all that is needed to make sense of its samples.

    ``spacing_um`` and ``spacing_u_um`` map each spatial axis to its sample distance and the standard uncertainty of it
    in micrometres; None where the image is uncalibrated along that axis or the uncertainty was not stated.  ``signal``
    says what the samples along ``e`` stand for, in images of kind ``spectrum``.  ``facts`` are what the maker of labels
    said of them (thresholds, say); empty for other images.  ``levels`` are coarser copies of the samples, finest first,
    each the mean of two samples of the one before along the axes it is shorter on; there may be none.
    """

    id: str
    kind: ImageKind
    array: LazyArray
    axes: tuple[str, ...]
    spacing_um: Mapping[str, float | None]
    spacing_u_um: Mapping[str, float | None] = field(default_factory=dict)
    channels: tuple[Channel, ...] = ()
    frame: str | None = None
    handedness: Literal["right", "left", "unknown"] = "unknown"
    digest: str = ""
    name: str = ""
    signal: tuple[SignalAxis, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[LazyArray, ...] = ()

    def __post_init__(self) -> None:
        if tuple(a for a in AXIS_ORDER if a in self.axes) != self.axes or len(set(self.axes)) != len(self.axes):
            raise ValueError(f"axes are {self.axes}; they must be distinct and in the order {AXIS_ORDER}")
        if len(self.array.shape) != len(self.axes):
            raise ValueError(
                f"the array has {len(self.array.shape)} dimensions, the axes {self.axes} name {len(self.axes)}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis, in the order of ``axes``."""
        return tuple(self.array.shape)

    @property
    def calibrated(self) -> bool:
        """True if every spatial axis longer than one sample has a spacing."""
        return all(
            self.spacing_um.get(axis) is not None
            for axis, size in zip(self.axes, self.shape, strict=True)
            if axis in SPATIAL_AXES and size > 1
        )


@dataclass(frozen=True)
class Column:
    """One column of a table; ``scale_exponent`` is n where the value goes as (length scale)**n, 0 without a scale.

    ``depends_on_anisotropy``: True where unequal changes of the spacings move the values even if equal ones do not.
    """

    name: str
    values: Sequence[Any] | npt.NDArray[Any]
    unit: str = "1"
    scale_exponent: int = 0
    description: str = ""
    depends_on_anisotropy: bool = False


@dataclass(frozen=True)
class TableValue:
    """Columns of equal length."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        lengths = {column.name: len(column.values) for column in self.columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")


@dataclass(frozen=True)
class Interval:
    """Bounds elementwise to ``value``; coverage probability ``level`` (None: a spread, none claimed); what it contains.

    ``contains`` is in words from a fixed list: ``segmentation``, ``voxel``, ``boundary``, ``rve``, ``constituents``,
    ``scale``, ``solver``.
    """

    low: Nested
    high: Nested
    level: float | None
    contains: tuple[str, ...]


@dataclass(frozen=True)
class PropertyValue:
    """A number, list or tensor with its unit (UCUM).

    ``scale_exponent`` n: the value goes as s**n when all spacings are multiplied by s; None: not simply so.
    ``depends_on_anisotropy``: True where unequal changes of the spacings move the value even if equal ones do not.
    ``error`` names parts of the error, each in the unit of the value.  ``facts`` holds what else a reader must know
    (verdicts, conditions), JSON only.
    """

    name: str
    value: Nested
    unit: str
    interval: Interval | None = None
    error: Mapping[str, Nested] = field(default_factory=dict)
    scale_exponent: int | None = 0
    depends_on_anisotropy: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputImage:
    """An image written by ``ctx.create_array``; scale, frame and handedness are those of the input image ``like``.

    ``of`` is the id of the input image whose content the samples show, where that is another one: specimen, state,
    modality and name are then of that image, while the samples lie on those of ``like``.  ``handedness`` says it where
    ``like`` does not, but the content does.
    """

    kind: ImageKind
    array: WritableArray
    axes: tuple[str, ...]
    like: str
    channels: tuple[Channel, ...] = ()
    name: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""
    handedness: Literal["right", "left", "unknown"] | None = None


@dataclass(frozen=True)
class LandmarkPair:
    """The same physical point in both frames of a transform, (x, y, z) in um.

    ``u_um`` is the standard error of each coordinate of the pair, both ends together; ``state`` is ``active``,
    ``held_out`` or ``rejected`` (then ``reason`` says why).
    """

    source: tuple[float, float, float]
    target: tuple[float, float, float]
    u_um: float | None = None
    state: Literal["active", "held_out", "rejected"] = "active"
    reason: str = ""


@dataclass(frozen=True)
class TransformValue:
    """A map between two frames: ``target = matrix @ source``, 4 x 4, micrometres.

    ``source`` and ``target`` are ids of frames; in an output the name of an input port or the id of an input image,
    whose frame is meant.  ``covariance`` is 12 x 12, of the row-major entries of the upper 3 x 4 block, None where none
    can be derived; ``degrees_of_freedom`` those of the variance it comes from, None where errors were given.
    ``residual_um`` is None only with a ``no_residual_reason``.  ``facts`` holds what else a reader must know: metric
    and its history, score gap, starts; JSON only.
    """

    kind: TransformKind
    matrix: npt.NDArray[np.float64]
    source: str
    target: str
    covariance: npt.NDArray[np.float64] | None = None
    degrees_of_freedom: int | None = None
    residual_um: float | None = None
    no_residual_reason: str = ""
    landmarks: tuple[LandmarkPair, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""

    def __post_init__(self) -> None:
        if np.shape(self.matrix) != (4, 4):
            raise ValueError(f"the matrix has shape {np.shape(self.matrix)}; it must be 4 x 4")
        if self.covariance is not None and np.shape(self.covariance) != (12, 12):
            raise ValueError(f"the covariance has shape {np.shape(self.covariance)}; it must be 12 x 12")


Value = ImageValue | TableValue | PropertyValue | TransformValue | OutputImage
