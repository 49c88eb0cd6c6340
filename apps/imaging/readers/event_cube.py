"""Spectrum images that are kept as a list of events, and counted where they are looked at.

The events are sorted by pixel once and kept as they are (two bytes each), so that a cube of gigabytes costs the memory
of its counts.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.imaging.readers.base import Box
from apps.imaging.readers.errors import MetadataError, TooLargeError

Array = npt.NDArray[Any]
_ROW_SAMPLES = 1 << 22


class EventCube(ABC):
    """Counts ``(e, z, y, x)`` of events of which each has a pixel and a channel.

    Parameters
    ----------
    name
        The file, for messages.
    shape
        Channels, rows, columns.
    dtype
        Unsigned type of the counts.
    most_bytes
        Bound on the memory that the events may take.
    """

    def __init__(self, name: str, shape: tuple[int, int, int], dtype: npt.DTypeLike, most_bytes: int) -> None:
        self._name, self._dtype, self._most_bytes = name, np.dtype(dtype), most_bytes
        self._shape = (shape[0], 1, shape[1], shape[2])
        self._lock = threading.Lock()
        self._sorted: tuple[Array, Array] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, 1, rows, columns."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the counts."""
        return self._dtype

    @abstractmethod
    def _located(self) -> Iterator[tuple[Array, Array]]:
        """Pixel (row by row) and channel of the events, run by run."""

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self._shape)
        (e0, e1), _, (y0, y1), (x0, x1) = box.ranges
        result = np.zeros(box.shape, self.dtype)
        if result.size:
            events, starts = self._events()
            step = max(1, _ROW_SAMPLES // ((e1 - e0) * (x1 - x0)))
            for top in range(y0, y1, step):
                bottom = min(y1, top + step)
                block = self._count(events, starts, (e0, e1), (top, bottom), (x0, x1))
                result[:, 0, top - y0 : bottom - y0] = block
        return box.drop(result)

    def _count(self, events: Array, starts: Array, e: tuple[int, int], y: tuple[int, int], x: tuple[int, int]) -> Array:
        """Histogram of one block, shape (e, y, x)."""
        columns = self._shape[3]
        shape = (e[1] - e[0], y[1] - y[0], x[1] - x[0])
        first, last = y[0] * columns, y[1] * columns
        found = events[starts[first] : starts[last]]
        pixel = np.repeat(np.arange(last - first), np.diff(starts[first : last + 1]))
        column = pixel % columns
        kept = (found >= e[0]) & (found < e[1]) & (column >= x[0]) & (column < x[1])
        place = (found[kept].astype(np.int64) - e[0]) * (shape[1] * shape[2])
        place += (pixel[kept] // columns) * shape[2] + (column[kept] - x[0])
        counted = np.bincount(place, minlength=shape[0] * shape[1] * shape[2])
        if counted.max() > np.iinfo(self.dtype).max:
            raise MetadataError(f"{self._name} has {counted.max()} counts in one channel of one pixel: too many")
        return counted.reshape(shape)

    def _events(self) -> tuple[Array, Array]:
        """Channels of all events, sorted by pixel, and where each pixel starts."""
        with self._lock:
            if self._sorted is None:
                self._sorted = self._sort()
            return self._sorted

    def _sort(self) -> tuple[Array, Array]:
        pixels = self._shape[2] * self._shape[3]
        counts = np.zeros(pixels + 1, np.int64)
        for pixel, channel in self._located():
            if channel.size and channel.max() >= self._shape[0]:
                raise MetadataError(f"{self._name} has an event in channel {channel.max()} of {self._shape[0]}")
            counts[1:] += np.bincount(pixel, minlength=pixels)
        starts = np.cumsum(counts)
        if 2 * starts[-1] > self._most_bytes:
            raise TooLargeError(f"{self._name} has {starts[-1]} X-ray events; they do not fit in memory")
        events, filled = np.empty(starts[-1], np.uint16), starts[:-1].copy()
        for pixel, channel in self._located():
            order = np.argsort(pixel, kind="stable")
            pixel, channel = pixel[order], channel[order]
            present, first, number = np.unique(pixel, return_index=True, return_counts=True)
            rank = np.arange(len(pixel)) - np.repeat(first, number)
            events[filled[pixel] + rank] = channel
            filled[present] += number
        return events, starts
