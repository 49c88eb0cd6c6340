"""Global grey-value histograms read by slabs, and the thresholds that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.volumes import Volume, slabs

FINE_BINS = 65536
_COARSE_BINS = 512


@dataclass(frozen=True)
class Histogram:
    """Counts of equally spaced grey values.

    ``values[i]`` is the grey value that bin i stands for: the value itself for 8 and 16 bit integers (exact), the upper
    edge of the bin for everything else.  ``step`` is the distance of two values: one grey step.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    step: float
    exact: bool

    def quantile(self, share: float) -> float:
        """Grey value at or below which ``share`` of the samples lie."""
        cumulated = np.cumsum(self.counts)
        return float(self.values[int(np.searchsorted(cumulated, share * cumulated[-1]))])

    @property
    def sensitivity_step(self) -> float:
        """Shift of a threshold that no observer would notice: 1/256 of the range of grey values, at least one step.

        The range is that of the middle 99% of the samples, so that hot pixels do not stretch it.  A step of 16 bit or
        float samples would be so fine that nothing depended on it.
        """
        return max(self.step, (self.quantile(0.995) - self.quantile(0.005)) / 256.0)


class NotFiniteError(ValueError):
    """The image holds NaN or infinite samples; ``count`` of them."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} samples are not finite")
        self.count = count


def histogram(volume: Volume) -> Histogram:
    """Histogram of all samples of a volume, never holding more than a slab.

    Integers of up to 16 bits are counted exactly in one pass.  Wider integers and floats take two passes: one for the
    range, one that counts in 65,536 equal bins, so that a grey step is 1/65536 of the range.

    Raises
    ------
    NotFiniteError
        If a float image holds NaN or infinities.
    """
    if volume.dtype.kind in "uib" and volume.dtype.itemsize <= 2:
        return _exact(volume)
    return _fine(volume)


def _exact(volume: Volume) -> Histogram:
    is_bool = volume.dtype.kind == "b"
    info = np.iinfo(np.uint8 if is_bool else volume.dtype)
    low, high = int(info.min), int(info.max)
    counts = np.zeros(high - low + 1, np.int64)
    for start, stop in slabs(volume.shape, volume.dtype.itemsize):
        block = volume.read(start, stop).ravel()
        shifted = block if low == 0 else block.astype(np.int32) - low
        counts += np.bincount(shifted, minlength=counts.size)
    return Histogram(np.arange(low, high + 1, dtype=np.float64), counts, 1.0, exact=True)


def _fine(volume: Volume) -> Histogram:
    low, high, broken = np.inf, -np.inf, 0
    for start, stop in slabs(volume.shape, volume.dtype.itemsize):
        block = volume.read(start, stop)
        broken += int(block.size - np.count_nonzero(np.isfinite(block)))
        if not broken:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    if broken:
        raise NotFiniteError(broken)
    if high <= low:
        return Histogram(np.array([low]), np.array([int(np.prod(volume.shape))]), 0.0, exact=True)
    edges = np.linspace(low, high, FINE_BINS + 1)
    counts = np.zeros(FINE_BINS, np.int64)
    for start, stop in slabs(volume.shape, volume.dtype.itemsize):
        counts += np.histogram(volume.read(start, stop), bins=FINE_BINS, range=(low, high))[0]
    return Histogram(edges[1:], counts, (high - low) / FINE_BINS, exact=False)


def otsu(hist: Histogram, classes: int) -> list[float]:
    """Thresholds that maximise the between-class variance of ``classes`` classes (Otsu 1979; Liao et al. 2001).

    A sample is in the brighter class if its value is **greater** than the threshold.  Two classes: the exact maximum
    over all grey values.  More: the exact maximum over at most 512 merged bins by dynamic programming, then each
    threshold in turn is moved to its exact best at full resolution until none moves.

    Raises
    ------
    ValueError
        If the image has fewer distinct grey values than ``classes``.
    """
    occupied = np.flatnonzero(hist.counts)
    if occupied.size < classes:
        raise ValueError(f"{occupied.size} distinct grey values do not make {classes} classes")
    values, counts = hist.values[occupied], hist.counts[occupied].astype(np.float64)
    shifted = (values - values[0]) / (values[-1] - values[0])
    weight = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * shifted)])
    cuts = _coarse_cuts(weight, moment, classes)
    cuts = _refine(cuts, weight, moment)
    return [float(values[cut - 1]) for cut in cuts]


def _gain(weight: Any, moment: Any, low: Any, high: Any) -> Any:
    """Part of the between-class variance that bins ``low`` to ``high`` (exclusive) contribute: moment^2 / weight."""
    total = weight[high] - weight[low]
    return np.where(total > 0, (moment[high] - moment[low]) ** 2 / np.where(total > 0, total, 1.0), -np.inf)


def _coarse_cuts(weight: npt.NDArray[np.float64], moment: npt.NDArray[np.float64], classes: int) -> list[int]:
    size = weight.size - 1
    if classes == 2:
        grid = np.arange(size + 1)
        inner = grid[1:-1]
        return [int(inner[np.argmax(_gain(weight, moment, 0, inner) + _gain(weight, moment, inner, size))])]
    grid = np.unique(np.linspace(0, size, min(size, _COARSE_BINS) + 1).round().astype(int))
    low, high = np.meshgrid(grid, grid, indexing="ij")
    gain = np.where(high > low, _gain(weight, moment, low, np.maximum(high, low)), -np.inf)
    best, back = gain[0], []
    for _ in range(classes - 1):
        candidates = best[:, None] + gain
        back.append(np.argmax(candidates, axis=0))
        best = np.max(candidates, axis=0)
    cuts, position = [], grid.size - 1
    for choice in reversed(back):
        position = int(choice[position])
        cuts.append(int(grid[position]))
    return cuts[::-1]


def _refine(cuts: list[int], weight: npt.NDArray[np.float64], moment: npt.NDArray[np.float64]) -> list[int]:
    bounds = [0, *cuts, weight.size - 1]
    for _ in range(100):
        before = list(bounds)
        for i in range(1, len(bounds) - 1):
            inner = np.arange(bounds[i - 1] + 1, bounds[i + 1])
            score = _gain(weight, moment, bounds[i - 1], inner) + _gain(weight, moment, inner, bounds[i + 1])
            bounds[i] = int(inner[np.argmax(score)])
        if bounds == before:
            break
    return bounds[1:-1]
