"""Levels of a store made side by side from one pass over the source.

Each slab is handed to a few threads that cut, compress, hash and write it, while the next coarser level is made from it
and the next slab is read.  A level holds at most one slab of its own, so memory depends on the size of a plane, not on
the number of planes; slabs beyond ``SPILL_BYTES`` lie in an unlinked file beside the store, not in private memory.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.manifest import Entry
from analyses.sdk.omezarr_encode import FileEncoder
from analyses.sdk.omezarr_layout import Level, steps
from analyses.sdk.pyramid import Method, check_dtype, halved_shape, reduce_strips
from analyses.sdk.values import LazyArray

Array = npt.NDArray[Any]
Group = tuple[int | None, slice]
Progress = Callable[[float], None]

PIECE_BYTES = 16 << 20
DOUBLE_BUFFER_BYTES = 64 << 20
SPILL_BYTES = 256 << 20
MAX_THREADS = 8


def default_threads() -> int:
    """Processors this process may use, at most ``MAX_THREADS``."""
    return min(MAX_THREADS, len(os.sched_getaffinity(0)))


def run_cascade(
    source: LazyArray,
    levels: Sequence[Level],
    encoders: Sequence[FileEncoder | None],
    method: Method,
    scratch: Path,
    threads: int | None,
    progress: Progress | None,
) -> list[Entry]:
    """Read all slabs of ``source`` and write the files of each level that has an encoder."""
    with ThreadPoolExecutor(threads or default_threads(), thread_name_prefix="omezarr") as pool:
        cascade = _Cascade(pool, check_dtype(source.dtype), levels, encoders, method, scratch)
        try:
            total = len(cascade.groups) * cascade.slabs
            for done, (group, start) in enumerate(product(cascade.groups, range(cascade.slabs)), 1):
                cascade.feed(source, group, start)
                if progress is not None:
                    progress(done / total)
            return cascade.entries()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@dataclass
class _Sink:
    """One level while it is written: a slab that fills up, and the files being made from it."""

    level: Level
    encoder: FileEncoder | None
    thickness: int
    buffer: Array
    filled: int = 0
    start: int = 0
    pending: list[Future[Entry]] = field(default_factory=list)


class _Cascade:
    """Slabs go in at level 0; each level passes on to the next what it has reduced.

    Arrays inside have axes ``(channel, z, y, x)``; ``axis`` is the one that slabs are cut along.
    """

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        dtype: np.dtype[Any],
        levels: Sequence[Level],
        encoders: Sequence[FileEncoder | None],
        method: Method,
        scratch: Path,
    ) -> None:
        self.pool, self.method, self.scratch = pool, method, scratch
        self.lead = len(levels[0].shape) - 3
        self.steps = steps(levels)
        self.axis = 1 if levels[0].shape[self.lead] > 1 else 2
        self.dtype = dtype
        self._done: list[Entry] = []
        thickness = self._thickness(levels, stored=encoders[0] is None)
        self.slabs = -(-levels[0].shape[self._store_axis] // thickness[0])
        self.groups = self._groups(levels[0], thickness[0])
        self.sinks = self._sinks(levels, encoders, thickness)
        self._spare = self._second_buffer()

    @property
    def _store_axis(self) -> int:
        return self.lead + self.axis - 1

    def _thickness(self, levels: Sequence[Level], *, stored: bool) -> list[int]:
        """Slab thickness of each level: whole files, and whole pieces as they arrive from the level before.

        A level 0 that is already stored may have chunks of any size; it is read as suits the level after it.
        """
        found: list[int] = []
        for level in levels:
            files = level.file_shape[self._store_axis]
            if stored and not found:
                files = 2 * levels[1].file_shape[self._store_axis]
            arriving = -(-found[-1] // 2) if found else files + files % 2
            found.append(min(max(files, arriving), level.shape[self._store_axis]))
        return found

    def _groups(self, level: Level, thickness: int) -> list[Group]:
        """Time points and ranges of channels that are read together (interleaved colours are decoded once)."""
        times: list[int | None] = [None]
        channels = 1
        if self.lead == 2:
            times, channels = list(range(level.shape[0])), level.shape[1]
        elif self.lead == 1:
            channels = level.shape[0]
        plane = self.dtype.itemsize * math.prod(level.shape[self.lead :]) // level.shape[self._store_axis] * thickness
        together = max(1, min(channels, DOUBLE_BUFFER_BYTES // plane))
        ranges = [slice(c, min(c + together, channels)) for c in range(0, channels, together)]
        return list(product(times, ranges))

    def _sinks(
        self, levels: Sequence[Level], encoders: Sequence[FileEncoder | None], thickness: Sequence[int]
    ) -> list[_Sink]:
        width = max(group.stop - group.start for _, group in self.groups)
        shapes = []
        for level, thick in zip(levels, thickness, strict=True):
            shape = [width, *level.shape[self.lead :]]
            shape[self.axis] = thick
            shapes.append(tuple(shape))
        spill = sum(math.prod(shape) for shape in shapes) * self.dtype.itemsize > SPILL_BYTES
        buffers = [self._allocate(shape, spill) for shape in shapes]
        return [_Sink(*parts) for parts in zip(levels, encoders, thickness, buffers, strict=True)]

    def _allocate(self, shape: tuple[int, ...], spill: bool) -> Array:
        if not spill:
            return np.empty(shape, self.dtype)
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            return np.memmap(file, self.dtype, "w+", shape=shape)

    def _second_buffer(self) -> Array | None:
        """Room to read the next slab while this one is compressed, if slabs are small."""
        first = self.sinks[0].buffer
        return np.empty_like(first) if first.nbytes <= DOUBLE_BUFFER_BYTES else None

    def feed(self, source: LazyArray, group: Group, number: int) -> None:
        """Read slab ``number`` of a group and pass it down the levels."""
        sink = self.sinks[0]
        waiting: list[Future[Entry]] = []
        if self._spare is None:
            self._wait(sink.pending)
        else:
            sink.buffer, self._spare = self._spare, sink.buffer
            waiting, sink.pending = sink.pending, []
        sink.start = number * sink.thickness
        sink.filled = min(sink.thickness, sink.level.shape[self._store_axis] - sink.start)
        self._read(source, group, sink)
        self._wait(waiting)
        self._flush(0, group)

    def _read(self, source: LazyArray, group: Group, sink: _Sink) -> None:
        time, channels = group
        lead: tuple[Any, ...] = (channels,) if self.lead else ()
        lead = lead if time is None else (time, *lead)
        for low, high in self._pieces(source, sink):
            spatial = [slice(None)] * 3
            spatial[self.axis - 1] = slice(sink.start + low, sink.start + high)
            piece = source[(*lead, *spatial)]
            target = self._part(sink.buffer, channels, low, high)
            np.copyto(target, piece if self.lead else piece[np.newaxis], casting="equiv")

    def _pieces(self, source: LazyArray, sink: _Sink) -> Iterator[tuple[int, int]]:
        """Ranges along the slab, small in bytes but never thinner than what the source decodes at once."""
        unit = 1
        if chunks := getattr(source, "chunks", None):
            unit = max(1, min(int(chunks[self._store_axis]), sink.filled))
        each = max(1, sink.buffer[:, :1].nbytes if self.axis == 1 else sink.buffer[:, :, :1].nbytes)
        step = max(unit, PIECE_BYTES // each // unit * unit)
        for low in range(0, sink.filled, step):
            yield low, min(low + step, sink.filled)

    def _part(self, buffer: Array, channels: slice, low: int, high: int) -> Array:
        index: list[slice] = [slice(channels.stop - channels.start), slice(None), slice(None), slice(None)]
        index[self.axis] = slice(low, high)
        return buffer[tuple(index)]

    def _flush(self, k: int, group: Group) -> None:
        """Write the slab of level ``k``, and reduce it into the slab of the level after."""
        sink = self.sinks[k]
        slab = self._part(sink.buffer, group[1], 0, sink.filled)
        if sink.encoder is not None:
            sink.pending += self._submit(sink, sink.encoder, slab, group)
        if k + 1 < len(self.sinks):
            self._reduce(k + 1, slab, group)

    def _reduce(self, k: int, slab: Array, group: Group) -> None:
        sink, step = self.sinks[k], (1, *self.steps[k - 1][self.lead :])
        if sink.filled == 0:
            self._wait(sink.pending)
        low = sink.filled
        high = low + halved_shape(slab.shape, step)[self.axis]
        reduce_strips(slab, step, self.method, self._part(sink.buffer, group[1], low, high))
        sink.filled = high
        at_end = sink.start + high == sink.level.shape[self._store_axis]
        if high == sink.thickness or at_end:
            self._flush(k, group)
            sink.start = 0 if at_end else sink.start + high
            sink.filled = 0

    def _submit(self, sink: _Sink, encoder: FileEncoder, slab: Array, group: Group) -> list[Future[Entry]]:
        """One task for each stored file of a slab."""
        time, channels = group
        files = sink.level.file_shape[self.lead :]
        origin = [0, 0, 0]
        origin[self.axis - 1] = sink.start
        futures = []
        for c, *corner in product(range(slab.shape[0]), *map(range, [0] * 3, slab.shape[1:], files)):
            part: tuple[Any, ...] = (c, *(slice(low, low + n) for low, n in zip(corner, files, strict=True)))
            block = slab[part]
            place = tuple((o + low) // n for o, low, n in zip(origin, corner, files, strict=True))
            lead = ((time,) if time is not None else ()) + ((channels.start + c,) if self.lead else ())
            futures.append(self.pool.submit(encoder.write, (*lead, *place), block[(np.newaxis,) * self.lead]))
        return futures

    def _wait(self, pending: list[Future[Entry]]) -> None:
        while pending:
            self._done.append(pending.pop().result())

    def entries(self) -> list[Entry]:
        """Wait for all files and return their entries."""
        for sink in self.sinks:
            self._wait(sink.pending)
        return self._done
