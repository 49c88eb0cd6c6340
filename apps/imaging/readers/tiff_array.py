"""The samples of a TIFF as lazy arrays: only the strips or tiles that an index touches are read and decoded."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from apps.imaging.readers.base import Box, stored_dtype
from apps.imaging.readers.errors import MetadataError, ReaderError, TruncatedFileError, UnsupportedFormatError

Array = npt.NDArray[Any]
Range = tuple[int, int]
Segment = tuple[Array, tuple[int, int, int]]
# What tifffile and the codecs behind it raise for bytes that do not decode.
DECODE_ERRORS = (
    tifffile.TiffFileError,
    imagecodecs.DelayedImportError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_THREADS = min(4, len(os.sched_getaffinity(0)))
_SEGMENTS_PER_TASK = 4
_PAGES_KEPT = 8


class TiffSource:
    """An open TIFF shared by the arrays of its images; closed when the last of them is gone."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        # Other files that an OME header names are not opened: a path in an uploaded file is not to be followed.
        self.tiff = tifffile.TiffFile(path, _multifile=False)
        self.size = path.stat().st_size
        self._handle = os.open(path, os.O_RDONLY)
        self._lock = threading.Lock()
        self._pages: dict[int, Any] = {}
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="tiff") if _THREADS > 1 else None
        weakref.finalize(self, _close, self.tiff, self._handle, self.pool)

    def page(self, number: int) -> Any:
        """Page by number; tifffile's list of pages is not safe to use from several threads at once."""
        with self._lock:
            if number not in self._pages:
                if len(self._pages) >= _PAGES_KEPT:
                    self._pages.pop(next(iter(self._pages)))
                self._pages[number] = self.tiff.pages[number]
            return self._pages[number]

    def read(self, offset: int, count: int) -> bytes:
        """Bytes of the file, all of them."""
        data = os.pread(self._handle, count, offset)
        if len(data) != count:
            raise TruncatedFileError(
                f"{self.name} has {self.size} bytes; data at {offset} need {count}, {len(data)} are there",
                offset=offset,
                size=self.size,
            )
        return data

    def read_into(self, offset: int, target: Array) -> None:
        """Fill a C-contiguous array from the file."""
        view, done = target.data.cast("B"), 0
        while done < len(view):
            count = os.preadv(self._handle, [view[done:]], offset + done)
            if not count:
                raise TruncatedFileError(f"{self.name} ends at {offset + done}, inside its samples", size=self.size)
            done += count


def _close(tiff: tifffile.TiffFile, handle: int, pool: ThreadPoolExecutor | None) -> None:
    tiff.close()
    os.close(handle)
    if pool is not None:
        pool.shutdown(wait=False)


