"""How an image is laid out as an OME-Zarr 0.5 store: levels, chunks, shards and metadata.

Every spatial axis longer than one sample is halved from level to level, until the longest is at most ``COARSEST``.
Level ``k`` has scale ``s * f`` and translation ``(f - 1) / 2 * s``, where ``f`` is the number of level-0 samples that a
sample of that level covers along the axis: the centre of the block, so that all levels agree on pixel centres.  Where
a length is odd, the last block of the next level is cut off by the edge and averages the samples that exist.

A spectrum image has one level, chunked for both ways of reading it: a spectrum at a place, and a plane of one energy.
Coarser levels would add up to a third to what is by far the largest kind of image, and nobody reads them: an overview
is made from the sum image (``omezarr_spectrum``), which has levels of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import zarr
from zarr.codecs import BloscCodec

from analyses.sdk import omezarr_signal
from analyses.sdk.pyramid import Method, check_dtype, halved_shape
from analyses.sdk.values import AXIS_ORDER, SIGNAL_AXIS, SPATIAL_AXES, Channel, ImageKind, SignalAxis

COARSEST = 256
CHUNKS_3D = ((64, 64, 64), (32, 64, 128), (16, 128, 128))
CHUNK_2D = 512
MAX_FILES_PER_LEVEL = 1000
SHARD_3D = (1, 8, 8)  # chunks along z, y, x
SHARD_2D = (1, 2, 8)
SLAB_BYTES = 128 << 20
CHUNK_SPECTRUM = (64, 32)  # samples along e, and along y and x
SPECTRUM_CHUNK_SAMPLES = 1 << 16
SHARD_SPECTRUM = 4  # chunks along x; along e all of them
# Measured on 16-bit X-ray, light-microscopy and label volumes: level 3 compresses 1-2 % better at half the speed.
COMPRESSION_LEVEL = 2
ATTRIBUTE = "corrspace"
AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
SUMS = {"image": "sum", "spectrum": "sum_spectrum"}  # below the store of a spectrum image
KINDS = ("intensity", "labels", "displacement", "spectrum")


@dataclass(frozen=True)
class Level:
    """One array of the pyramid; all tuples in the order of the store's axes."""

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    factors: tuple[int, ...]

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Samples that one stored file holds: a shard, or a chunk where the level is not sharded."""
        return self.shards or self.chunks

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of files along each axis."""
        return tuple(-(-n // f) for n, f in zip(self.shape, self.file_shape, strict=True))


@dataclass(frozen=True)
class Description:
    """What a store says about itself beside its samples."""

    axes: tuple[str, ...]
    kind: ImageKind
    spacing_um: Mapping[str, float | None]
    channels: tuple[Channel, ...] = ()
    name: str = ""
    unit: str | None = None
    signal: tuple[SignalAxis, ...] = ()

    @property
    def method(self) -> Method:
        """How coarser levels are made: labels are never averaged."""
        return "mode" if self.kind == "labels" else "mean"


def check_axes(axes: Sequence[str], shape: Sequence[int]) -> tuple[str, ...]:
    """The axes as a tuple, or ValueError saying what is wrong with them."""
    found = tuple(axes)
    if found != tuple(a for a in AXIS_ORDER if a in found) or found[-3:] != SPATIAL_AXES:
        raise ValueError(
            f"axes are {found}; they must be z, y, x, before them t and c or e where the image has them, in this order"
        )
    if "c" in found and SIGNAL_AXIS in found:
        raise ValueError(f"axes are {found}; a spectrum image has no channels")
    if len(shape) != len(found) or any(n < 1 for n in shape):
        raise ValueError(f"shape is {tuple(shape)}; axes {found} need {len(found)} lengths of at least 1")
    return found


def check_description(description: Description, shape: Sequence[int], dtype: Any) -> None:
    """Refuse with ValueError what a store cannot mean: an unknown kind, a spacing that is none, float labels."""
    check_axes(description.axes, shape)
    if description.kind not in KINDS:
        raise ValueError(f"kind is {description.kind!r}; it must be one of {KINDS}")
    if description.kind == "labels" and check_dtype(dtype).kind == "f":
        raise ValueError(f"dtype of labels is {check_dtype(dtype).name}; labels must be integers")
    if (description.kind == "spectrum") != (SIGNAL_AXIS in description.axes):
        raise ValueError(f"kind is {description.kind!r} with axes {description.axes}; spectrum goes with the axis e")
    if SIGNAL_AXIS in description.axes:
        omezarr_signal.check_signal(description.signal, shape[description.axes.index(SIGNAL_AXIS)])
    elif description.signal:
        raise ValueError("signal axes are described, the image has no axis e")
    for axis, spacing in description.spacing_um.items():
        if axis not in SPATIAL_AXES:
            raise ValueError(f"spacing_um names axis {axis!r}; it may name {SPATIAL_AXES}")
        if spacing is not None and not (math.isfinite(spacing) and spacing > 0):
            raise ValueError(f"spacing_um[{axis!r}] is {spacing}; it must be a positive, finite length in um, or None")
    channels = shape[description.axes.index("c")] if "c" in description.axes else 1
    if description.channels and len(description.channels) != channels:
        raise ValueError(f"{len(description.channels)} channels are described, the image has {channels}")


def plan_levels(axes: Sequence[str], shape: Sequence[int], itemsize: int) -> tuple[Level, ...]:
    """Shapes, chunks, shards and factors of all levels of an image, finest first; a spectrum image has one."""
    if SIGNAL_AXIS in axes:
        return (_spectrum_level(tuple(shape), itemsize),)
    lead = len(axes) - 3
    shapes = [tuple(shape)]
    factors = [(1,) * len(axes)]
    while max(shapes[-1][lead:]) > COARSEST:
        step = step_factors(shapes[-1], lead)
        shapes.append(halved_shape(shapes[-1], step))
        factors.append(tuple(a * b for a, b in zip(factors[-1], step, strict=True)))
    return tuple(_level(str(k), s, f, lead, itemsize) for k, (s, f) in enumerate(zip(shapes, factors, strict=True)))


def step_factors(shape: Sequence[int], lead: int) -> tuple[int, ...]:
    """2 for each spatial axis longer than one sample, else 1."""
    return tuple(2 if axis >= lead and n > 1 else 1 for axis, n in enumerate(shape))


def _level(path: str, shape: tuple[int, ...], factors: tuple[int, ...], lead: int, itemsize: int) -> Level:
    chunks = (1,) * lead + default_chunks(shape[lead:], itemsize)
    grid = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    shards = None
    if math.prod(grid) > MAX_FILES_PER_LEVEL and math.prod(grid[lead:]) > 1:
        group = (1,) * lead + (SHARD_3D if shape[lead] > 1 else SHARD_2D)
        shards = tuple(c * min(g, n) for c, g, n in zip(chunks, group, grid, strict=True))
    return Level(path, shape, chunks, shards, factors)


def _spectrum_level(shape: tuple[int, ...], itemsize: int) -> Level:
    """The only level of a cube ``([t,] e, z, y, x)``.

    A chunk spans some channels of a small tile of places.  A shard holds all channels of a few tiles side by side, so
    that a spectrum is read from one file and a cube of any size has few files.
    """
    lead, (channels, _, y, x) = (1,) * (len(shape) - 4), shape[-4:]
    side = CHUNK_SPECTRUM[1]
    while side > 1 and channels * side * side * itemsize > SLAB_BYTES // 8:
        side //= 2
    height, width = min(y, side), min(x, side)
    depth = CHUNK_SPECTRUM[0]
    while depth * height * width < SPECTRUM_CHUNK_SAMPLES:
        depth *= 2
    depth = min(depth, channels)
    chunks = (*lead, depth, 1, height, width)
    grid = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    shards = None
    if math.prod(grid) > MAX_FILES_PER_LEVEL:
        tiles = math.prod(grid) // grid[-4]
        most = max(1, SLAB_BYTES // (channels * height * width * itemsize))
        beside = min(grid[-1], most, max(SHARD_SPECTRUM, -(-tiles // MAX_FILES_PER_LEVEL)))
        shards = (*lead, depth * grid[-4], 1, height, width * beside)
    return Level("0", shape, chunks, shards, (1,) * len(shape))


def default_chunks(shape: Sequence[int], itemsize: int) -> tuple[int, int, int]:
    """Chunk of a volume ``(z, y, x)``: about a quarter of a million samples, thinner in z where planes are large.

    A slab of one chunk's thickness is held in memory while a store is written, so its bytes bound the thickness.
    """
    z, y, x = shape
    if z == 1:
        return 1, min(y, CHUNK_2D), min(x, CHUNK_2D)
    fitting = (chunk for chunk in CHUNKS_3D if min(chunk[0], z) * y * x * itemsize <= SLAB_BYTES)
    depth, height, width = next(fitting, CHUNKS_3D[-1])
    return min(z, depth), min(y, height), min(x, width)


def compressor(dtype: Any, kind: str) -> tuple[int, int]:
    """Blosc level and shuffle (0 none, 2 bits): bit planes help wide samples and labels, and hurt 8-bit noise."""
    wide = check_dtype(dtype).itemsize > 1
    return COMPRESSION_LEVEL, 2 if wide or kind == "labels" else 0


def create_level(store: Path, level: Level, dtype: Any, description: Description) -> zarr.Array[Any]:
    """Write the metadata of a level array; every chunk is stored, also one of zeros, so that a lost one shows."""
    clevel, shuffle = compressor(dtype, description.kind)
    return zarr.create_array(
        str(store / level.path),
        shape=level.shape,
        dtype=check_dtype(dtype),
        chunks=level.chunks,
        shards=level.shards,
        compressors=BloscCodec(
            cname="zstd",
            clevel=clevel,
            shuffle="bitshuffle" if shuffle else "noshuffle",
            typesize=check_dtype(dtype).itemsize,
        ),
        fill_value=0,
        dimension_names=list(description.axes),
        zarr_format=3,
        config={"write_empty_chunks": True},
    )


def write_group(store: Path, levels: Sequence[Level], description: Description) -> None:
    """Write the group's metadata (last, so that an unfinished store has none)."""
    zarr.create_group(str(store), zarr_format=3, attributes=attributes(levels, description))


def attributes(levels: Sequence[Level], description: Description) -> dict[str, Any]:
    """The attributes of an OME-Zarr 0.5 image group, with our own under ``corrspace``."""
    multiscale = {
        "name": description.name,
        "axes": [_axis(axis, description) for axis in description.axes],
        "datasets": [_dataset(level, description) for level in levels],
        "type": description.method,
        "metadata": {
            "method": "analyses.sdk.pyramid.reduce_block",
            "description": "blocks of two samples an axis, from the level before; mean rounded half up, or mode",
        },
    }
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if description.kind == "labels":
        ome["image-label"] = {}
    sizes = dict(zip(description.axes, levels[0].shape, strict=True))
    spacing = {axis: description.spacing_um.get(axis) for axis in SPATIAL_AXES}
    own: dict[str, Any] = {
        "version": 1,
        "kind": description.kind,
        "spacing_um": spacing,
        "calibrated": all(spacing[axis] is not None for axis in SPATIAL_AXES if sizes[axis] > 1),
        "channels": [asdict(channel) for channel in description.channels],
        "unit": description.unit,
    }
    if description.signal:
        own |= {"signal": omezarr_signal.own_entry(description.signal), "sums": dict(SUMS)}
    return {"ome": ome, ATTRIBUTE: own}


def _axis(axis: str, description: Description) -> dict[str, str]:
    """No unit on an axis without a spacing: its scale of 1 counts samples."""
    if axis == SIGNAL_AXIS:
        return omezarr_signal.axis_entry(description.signal)
    entry = {"name": axis, "type": AXIS_TYPES[axis]}
    return entry | {"unit": "micrometer"} if description.spacing_um.get(axis) is not None else entry


def _dataset(level: Level, description: Description) -> dict[str, Any]:
    spacing = [description.spacing_um.get(axis) or 1.0 for axis in description.axes]
    scale = [s * f for s, f in zip(spacing, level.factors, strict=True)]
    shift = [(f - 1) / 2 * s for s, f in zip(spacing, level.factors, strict=True)]
    if SIGNAL_AXIS in description.axes:
        at = description.axes.index(SIGNAL_AXIS)
        scale[at], shift[at] = omezarr_signal.scale_and_shift(description.signal)
    return {
        "path": level.path,
        "coordinateTransformations": [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}],
    }


def steps(levels: Sequence[Level]) -> list[tuple[int, ...]]:
    """Factors from each level to the next."""
    return [tuple(b // a for a, b in zip(low.factors, high.factors, strict=True)) for low, high in pairwise(levels)]
