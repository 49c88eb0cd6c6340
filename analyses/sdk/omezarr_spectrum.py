"""The samples of a spectrum image as stored files, with its sums taken on the way.

The cube is read in slabs of whole spectra, a few rows of places thick, each sample once.  While a slab is cut and
compressed, the next one is read; two are held at a time, so that memory does not grow with the number of places.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from analyses.sdk.manifest import Entry, entry_of
from analyses.sdk.omezarr_cascade import SPILL_BYTES, Progress, default_threads
from analyses.sdk.omezarr_encode import FileEncoder
from analyses.sdk.omezarr_layout import SLAB_BYTES, SUMS, Level
from analyses.sdk.pyramid import check_dtype
from analyses.sdk.values import LazyArray

Array = npt.NDArray[Any]
_AHEAD = 2  # slabs in memory


@dataclass(frozen=True)
class Sums:
    """What a pass over a cube leaves beside its files.

    ``image`` has the axes of the cube without ``e`` and holds the sum over all channels at each place; ``spectrum`` is
    the sum over all places (and times) in each channel.
    """

    entries: tuple[Entry, ...]
    image: Array
    spectrum: Array


def sum_dtypes(dtype: np.dtype[Any], channels: int) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """Types in which the sums of a cube are exact: of the sum image, and of the sum spectrum.

    Integers of up to 32 bits have integer sums that cannot overflow; 64-bit integers and floats have double ones, exact
    up to 2**53 counts.
    """
    if dtype.kind == "f" or dtype.itemsize == 8:
        return np.dtype("<f8"), np.dtype("<f8")
    if dtype.kind == "i":
        return np.dtype("<i8"), np.dtype("<i8")
    narrow = np.iinfo(dtype).max * channels <= np.iinfo(np.uint32).max
    return np.dtype("<u4" if narrow else "<u8"), np.dtype("<u8")


def write_cube(
    source: LazyArray, level: Level, encoder: FileEncoder, threads: int | None, progress: Progress | None
) -> Sums:
    """Write the files of a cube ``([t,] e, z, y, x)`` and sum it in both directions."""
    dtype = check_dtype(source.dtype)
    shape = level.shape
    image_type, spectrum_type = sum_dtypes(dtype, shape[-4])
    image = _allocate((*shape[:-4], *shape[-3:]), image_type, encoder.store.parent)
    spectrum = np.zeros(shape[-4], spectrum_type)
    entries: list[Entry] = []
    waiting: list[list[Future[Entry]]] = []
    slabs = list(_slabs(source, level, dtype.itemsize))
    with ThreadPoolExecutor(threads or default_threads(), thread_name_prefix="omezarr") as pool:
        try:
            for done, (lead, z, rows, columns) in enumerate(slabs, 1):
                while len(waiting) >= _AHEAD:
                    entries += [future.result() for future in waiting.pop(0)]
                slab = _read(source[(*lead, slice(None), z, rows, columns)], dtype)
                waiting.append(_submit(pool, encoder, level, slab, (lead, z, rows, columns)))
                place: tuple[Any, ...] = (*lead, z, rows, columns)
                image[place] = slab.sum(axis=0, dtype=image_type)
                spectrum += slab.sum(axis=(1, 2), dtype=spectrum_type)
                if progress is not None:
                    progress(done / len(slabs))
            entries += [future.result() for futures in waiting for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return Sums(tuple(entries), image, spectrum)


Slab = tuple[tuple[int, ...], int, slice, slice]


def _slabs(source: LazyArray, level: Level, itemsize: int) -> Iterator[Slab]:
    """Places that are read together: whole files, and whole chunks of the source where these fit the memory."""
    channels, planes, height, width = level.shape[-4:]
    tall, wide = level.file_shape[-2:]
    column = channels * itemsize
    across = min(width, max(1, SLAB_BYTES // (column * tall * wide)) * wide)
    unit = int(source.chunks[-2]) if getattr(source, "chunks", None) else 1  # type: ignore[attr-defined]
    rows = tall
    while rows < min(unit, height) and 2 * rows * across * column <= 2 * SLAB_BYTES:
        rows *= 2
    for lead in np.ndindex(level.shape[:-4]):
        for z, y, x in product(range(planes), range(0, height, rows), range(0, width, across)):
            yield lead, z, slice(y, min(y + rows, height)), slice(x, min(x + across, width))


def _read(found: Array, dtype: np.dtype[Any]) -> Array:
    if not np.can_cast(found.dtype, dtype, "equiv"):
        raise TypeError(f"the source announced {dtype.name} and gave {found.dtype.name}")
    return found


def _submit(
    pool: ThreadPoolExecutor, encoder: FileEncoder, level: Level, slab: Array, place: Slab
) -> list[Future[Entry]]:
    """One task for each stored file of a slab ``(e, y, x)``."""
    lead, z, rows, columns = place
    deep, _, tall, wide = level.file_shape[-4:]
    futures = []
    for e, y, x in product(*(range(0, n, step) for n, step in zip(slab.shape, (deep, tall, wide), strict=True))):
        block = slab[e : e + deep, np.newaxis, y : y + tall, x : x + wide]
        position = (*lead, e // deep, z, (rows.start + y) // tall, (columns.start + x) // wide)
        futures.append(pool.submit(encoder.write, position, block[(np.newaxis,) * len(lead)]))
    return futures


def _allocate(shape: Sequence[int], dtype: np.dtype[Any], scratch: Path) -> Array:
    if math.prod(shape) * dtype.itemsize <= SPILL_BYTES:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(dir=scratch) as file:
        return np.memmap(file, dtype, "w+", shape=tuple(shape))


def write_sum_spectrum(store: Path, spectrum: Array) -> list[Entry]:
    """Write the sum spectrum as an array of one axis, one chunk, uncompressed; returns the entries of its files."""
    key = SUMS["spectrum"]
    array: zarr.Array[Any] = zarr.create_array(
        str(store / key),
        shape=spectrum.shape,
        dtype=spectrum.dtype,
        chunks=spectrum.shape,
        compressors=None,
        fill_value=0,
        dimension_names=["e"],
        zarr_format=3,
        config={"write_empty_chunks": True},
    )
    array[...] = spectrum
    return [entry_of(store, f"{key}/zarr.json"), entry_of(store, f"{key}/c/0")]


def read_sum_spectrum(store: Path) -> Array:
    """The sum over all places of a stored spectrum image: counts along ``e``; FileNotFoundError where there is none."""
    array = zarr.open_array(str(store / SUMS["spectrum"]), mode="r")
    return np.asarray(array[...])


def sum_image_path(store: Path) -> Path:
    """Folder of the sum image of a stored spectrum image: a store of its own, with axes ``[t,] z, y, x``."""
    return store / SUMS["image"]
