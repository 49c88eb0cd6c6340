"""Write an OME-Zarr 0.5 store in one pass over its source, with flat memory.

The source is read slab by slab, each sample once; a slab is as thick as one stored file.  See ``omezarr_cascade``.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analyses.sdk.manifest import Entry, Manifest, entry_of
from analyses.sdk.omezarr_cascade import Progress, run_cascade
from analyses.sdk.omezarr_encode import FileEncoder
from analyses.sdk.omezarr_layout import (
    SUMS,
    Description,
    Level,
    check_description,
    create_level,
    plan_levels,
    write_group,
)
from analyses.sdk.omezarr_spectrum import write_cube, write_sum_spectrum
from analyses.sdk.pyramid import check_dtype
from analyses.sdk.values import SIGNAL_AXIS, Channel, ImageKind, LazyArray, SignalAxis


@dataclass(frozen=True)
class StoreInfo:
    """A finished store: its levels (finest first), what it says of itself, and its manifest."""

    path: Path
    dtype: np.dtype[Any]
    description: Description
    levels: tuple[Level, ...]
    manifest: Manifest

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return self.description.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples of level 0 along each axis."""
        return self.levels[0].shape

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return self.manifest.digest

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self.manifest.size


def write_image(
    dest: Path,
    source: LazyArray,
    *,
    axes: Sequence[str],
    spacing_um: Mapping[str, float | None],
    kind: ImageKind = "intensity",
    channels: Sequence[Channel] = (),
    name: str = "",
    unit: str | None = None,
    signal: Sequence[SignalAxis] = (),
    threads: int | None = None,
    progress: Progress | None = None,
) -> StoreInfo:
    """Write ``source`` and its pyramid as a new store; of a spectrum image the cube, its sum image and sum spectrum.

    Parameters
    ----------
    dest
        Folder of the store; must not exist.
    source
        Samples in the order of ``axes``, read in slabs along z (along y where z has one sample), each once.
    axes
        ``z, y, x``, before them ``t`` and ``c`` or ``e`` where the image has them.
    spacing_um
        Sample distance along each spatial axis in micrometres; None or absent where it is not known.
    kind, channels, name, unit
        Kept in the metadata; ``labels`` makes coarser levels by mode, everything else by mean.
    signal
        What the samples along ``e`` stand for; needed by kind ``spectrum``, and by no other.
    threads
        Threads that compress and write; as many as processors by default, at most 8.
    progress
        Called with the fraction done after each slab; whatever it raises stops the writing.

    Returns
    -------
    StoreInfo
        The hashes of its manifest are of the bytes as handed to the file system; ``verify_store`` reads them back.

    Raises
    ------
    ValueError
        For axes, a dtype, a spacing or channels that a store cannot hold.
    FileExistsError
        If ``dest`` exists.  After any other failure ``dest`` is gone again.
    """
    described = Description(tuple(axes), kind, dict(spacing_um), tuple(channels), name, unit, tuple(signal))
    check_description(described, source.shape, source.dtype)
    dest.mkdir(parents=True)
    try:
        write = _write_spectrum if SIGNAL_AXIS in described.axes else _write_levels
        return write(dest, source, described, threads, progress)
    except BaseException:
        shutil.rmtree(dest, ignore_errors=True)
        raise


def _write_levels(
    dest: Path, source: LazyArray, described: Description, threads: int | None, progress: Progress | None
) -> StoreInfo:
    dtype = check_dtype(source.dtype)
    levels = plan_levels(described.axes, source.shape, dtype.itemsize)
    for level in levels:
        create_level(dest, level, dtype, described)
    encoders = [FileEncoder(dest, level, dtype, described.kind) for level in levels]
    entries = run_cascade(source, levels, encoders, described.method, dest.parent, threads, progress)
    return finish_store(dest, dtype, described, levels, entries)


def _write_spectrum(
    dest: Path, source: LazyArray, described: Description, threads: int | None, progress: Progress | None
) -> StoreInfo:
    """The cube, and below it what is asked for most: the sum image as an image of its own, and the sum spectrum."""
    dtype = check_dtype(source.dtype)
    levels = plan_levels(described.axes, source.shape, dtype.itemsize)
    create_level(dest, levels[0], dtype, described)
    sums = write_cube(source, levels[0], FileEncoder(dest, levels[0], dtype, described.kind), threads, progress)
    entries = list(sums.entries)
    summed = Description(
        tuple(axis for axis in described.axes if axis != SIGNAL_AXIS), "intensity", described.spacing_um, (),
        f"{described.name}: sum of all channels", described.unit,
    )  # fmt: skip
    folder = SUMS["image"]
    (dest / folder).mkdir()
    info = _write_levels(dest / folder, sums.image, summed, threads, None)
    beside = [Entry(f"{folder}/{entry.path}", entry.size, entry.sha256) for entry in info.manifest.entries]
    beside += write_sum_spectrum(dest, sums.spectrum)
    return finish_store(dest, dtype, described, levels, entries, beside)


def finish_store(
    dest: Path,
    dtype: np.dtype[Any],
    described: Description,
    levels: tuple[Level, ...],
    entries: Sequence[Entry],
    beside: Sequence[Entry] = (),
) -> StoreInfo:
    """Write the group's metadata, add all metadata to the entries, and count that no file is missing.

    ``beside`` are the entries of files that belong to no level.
    """
    write_group(dest, levels, described)
    expected = sum(math.prod(level.grid) for level in levels)
    if len(entries) != expected:
        raise RuntimeError(f"{len(entries)} chunk files were written, the levels need {expected}")
    metadata = [entry_of(dest, path) for path in ("zarr.json", *(f"{level.path}/zarr.json" for level in levels))]
    return StoreInfo(dest, dtype, described, levels, Manifest.of([*entries, *metadata, *beside]))
