"""Tiles of a volume, the statistics of a property over them, and whether the volume represents its material."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Matrix = npt.NDArray[np.float64]
MIN_TILES = 4
_LEVEL = 0.95


@dataclass(frozen=True)
class SizeStatistics:
    """Statistics of one quantity over the tiles of one size; ``size`` is the tile's edge in voxels."""

    size: int
    count: int
    mean: float
    spread: float
    range: float

    @property
    def relative_range(self) -> float:
        """Largest minus smallest value over the absolute mean; 0 where nothing varies."""
        return self.range / abs(self.mean) if self.mean else 0.0

    @property
    def relative(self) -> float:
        """Standard deviation over the absolute mean; 0 where nothing varies."""
        return self.spread / abs(self.mean) if self.mean else (0.0 if self.spread == 0 else float("inf"))

    @property
    def half_width(self) -> float:
        """Half of the 95% interval of the mean (Student's t)."""
        return float(stats.t.ppf(0.5 + _LEVEL / 2, self.count - 1)) * self.spread / float(np.sqrt(self.count))


@dataclass(frozen=True)
class Judgement:
    """What the tiles say about one quantity of the whole volume.

    ``relative_error``: two-sided 95% relative error expected of the whole volume, with the sampling error of the
    spread; ``size`` and ``relative_spread``: the tiles it stems from, their edge in voxels and standard deviation over
    mean; ``exponent``: how the spread falls, spread ~ volume^-exponent; ``drift``: relative change of the mean between
    the two largest sizes beyond what their intervals allow.
    """

    quantity: str
    size: int
    relative_spread: float
    relative_error: float
    exponent: float
    drift: float


def tile_starts(shape: Sequence[int], size: int, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """First voxels of at most ``count`` cubic tiles that do not overlap, drawn from a centred grid without
    replacement.
    """
    axes = []
    for length in shape:
        number = length // size
        offset = (length - number * size) // 2
        axes.append([offset + i * size for i in range(number)])
    grid = list(itertools.product(*axes))
    if len(grid) <= count:
        return grid
    return [grid[i] for i in sorted(rng.permutation(len(grid))[:count])]


def statistics(size: int, values: npt.ArrayLike) -> SizeStatistics:
    """Mean, standard deviation (n - 1) and range of one value per tile."""
    array = np.asarray(values, np.float64)
    return SizeStatistics(size, array.size, float(array.mean()), float(array.std(ddof=1)), float(np.ptp(array)))


def judge(quantity: str, by_size: Sequence[SizeStatistics], shape: Sequence[int]) -> Judgement:
    """Extrapolate the spread from tiles to the whole volume.

    The variance of a volume average falls as 1 / volume once volumes are large against the range of correlation
    (integral range; Kanit et al. 2003), slower before.  The exponent is fitted to the sizes, each weighted by its
    tiles, and held between 0 and 1/2: nothing is gained from a fit that falls faster than independent samples do.
    The relative error is 1.96 standard deviations of the whole volume over the mean, with the one-sided 95% upper
    limit of the standard deviation (chi-square) in place of its estimate.

    The largest tiles alone can deceive: eight octants of a symmetric volume are equal, whatever is in it.  So every
    size has a say with the exponent 1/2, the best that tiles of that size allow, and the worst of all counts.
    """
    largest = by_size[-1]
    shares = [float(entry.size) ** len(shape) / float(np.prod(shape, dtype=np.float64)) for entry in by_size]
    exponent = _exponent(by_size, len(shape))
    candidates = [(_whole_error(largest, shares[-1], exponent), largest)]
    candidates += [(_whole_error(entry, share, 0.5), entry) for entry, share in zip(by_size, shares, strict=True)]
    error, decisive = max(candidates, key=lambda candidate: candidate[0])
    drift = 0.0
    if len(by_size) > 1 and largest.mean:
        change = abs(largest.mean - by_size[-2].mean)
        drift = max(0.0, change - largest.half_width - by_size[-2].half_width) / abs(largest.mean)
    return Judgement(quantity, decisive.size, decisive.relative, error, exponent, drift)


def whole_half_width(by_size: Sequence[SizeStatistics], shape: Sequence[int]) -> float:
    """95% half-width expected of the whole volume, in the unit of the quantity: ``judge``'s error without its mean.

    It holds for quantities that are about zero as well, such as off-diagonal entries.
    """
    dimension = len(shape)
    shares = [float(entry.size) ** dimension / float(np.prod(shape, dtype=np.float64)) for entry in by_size]
    usable = [entry for entry in by_size if entry.spread > 0]
    exponent = _fit(usable, [entry.spread for entry in usable], dimension)
    widths = [entry.spread * _upper(entry) * share**0.5 for entry, share in zip(by_size, shares, strict=True)]
    widths.append(by_size[-1].spread * _upper(by_size[-1]) * shares[-1] ** exponent)
    return float(1.96 * max(widths))


def _upper(entry: SizeStatistics) -> float:
    """One-sided 95% upper limit of a standard deviation relative to its estimate (chi-square)."""
    degrees = entry.count - 1
    return float(np.sqrt(degrees / stats.chi2.ppf(1 - _LEVEL, degrees)))


def _whole_error(entry: SizeStatistics, share: float, exponent: float) -> float:
    """95% relative error of the whole volume, of which one tile is ``share``, if the spread falls with ``exponent``."""
    return float(1.96 * entry.relative * _upper(entry) * share**exponent)


def _exponent(by_size: Sequence[SizeStatistics], dimension: int) -> float:
    usable = [entry for entry in by_size if entry.spread > 0]
    return _fit(usable, [entry.relative for entry in usable], dimension)


def _fit(usable: Sequence[SizeStatistics], spreads: Sequence[float], dimension: int) -> float:
    """Exponent of spread ~ volume^-exponent, held between 0 and 1/2; 1/2 where one size says nothing about it."""
    if len(usable) < 2:
        return 0.5
    volumes = np.log([float(entry.size) ** dimension for entry in usable])
    weights = np.sqrt([entry.count - 1.0 for entry in usable])
    slope = np.polyfit(volumes, np.log(spreads), 1, w=weights)[0]
    return float(np.clip(-slope, 0.0, 0.5))
