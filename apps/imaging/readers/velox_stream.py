"""The event stream of an EDS detector as Velox keeps it.

A stream is a run of 16-bit numbers: each is the energy channel of one X-ray, and 65535 closes a pixel; pixels follow
row by row, frames follow each other.  The last frame may end early; events after the last frame belong to none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from apps.imaging.readers.event_cube import EventCube
from apps.imaging.readers.hdf5 import Hdf5File, guarded

Array = npt.NDArray[Any]
CLOSES_PIXEL = 65535
_RUN = 1 << 20


class VeloxCube(EventCube):
    """Counts of one or more detectors that scanned the same field, summed over all frames.

    Parameters
    ----------
    streams
        Datasets of the detectors; their counts are added.
    shape
        Energy channels, rows, columns.
    """

    def __init__(self, source: Hdf5File, streams: Sequence[Any], shape: tuple[int, int, int]) -> None:
        for stream in streams:
            source.check(stream)
        super().__init__(source.name, shape, "<u2", source.limits.max_segment_bytes)
        self._source, self._streams = source, tuple(streams)

    def frames(self) -> int:
        """How many times the field was scanned; the last scan may have ended early."""
        return max(self._frames(stream) for stream in self._streams)

    def _frames(self, stream: Any) -> int:
        closed = sum(int((run == CLOSES_PIXEL).sum()) for run in self._runs(stream))
        return -(-closed // (self._shape[2] * self._shape[3]))

    def _located(self) -> Iterator[tuple[Array, Array]]:
        pixels = self._shape[2] * self._shape[3]
        for stream in self._streams:
            closed, end = 0, self._frames(stream) * pixels
            for run in self._runs(stream):
                closes = run == CLOSES_PIXEL
                at = closed + np.cumsum(closes)
                # What follows the last frame is the first pixel of one that was never scanned.
                counts = ~closes & (at < end)
                closed += int(closes.sum())
                yield at[counts] % pixels, run[counts]

    def _runs(self, stream: Any) -> Iterator[Array]:
        for start in range(0, stream.shape[0], _RUN):
            with guarded(self._source.name):
                run = stream[start : start + _RUN]
            yield run.reshape(-1)
