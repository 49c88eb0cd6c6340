"""Where a search begins: rotations tried one by one, the shift of each found by correlation over all shifts at once.

Masked normalised correlation by FFT (Padfield, IEEE Trans. Image Process. 21 (2012) 2706) of grey values, either way
up, and of their gradients' magnitude, on coarse grids of equal spacing.  It only proposes; the metric decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from analyses.registration.grids import Grid, Samples, resampled
from analyses.registration.motion import turn
from analyses.sdk.spatial import Matrix, apply, invert

Vector = npt.NDArray[np.float64]
_LONGEST = {2: 96, 3: 32}
_PEAKS = 2  # kept of every rotation and kind of correlation
_STEP_ALL = 15.0  # degrees: half of it is within reach of the descent that follows
_STEP_NEAR = 5.0


@dataclass(frozen=True)
class Start:
    """A map fixed -> moving, um, and how well it correlates there."""

    matrix: Matrix
    score: float


def turns(dimensions: int, search_deg: float | None, known: bool) -> list[Vector]:
    """Rotations (3, 3) to try: round z, and for volumes of unknown pose each of these after the six ways to lie.

    ``search_deg`` limits those round z; near a known pose volumes are also tilted a little round x and y.
    """
    reach = (10.0 if known else 180.0) if search_deg is None else search_deg
    step = _STEP_NEAR if known or reach <= 45 or search_deg is not None or dimensions == 2 else _STEP_ALL
    count = int(np.floor(reach / step + 1e-9))
    angles = [step * k for k in range(-count, count + 1) if not (k == -count and abs(step * count - 180) < 1e-9)]
    if reach > 0 and count == 0:
        angles = [-reach, 0.0, reach]
    rotations = [turn(2, angle) for angle in angles]
    if dimensions == 2:
        return rotations
    if known:
        tilt = min(reach, 7.5)
        return rotations + [turn(axis, sign * tilt) for axis in (0, 1) for sign in (-1, 1) if tilt > 0]
    if search_deg is not None:
        return rotations
    poses = [turn(0, 180), turn(0, 90), turn(0, -90), turn(1, 90), turn(1, -90)]
    upright = [turn(2, _STEP_NEAR * k) for k in range(int(360 / _STEP_NEAR))]
    return upright + [way @ pose for pose in poses for way in rotations]


def proposals(
    fixed: Grid,
    moving: Grid,
    base: Matrix,
    rotations: Sequence[Vector],
    min_overlap: float,
    check: Callable[[], None] = lambda: None,
) -> list[Start]:
    """Starts for all rotations, best first.

    Parameters
    ----------
    fixed, moving
        Grids of about equal detail.
    base
        4 x 4, fixed -> moving, um: the pose that is turned about the middle of the fixed image, and its shift dropped.
    rotations
        (3, 3) each.
    min_overlap
        Smallest part of the smaller image that must overlap.
    """
    dimensions = fixed.dimensions
    spacing = max(
        max(grid.size_um[:dimensions].max() for grid in (fixed, moving)) / _LONGEST[dimensions],
        *fixed.spacing[:dimensions],
        *moving.spacing[:dimensions],
    )
    still = _Spectrum(_coarse(fixed, np.eye(4), spacing, fixed))
    found: list[Start] = []
    for rotation in rotations:
        check()
        linear = np.eye(4)
        linear[:3, :3] = base[:3, :3] @ rotation
        linear[:3, 3] = moving.centre - linear[:3, :3] @ fixed.centre
        grid = _coarse(moving, linear, spacing, fixed)
        for shift, score in still.peaks(grid, min_overlap):
            step = np.eye(4)
            step[:3, 3] = shift
            found.append(Start(linear @ step, score))
    return sorted(found, key=lambda start: -start.score)


def _coarse(image: Grid, from_frame: Matrix, spacing: float, fixed: Grid) -> Grid:
    """An image on a grid of equal spacing in the frame of the fixed one; NaN where it does not reach."""
    corners = apply(invert(from_frame), image.corners())
    low = corners.min(axis=0)
    sizes = np.maximum(1, np.ceil((corners.max(axis=0) - low) / spacing - 1e-6).astype(int) + 1)
    if fixed.planar:
        low[2], sizes[2] = fixed.origin[2], 1
    sigma = [
        0.0 if n == 1 else 0.4 * spacing / s for n, s in zip(image.samples.shape, image.spacing[::-1], strict=True)
    ]
    smooth = Grid(ndimage.gaussian_filter(image.samples, sigma), image.spacing, image.origin)
    like = Grid(np.empty(tuple(sizes[::-1]), np.float32), (spacing,) * 3, (float(low[0]), float(low[1]), float(low[2])))
    return Grid(resampled(smooth.image(), like, from_frame), like.spacing, like.origin)


class _Spectrum:
    """The fixed image, ready to be correlated with others."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.features, self.mask = _features(grid)

    def peaks(self, other: Grid, min_overlap: float) -> list[tuple[Vector, float]]:
        """Shifts (x, y, z) um to add to a fixed point before the rotated image is read there, and their scores."""
        features, mask = _features(other)
        shape = [fft.next_fast_len(a + b - 1, real=True) for a, b in zip(self.mask.shape, mask.shape, strict=True)]
        least = max(min_overlap * min(self.mask.sum(), mask.sum()), 16.0)
        found = []
        correlate = _Correlator(shape)
        masks = (correlate.front(self.mask), correlate.back(mask))
        count = correlate(masks[0], masks[1])
        allowed = count >= least
        for number, (ours, theirs) in enumerate(zip(self.features, features, strict=True)):
            value = _normalised(correlate, masks, count, ours, theirs)
            value = np.abs(value) if number == 0 else value
            # A high correlation of few samples is easily had by chance.
            value = np.where(allowed, value * np.sqrt(np.maximum(count, 0.0) / count.max()), -1.0)
            for index, score in _maxima(value):
                found.append((self._shift(index, other, shape, mask.shape), score))
        return found

    def _shift(self, index: Sequence[int], other: Grid, shape: Sequence[int], size: Sequence[int]) -> Vector:
        """The move from the place of the maximum: sample ``i`` of the other image lies on ``i + lag`` of this one."""
        lag = np.array([i if i < n - s + 1 else i - n for i, n, s in zip(index, shape, size, strict=True)])
        step = self.grid.spacing[0]
        here = np.array(self.grid.origin) + lag[::-1] * step
        move: Vector = np.array(other.origin) - here
        return move


