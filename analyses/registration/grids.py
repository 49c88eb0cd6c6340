"""Images as sampled grids in micrometres, at the resolution that a step of a registration needs.

A grid is one channel at one time.  Coarser grids come from the levels an image carries, where one is near enough, and
are averaged in slabs otherwise, so that no more than the grid itself and one slab is in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.registration.itk import ItkImage, ItkTransform, sitk
from analyses.sdk.contract import PluginError
from analyses.sdk.pyramid import reduce_block
from analyses.sdk.spatial import Matrix
from analyses.sdk.values import SPATIAL_AXES, ImageValue, LazyArray

Samples = npt.NDArray[np.float32]
Triple = tuple[float, float, float]
_SLAB_SAMPLES = 1 << 23


@dataclass(frozen=True)
class Grid:
    """Samples (z, y, x) whose centres lie at ``origin + index * spacing``, both (x, y, z) in micrometres."""

    samples: Samples
    spacing: Triple
    origin: Triple = (0.0, 0.0, 0.0)

    @property
    def planar(self) -> bool:
        """One sample along z: points have no z of their own."""
        return int(self.samples.shape[0]) == 1

    @property
    def dimensions(self) -> int:
        """2 for a plane, 3 for a volume."""
        return 2 if self.planar else 3

    @property
    def size_um(self) -> npt.NDArray[np.float64]:
        """Edges from the first to the last sample centre, (x, y, z)."""
        return np.array([(n - 1) * s for n, s in zip(self.samples.shape[::-1], self.spacing, strict=True)])

    @property
    def centre(self) -> npt.NDArray[np.float64]:
        """The middle of the grid, (x, y, z) um; z = 0 for a plane."""
        return np.array(self.origin) + self.size_um / 2.0

    def corners(self) -> npt.NDArray[np.float64]:
        """The outermost sample centres, (8, 3), um."""
        unit = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
        return np.asarray(self.origin) + unit * self.size_um

    def image(self) -> ItkImage:
        """The grid for SimpleITK, of two dimensions for a plane."""
        image = sitk.GetImageFromArray(self.samples[0] if self.planar else self.samples)
        image.SetSpacing(self.spacing[: self.dimensions])
        image.SetOrigin(self.origin[: self.dimensions])
        return image


@dataclass(frozen=True)
class Pixels:
    """One channel at one time of a calibrated image; ``spacing`` is (x, y, z) in micrometres."""

    image: ImageValue
    channel: int = 0
    time: int = 0

    def __post_init__(self) -> None:
        sizes = dict(zip(self.image.axes, self.image.shape, strict=True))
        for axis, index in (("c", self.channel), ("t", self.time)):
            if index >= sizes.get(axis, 1):
                raise PluginError("no_such_index", axis=axis, index=index, count=sizes.get(axis, 1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Samples along z, y, x."""
        sizes = dict(zip(self.image.axes, self.image.shape, strict=True))
        return (sizes["z"], sizes["y"], sizes["x"])

    @property
    def planar(self) -> bool:
        """One sample along z."""
        return self.shape[0] == 1

    @property
    def spacing(self) -> Triple:
        """Distance of sample centres along x, y, z; 1 along an axis of one sample without a spacing."""
        x, y, z = (float(self.image.spacing_um.get(axis) or 1.0) for axis in ("x", "y", "z"))
        return (x, y, z)

    @property
    def finest(self) -> float:
        """The smallest spacing along an axis of several samples, um."""
        return min((s for s, n in zip(self.spacing, self.shape[::-1], strict=True) if n > 1), default=self.spacing[0])

    def factors_for(self, spacing_um: float) -> tuple[int, int, int]:
        """Powers of two along (z, y, x) that bring each spacing nearest to ``spacing_um`` without much exceeding it."""
        found = []
        for size, spacing in zip(self.shape, self.spacing[::-1], strict=True):
            factor = 1
            while spacing * factor * 2 <= spacing_um * 1.01 and size // (factor * 2) >= 1:
                factor *= 2
            found.append(factor)
        return (found[0], found[1], found[2])

    def at(self, factors: tuple[int, int, int] = (1, 1, 1)) -> Grid:
        """The whole image with ``factors`` (z, y, x) samples averaged into one."""
        array, have = self._level(factors)
        rest = tuple(f // h for f, h in zip(factors, have, strict=True))
        samples = _finite(self._averaged(array, rest))
        return self._grid(samples, factors, (0, 0, 0))

    def box(self, start: Sequence[int], stop: Sequence[int], factors: tuple[int, int, int] = (1, 1, 1)) -> Grid:
        """Samples ``start`` to ``stop`` (z, y, x; exclusive, in units of the level) of a level of given factors."""
        array, have = self._level(factors)
        rest = tuple(f // h for f, h in zip(factors, have, strict=True))
        ends = [array.shape[self.image.axes.index(axis)] for axis in SPATIAL_AXES]
        cut = tuple(slice(a * r, min(b * r, end)) for a, b, r, end in zip(start, stop, rest, ends, strict=True))
        block = np.asarray(array[self._key(cut)])
        return self._grid(_finite(_reduced(block, rest)), factors, (start[0], start[1], start[2]))

    def level_shape(self, factors: Sequence[int]) -> tuple[int, int, int]:
        """Samples (z, y, x) of the level of given factors."""
        z, y, x = (-(-n // f) for n, f in zip(self.shape, factors, strict=True))
        return (z, y, x)

    def _grid(self, samples: Samples, factors: Sequence[int], start: Sequence[int]) -> Grid:
        spacing = [s * f for s, f in zip(self.spacing, reversed(factors), strict=True)]
        origin = [
            (f - 1) / 2 * s + first * s * f
            for s, f, first in zip(self.spacing, reversed(factors), reversed(start), strict=True)
        ]
        return Grid(samples, (spacing[0], spacing[1], spacing[2]), (origin[0], origin[1], origin[2]))

    def _key(self, cut: tuple[slice, ...]) -> tuple[Any, ...]:
        fixed: dict[str, Any] = {"t": self.time, "c": self.channel, **dict(zip(SPATIAL_AXES, cut, strict=True))}
        return tuple(fixed[axis] for axis in self.image.axes)

    def _level(self, factors: Sequence[int]) -> tuple[LazyArray, tuple[int, ...]]:
        """The coarsest stored level that ``factors`` can be averaged from, and its own factors (z, y, x)."""
        best: tuple[LazyArray, tuple[int, ...]] = (self.image.array, (1, 1, 1))
        before = self.image.shape
        found: tuple[int, ...] = (1, 1, 1)
        spatial = [self.image.axes.index(axis) for axis in SPATIAL_AXES]
        for level in self.image.levels:
            step = tuple(2 if level.shape[i] < before[i] else 1 for i in spatial)
            found = tuple(f * s for f, s in zip(found, step, strict=True))
            before = tuple(level.shape)
            if all(f % h == 0 for f, h in zip(factors, found, strict=True)):
                best = (level, found)
        return best

    def _averaged(self, array: LazyArray, factors: tuple[int, ...]) -> npt.NDArray[Any]:
        shape = tuple(array.shape[self.image.axes.index(axis)] for axis in SPATIAL_AXES)
        thick = max(1, _SLAB_SAMPLES // max(1, shape[1] * shape[2]) // factors[0]) * factors[0]
        parts = [
            _reduced(
                np.asarray(array[self._key((slice(z, min(z + thick, shape[0])), slice(None), slice(None)))]), factors
            )
            for z in range(0, shape[0], thick)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _reduced(block: npt.NDArray[Any], factors: Sequence[int]) -> npt.NDArray[Any]:
    found, left = block.astype(np.float32, copy=False), list(factors)
    while any(f > 1 for f in left):
        step = [2 if f > 1 else 1 for f in left]
        found = reduce_block(found, step, "mean")
        left = [max(1, f // 2) for f in left]
    return found


def _finite(samples: npt.NDArray[Any]) -> Samples:
    found = np.ascontiguousarray(samples, np.float32)
    if not np.isfinite(found).all():
        raise PluginError("not_finite", count=int(np.count_nonzero(~np.isfinite(found))))
    return found


def equalised(grid: Grid) -> Grid:
    """A grid with grey values spread out, half by their rank: a bright rim shall not leave one bin to the rest."""
    some = grid.samples.ravel()[:: max(1, grid.samples.size // 200_000)]
    knots, index = np.unique(np.quantile(some, np.linspace(0, 1, 257)), return_index=True)
    if len(knots) < 3:
        return grid
    rank = index / 256.0
    linear = (knots - knots[0]) / (knots[-1] - knots[0])
    levels = 0.5 * rank + 0.5 * linear
    return Grid(np.interp(grid.samples, knots, levels).astype(np.float32), grid.spacing, grid.origin)


def resampled(moving: ItkImage, like: Grid, to_moving: Matrix, *, cubic: bool = False) -> Samples:
    """Samples of ``moving`` at the centres of ``like``, (z, y, x); NaN where there is none.

    Parameters
    ----------
    moving
        A grid's image, of the dimensions of ``like``.
    like
        Where samples are wanted.
    to_moving
        4 x 4, from the frame of ``like`` to that of the moving image, um.
    cubic
        ``moving`` holds the coefficients of cubic B-splines (``splines``); it is interpolated linearly else.
    """
    dimensions = moving.GetDimension()
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(1)
    resampler.SetSize(like.samples.shape[::-1][:dimensions])
    resampler.SetOutputSpacing(like.spacing[:dimensions])
    resampler.SetOutputOrigin(like.origin[:dimensions])
    resampler.SetTransform(affine(to_moving, dimensions))
    resampler.SetInterpolator(sitk.sitkBSplineResamplerOrder3 if cubic else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(float("nan"))
    found = sitk.GetArrayFromImage(resampler.Execute(moving))
    return np.asarray(found.reshape(like.samples.shape), np.float32)


def splines(image: ItkImage) -> ItkImage:
    """The coefficients of the cubic B-splines through the samples of an image (Unser, 1999)."""
    decomposition = sitk.BSplineDecompositionImageFilter()
    decomposition.SetNumberOfThreads(1)
    return decomposition.Execute(image)


def affine(matrix: Matrix, dimensions: int) -> ItkTransform:
    """A 4 x 4 matrix as a transform of SimpleITK; in the plane its z row and column are left out."""
    transform = sitk.AffineTransform(dimensions)
    transform.SetMatrix(matrix[:dimensions, :dimensions].ravel().tolist())
    transform.SetTranslation(matrix[:dimensions, 3].tolist())
    return transform