class PagedArray:
    """Pages of one shape as an array ``(t?, c?, z, y, x)``.

    Parameters
    ----------
    source
        The open file.
    pages
        Page numbers, shape ``(t, c, z)``.
    samples
        Samples per pixel; they are further channels, after those that are pages: ``c = c_page * samples + s``.
    axes
        Axes of the array; ``t`` and ``c`` are left out where the image has only one.
    """

    def __init__(self, source: TiffSource, pages: npt.NDArray[np.int64], samples: int, axes: Sequence[str]) -> None:
        self._source, self._pages, self._samples, self.axes = source, pages, samples, tuple(axes)
        self._first = source.page(int(pages.flat[0]))
        times, channels, depth = pages.shape
        sizes = {
            "t": times,
            "c": channels * samples,
            "z": depth,
            "y": self._first.imagelength,
            "x": self._first.imagewidth,
        }
        self._full = tuple(sizes.values())
        self._shape = tuple(sizes[axis] for axis in self.axes)
        self._dtype = stored_dtype(self._first.dtype, source.name)
        # A strip that reaches beyond the rows asked for is decoded once, not once for every read.
        self._last: tuple[tuple[int, int], Segment] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are given in."""
        return self._dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Samples that are decoded together: one strip or tile of one page."""
        first = self._first
        rows, columns = (
            (first.tilelength, first.tilewidth) if first.is_tiled else (first.rowsperstrip, first.imagewidth)
        )
        return (1,) * (len(self._shape) - 2) + (max(1, min(rows, self._full[3])), max(1, min(columns, self._full[4])))

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self._shape)
        ranges = dict(zip(self.axes, box.ranges, strict=True))
        t, c, z, y, x = (ranges.get(axis, (0, 1)) for axis in "tczyx")
        result = np.empty([high - low for low, high in (t, c, z, y, x)], self._dtype)
        for at, page_c, level in product(range(*t), range(c[0] // self._samples, -(-c[1] // self._samples)), range(*z)):
            low, high = max(c[0], page_c * self._samples), min(c[1], (page_c + 1) * self._samples)
            target = result[at - t[0], low - c[0] : high - c[0], level - z[0]]
            offset = page_c * self._samples
            self._read_page(int(self._pages[at, page_c, level]), target, (low - offset, high - offset), y, x)
        return box.drop(result.reshape(box.shape))

    def _read_page(self, number: int, target: Array, samples: Range, y: Range, x: Range) -> None:
        """Fill ``target`` (sample, y, x) from one page."""
        try:
            page = self._source.page(number)
            if not self._read_plain(page, target, y, x):
                self._read_segments(number, page, target, samples, y, x)
        except ReaderError:
            raise
        except DECODE_ERRORS as error:
            raise MetadataError(
                f"{self._source.name}: page {number} does not decode: {type(error).__name__} {error}"[:500], page=number
            ) from error

    def _read_plain(self, page: Any, target: Array, y: Range, x: Range) -> bool:
        """Whole rows of an uncompressed page with one sample a pixel go from the file to the array in one read."""
        first = self._first
        whole = x == (0, self._full[4]) and target.flags.c_contiguous and self._samples == 1
        order = self._source.tiff.byteorder
        stored = first.dtype.newbyteorder(order)
        if not (whole and page.is_contiguous and first.bitspersample == 8 * stored.itemsize and first.fillorder == 1):
            return False
        if stored != self._dtype or first.predictor != 1 or first.imagedepth != 1:
            return False
        self._source.read_into(page.dataoffsets[0] + y[0] * self._full[4] * stored.itemsize, target)
        return True

    def _read_segments(self, number: int, page: Any, target: Array, samples: Range, y: Range, x: Range) -> None:
        indices = self._touched(y, x)

        def run(some: Sequence[int]) -> None:
            for index in some:
                self._place(self._segment(number, page, index), target, samples, y, x)

        if self._source.pool is None or len(indices) <= _SEGMENTS_PER_TASK:
            run(indices)
            return
        tasks = [indices[i : i + _SEGMENTS_PER_TASK] for i in range(0, len(indices), _SEGMENTS_PER_TASK)]
        for done in [self._source.pool.submit(run, task) for task in tasks]:
            done.result()

    def _touched(self, y: Range, x: Range) -> list[int]:
        """Numbers of the strips or tiles that a region needs, in every plane of samples."""
        first = self._first
        if first.imagedepth != 1:
            raise UnsupportedFormatError(f"{self._source.name} has pages with a depth of their own")
        height, width = self.chunks[-2:]
        if first.is_tiled:
            height, width = first.tilelength, first.tilewidth
        across, down = -(-self._full[4] // width), -(-self._full[3] // height)
        planes = first.samplesperpixel if first.planarconfig == 2 else 1
        rows, columns = range(y[0] // height, -(-y[1] // height)), range(x[0] // width, -(-x[1] // width))
        return [(p * down + r) * across + c for p, r, c in product(range(planes), rows, columns)]

    def _segment(self, number: int, page: Any, index: int) -> Segment:
        """One decoded strip or tile ``(y, x, sample)`` with its plane, row and column."""
        last = self._last
        if last is not None and last[0] == (number, index):
            return last[1]
        keyframe = page.keyframe
        extra = {"jpegtables": page.jpegtables, "jpegheader": keyframe.jpegheader} if _is_jpeg(keyframe) else {}
        encoded = self._source.read(page.dataoffsets[index], page.databytecounts[index])
        data, place, _ = keyframe.decode(encoded, index, **extra)
        if data is None:
            raise UnsupportedFormatError(
                f"{self._source.name} leaves out strips or tiles; missing samples are not made up"
            )
        segment = data[0], (place[0], place[2], place[3])
        self._last = (number, index), segment
        return segment

    def _place(self, segment: Segment, target: Array, samples: Range, y: Range, x: Range) -> None:
        """Copy the part of a segment that lies in the region."""
        data, (plane, row, column) = segment
        low_y, high_y = max(y[0], row), min(y[1], row + data.shape[0])
        low_x, high_x = max(x[0], column), min(x[1], column + data.shape[1])
        part = data[low_y - row : high_y - row, low_x - column : high_x - column]
        where = target[:, low_y - y[0] : high_y - y[0], low_x - x[0] : high_x - x[0]]
        if self._first.planarconfig == 2 and self._samples > 1:
            if samples[0] <= plane < samples[1]:
                where[plane - samples[0]] = part[..., 0]
        else:
            where[...] = np.moveaxis(part[..., samples[0] : samples[1]], -1, 0)


def _is_jpeg(page: Any) -> bool:
    return int(page.compression) in {6, 7, 33007, 34892}


class RawArray:
    """Samples that lie uncompressed in one piece of the file, in any order of axes.

    Parameters
    ----------
    offset
        Where they start.
    stored
        Their type as stored, with byte order.
    shape, order
        Their shape as stored, and for each axis of the result (as in ``axes``) the stored axes that make it up.
    """

    def __init__(
        self,
        source: TiffSource,
        path: Path,
        offset: int,
        stored: np.dtype[Any],
        shape: Sequence[int],
        order: Sequence[tuple[int, ...]],
        axes: Sequence[str],
    ) -> None:
        self._source, self._path, self._offset, self._stored = source, path, offset, stored
        self._file_shape, self._order, self.axes = tuple(shape), tuple(order), tuple(axes)
        self._dtype = stored_dtype(stored, source.name)
        self._shape = tuple(math.prod(shape[axis] for axis in group) for group in order)
        need = offset + math.prod(shape) * stored.itemsize
        if need > source.size:
            raise TruncatedFileError(
                f"{source.name} has {source.size} bytes; its samples {tuple(shape)} end at {need}",
                size=source.size,
                needed=need,
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are given in."""
        return self._dtype

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self._shape)
        if self._in_order and self._stored == self._dtype and (flat := self._run(box)):
            result = np.empty(box.shape, self._dtype)
            self._source.read_into(self._offset + flat * self._stored.itemsize, result)
            return box.drop(result)
        # Mapped anew for each read: pages of the file that were touched are given back at once.
        mapped = np.memmap(self._path, self._stored, "r", self._offset, self._file_shape)
        view = mapped.transpose([axis for group in self._order for axis in group]).reshape(self._shape)
        part = view[tuple(slice(*bounds) for bounds in box.ranges)]
        return box.drop(np.array(part, dtype=self._dtype, order="C"))

    @property
    def _in_order(self) -> bool:
        return [axis for group in self._order for axis in group] == list(range(len(self._file_shape)))

    def _run(self, box: Box) -> int | None:
        """First sample of a box that is one run of the file, or None if it is several."""
        partial = False
        for size, (low, high) in zip(self._shape[::-1], box.ranges[::-1], strict=True):
            if partial and high - low != 1:
                return None
            partial = partial or high - low != size
        return int(np.ravel_multi_index([low for low, _ in box.ranges], self._shape))