def _features(grid: Grid) -> tuple[list[Samples], Samples]:
    mask = np.isfinite(grid.samples)
    values = np.where(mask, grid.samples, 0.0).astype(np.float32)
    values[mask] -= values[mask].mean() if mask.any() else 0.0
    axes = [axis for axis, n in enumerate(values.shape) if n > 2]
    slopes = np.gradient(grid.samples, axis=axes)
    steep = np.sqrt(np.sum(np.square(np.array(slopes if len(axes) > 1 else [slopes])), axis=0))
    # The rim, whose gradient is not known, is as steep as the rest is on average.
    known = np.isfinite(steep)
    filled = np.where(known, steep, steep[known].mean() if known.any() else 0.0)
    filled = np.where(mask, filled - (filled[mask].mean() if mask.any() else 0.0), 0.0)
    return [values, filled.astype(np.float32)], mask.astype(np.float32)


class _Correlator:
    """Cross correlation at all lags through spectra of one padded shape."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)

    def front(self, samples: Samples) -> npt.NDArray[np.complex64]:
        return np.asarray(fft.rfftn(samples, self.shape))

    def back(self, samples: Samples) -> npt.NDArray[np.complex64]:
        return np.asarray(np.conj(fft.rfftn(samples, self.shape)))

    def __call__(self, a: npt.NDArray[np.complex64], b: npt.NDArray[np.complex64]) -> npt.NDArray[np.float32]:
        return np.asarray(fft.irfftn(a * b, self.shape))


def _normalised(
    correlate: _Correlator, masks: tuple[np.ndarray, np.ndarray], count: np.ndarray, ours: Samples, theirs: Samples
) -> npt.NDArray[np.float32]:
    safe = np.maximum(count, 1.0)
    a, b = correlate.front(ours), correlate.back(theirs)
    sum_a, sum_b = correlate(a, masks[1]), correlate(masks[0], b)
    square_a = correlate(correlate.front(ours**2), masks[1]) - sum_a**2 / safe
    square_b = correlate(masks[0], correlate.back(theirs**2)) - sum_b**2 / safe
    floor = 1e-3 * max(float(square_a.max()), 1e-30), 1e-3 * max(float(square_b.max()), 1e-30)
    both = np.sqrt(np.maximum(square_a, floor[0]) * np.maximum(square_b, floor[1]))
    return np.asarray((correlate(a, b) - sum_a * sum_b / safe) / both)


def _maxima(value: npt.NDArray[np.float32]) -> list[tuple[tuple[int, ...], float]]:
    """The highest places, at least three samples apart."""
    left = value.copy()
    found = []
    for _ in range(_PEAKS):
        index = np.unravel_index(int(left.argmax()), left.shape)
        score = float(left[index])
        if score <= 0:
            break
        found.append((tuple(int(i) for i in index), score))
        cut = tuple(np.arange(i - 2, i + 3) % n for i, n in zip(index, left.shape, strict=True))
        left[np.ix_(*cut)] = -1.0
    return found
