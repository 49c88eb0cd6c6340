"""One time point laid on another: a small move between two images of one instrument, with what may change left out.

The start is found by correlation over all shifts on a coarse level, then refined in blocks from coarse to fine; see
``starts`` and ``blocks``.  What a mask of the reference leaves out takes part in none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyses.registration.blocks import Block, Layout, Overlay, Refined, entries, layout, refine
from analyses.registration.grids import Grid, Pixels, resampled
from analyses.registration.intensity import FLOOR, floor
from analyses.registration.itk import ItkImage
from analyses.registration.likeness import agreement
from analyses.registration.starts import proposals, turns
from analyses.registration.verdict import Agreement
from analyses.sdk.spatial import Matrix, apply, invert

Vector = npt.NDArray[np.float64]
_COARSE = {2: 128, 3: 40}  # samples of the level on which a start is looked for
_LEVELS = 4
_FOLLOWED = 2
_LOOKED = 5  # iterations in which one start is told from another
_FEWEST = 0.25  # of the samples of a block must show what does not change
_AGREEING = 0.4  # of the blocks; as for registrations of two images
_TOLERANCE = 0.005  # samples: the refinement ends there


@dataclass(frozen=True)
class Laid:
    """A map moving -> fixed with what it is worth.

    Attributes
    ----------
    matrix : ndarray, 4 x 4
        Moving -> fixed, um.
    covariance : ndarray, 12 x 12, or None
        Of the entries of its upper 3 x 4 block; None with too few blocks.
    degrees_of_freedom : int or None
        Of that covariance.
    """

    matrix: Matrix
    covariance: Vector | None
    degrees_of_freedom: int | None
    residual_um: float
    explained: float
    blocks: int
    agreeing: float
    steps: list[float]


@dataclass(frozen=True)
class Refusal:
    """Why two time points could not be laid on each other."""

    reason: str


@dataclass(frozen=True)
class Mask:
    """Where things do not change: an image that is 1 there and 0 elsewhere, in the frame of the reference."""

    image: ItkImage

    def known(self, like: Grid, to_reference: Matrix) -> npt.NDArray[np.bool_]:
        """Which samples of a grid show what does not change; none outside of the mask."""
        return np.asarray(resampled(self.image, like, to_reference) >= 0.5)


class MaskedOverlay(Overlay):
    """Two images block by block, without the samples that a mask leaves out."""

    def __init__(
        self,
        fixed: Pixels,
        moving: Pixels,
        factors: tuple[tuple[int, int, int], ...],
        spread: Layout,
        known: Callable[[Grid], npt.NDArray[np.bool_]] | None,
    ) -> None:
        super().__init__(fixed, moving, factors, spread)
        self._known = [None if known is None else known(block.fixed) for block in self.blocks]

    def map(self, to_moving: Matrix, *, cubic: bool) -> list[Block]:
        """Lay the moving image on every block; gives those that share enough of what does not change."""
        shared = []
        masks = {id(block): mask for block, mask in zip(self.blocks, self._known, strict=True)}
        for block in super().map(to_moving, cubic=cubic):
            mask = masks[id(block)]
            if mask is not None:
                block.mapped = np.where(mask, block.mapped, np.float32("nan"))
            if np.isfinite(block.mapped[block.inner]).mean() >= _FEWEST:
                shared.append(block)
        return shared


@dataclass(frozen=True)
class Pairing:
    """How two time points are laid on each other.

    Attributes
    ----------
    search_deg : float
        How far one may be turned against the start.
    min_overlap : float
        Smallest part of the smaller image that must lie in the other.
    """

    search_deg: float
    min_overlap: float
    check: Callable[[], None] = lambda: None

    def lay(
        self, fixed: Pixels, moving: Pixels, start: Matrix, mask: Mask | None, to_reference: Matrix
    ) -> Laid | Refusal:
        """Lay ``moving`` on ``fixed``, beginning at a map moving -> fixed (4 x 4, um).

        ``to_reference`` leads from the frame of ``fixed`` to that of the mask.
        """
        known = None if mask is None else (lambda grid: mask.known(grid, to_reference))
        base = max(fixed.finest, moving.finest)
        levels = self._levels(fixed, moving, base)
        matrix = self._begin(fixed, moving, base * 2 ** levels[0], invert(start), known)
        found: Refined | None = None
        overlay: MaskedOverlay | None = None
        for number in levels:
            factors = tuple(p.factors_for(base * 2**number) for p in (fixed, moving))
            overlay = MaskedOverlay(fixed, moving, factors, _spread(fixed, factors[0]), known)
            found = self._refined(overlay, fixed, matrix, base * 2**number)
            if found is None:
                return Refusal("too little of what does not change is shared")
            matrix = found.matrix
        if found is None or overlay is None or not found.converged:
            return Refusal("the refinement in blocks does not settle")
        return self._judged(found, agreement(overlay.map(matrix, cubic=False)), base, 2 if fixed.planar else 3)

    def _levels(self, fixed: Pixels, moving: Pixels, base: float) -> list[int]:
        most = _COARSE[2 if fixed.planar else 3]
        size = max(max(pixels.level_shape(pixels.factors_for(base))) for pixels in (fixed, moving))
        coarsest = min(_LEVELS - 1, max(0, int(np.ceil(np.log2(size / most)))))
        return list(range(coarsest, -1, -1))

    def _begin(
        self,
        fixed: Pixels,
        moving: Pixels,
        spacing: float,
        start: Matrix,
        known: Callable[[Grid], npt.NDArray[np.bool_]] | None,
    ) -> Matrix:
        """The best of the start and of what correlation proposes, by what one image says of the other."""
        ours, theirs = fixed.at(fixed.factors_for(spacing)), moving.at(moving.factors_for(spacing))
        if known is not None:
            mask = known(ours)
            level = ours.samples[mask].mean() if mask.any() else 0.0
            ours = replace(ours, samples=np.where(mask, ours.samples, level).astype(np.float32))
        rotations = turns(ours.dimensions, self.search_deg, known=True)
        found = proposals(ours, theirs, start, rotations, self.min_overlap, self.check)
        factors = (fixed.factors_for(spacing), moving.factors_for(spacing))
        overlay = MaskedOverlay(fixed, moving, factors, _spread(fixed, factors[0]), known)
        best, most = start, -np.inf
        for matrix in (start, *(place.matrix for place in found[:_FOLLOWED])):
            refined = self._refined(overlay, fixed, matrix, spacing, _LOOKED)
            if refined is not None and refined.explained * np.sqrt(refined.blocks) > most:
                best, most = refined.matrix, refined.explained * np.sqrt(refined.blocks)
        return best

    def _refined(
        self, overlay: Overlay, fixed: Pixels, matrix: Matrix, spacing: float, iterations: int = 12
    ) -> Refined | None:
        corners = corners_of(fixed)
        return refine(
            overlay,
            matrix,
            "rigid",
            corners.mean(axis=0),
            corners,
            tolerance_um=_TOLERANCE * spacing,
            iterations=iterations,
            check=self.check,
        )

    def _judged(self, found: Refined, asked: Agreement, base: float, dimensions: int) -> Laid | Refusal:
        if not asked.enough:
            return Refusal(f"only {asked.blocks} blocks overlap and show anything")
        if asked.fraction < _AGREEING:
            return Refusal(f"{asked.agreeing} of {asked.blocks} blocks fit best where the answer puts them")
        covariance = entries(found, "rigid", dimensions)
        return Laid(
            invert(found.matrix),
            None if covariance is None else covariance + floor(FLOOR * base, dimensions),
            None if covariance is None else max(1, found.blocks - dimensions),
            found.residual_um,
            found.explained,
            found.blocks,
            asked.fraction,
            found.steps,
        )


def _spread(fixed: Pixels, factors: tuple[int, int, int]) -> Layout:
    return layout(fixed.level_shape(factors), 6 if fixed.planar else 4)


def corners_of(pixels: Pixels) -> Vector:
    """The outermost sample centres, (8, 3), um."""
    size = (np.array(pixels.shape[::-1]) - 1) * pixels.spacing
    unit = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
    return np.asarray(unit * size)


def chained(first: Laid, then: Laid) -> Laid:
    """One map after the other, ``then`` last; their errors are taken as independent.

    ``d(B A) = dB A + B dA``, entry by entry in row-major order.
    """
    matrix = np.asarray(then.matrix @ first.matrix)
    covariance, freedom = None, None
    if first.covariance is not None and then.covariance is not None:
        left = np.kron(np.eye(3), first.matrix.T)
        right = np.kron(then.matrix[:3, :3], np.eye(4))
        covariance = left @ then.covariance @ left.T + right @ first.covariance @ right.T
        covariance = (covariance + covariance.T) / 2
        freedom = min(d for d in (first.degrees_of_freedom, then.degrees_of_freedom) if d is not None)
    return replace(
        first,
        matrix=matrix,
        covariance=covariance,
        degrees_of_freedom=freedom,
        residual_um=float(np.hypot(first.residual_um, then.residual_um)),
        explained=min(first.explained, then.explained),
        blocks=min(first.blocks, then.blocks),
        agreeing=min(first.agreeing, then.agreeing),
        steps=[],
    )


def apart_um(a: Matrix, b: Matrix, points: Vector) -> float:
    """Root mean square distance between where two maps take points, um."""
    return float(np.sqrt(np.mean(np.sum((apply(a, points) - apply(b, points)) ** 2, axis=1))))
