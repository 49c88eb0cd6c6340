"""Refinement block by block, and from its scatter what the answer is worth.

One image is mapped onto the grid of the other through the present map; what a grey value of one means in the other is
read off their joint distribution (correlation ratio: Roche, Malandain, Pennec & Ayache, MICCAI 1998), in the direction
that explains more.  Each block then says by its score how the map ought to move; the sum of the scores moves it
(Gauss-Newton).  Where they sum to zero, leaving out one block after the other gives the covariance of the map without
assuming that noise is white or equal everywhere (jackknife: Efron & Stein, Ann. Stat. 9 (1981) 586).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from analyses.registration.grids import Grid, Pixels, Samples, resampled, splines
from analyses.registration.itk import ItkImage
from analyses.registration.motion import Motion, directions, moved
from analyses.sdk.spatial import Matrix, apply, invert

Vector = npt.NDArray[np.float64]
MARGIN = 4  # samples round a block: shifts up to this are looked at, and the spline's reach
SMOOTHING = 0.7  # samples: the gradient of white noise is as strong as that of the image otherwise
_BINS = 48
_FEWEST_LEARNED = 200
_LEAN = 30.0  # samples that the whole image counts for at each grey value of a block
_LEARNED = 1 << 18  # samples that the meaning of grey values is learnt from
_FEWEST = 0.25  # of its samples a block must share with the other image
_LONGEST = {2: 40, 3: 22}  # samples along a block's edge: larger ones take time and tell hardly more
_LEARNED_HERE = 6000  # samples that their meaning in one block is learnt from
_WHOLE = 1 << 24  # samples up to which the moving image is held in memory


@dataclass(frozen=True)
class Layout:
    """Where the blocks lie: corners (n, 3) in samples (z, y, x) of a level of the fixed image, and their edges."""

    corners: npt.NDArray[np.int64]
    edges: tuple[int, int, int]


@dataclass
class Block:
    """A block of the fixed image with its margin, and the moving image on the same samples."""

    fixed: Grid
    inner: tuple[slice, slice, slice]
    mapped: Samples = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True)
class Terms:
    """What one block says: score (k,), its derivative (k, k), the samples that took part."""

    score: Vector
    slope: Vector
    count: int


@dataclass(frozen=True)
class Refined:
    """The refined map fixed -> moving and what its blocks say.

    Attributes
    ----------
    matrix : ndarray, 4 x 4
        Fixed -> moving, um.
    parameters : ndarray, (k, k), or None
        Covariance of the motion's parameters about ``centre``; None with too few blocks.
    blocks : int
        How many took part.
    residual_um : float
        Root mean square of what the blocks would still move, weighted by how well they can tell.
    explained : float
        Part of the variance that the other image explains (correlation ratio).
    steps : list of float
        Largest move of a corner of the image at each iteration, um.
    """

    matrix: Matrix
    parameters: Vector | None
    centre: Vector
    blocks: int
    residual_um: float
    explained: float
    steps: list[float]
    converged: bool


def layout(shape: tuple[int, int, int], per_axis: int = 4, longest: int | None = None) -> Layout:
    """Blocks spread evenly over a grid of ``shape``: side by side where these fill it, with gaps where it is larger."""
    planar = shape[0] == 1
    longest = longest or _LONGEST[2 if planar else 3]
    edges: list[int] = []
    firsts: list[npt.NDArray[np.int64]] = []
    for axis, size in enumerate(shape):
        if planar and axis == 0:
            edges.append(1)
            firsts.append(np.zeros(1, np.int64))
            continue
        count = max(1, min(per_axis, size // 8))
        edge = min(longest, size // count)
        edges.append(edge)
        middle = (np.arange(count) + 0.5) * size / count
        firsts.append(np.floor(middle - edge / 2 + 1e-9).astype(np.int64).clip(0, size - edge))
    corners = np.stack(np.meshgrid(*firsts, indexing="ij"), -1).reshape(-1, 3)
    return Layout(corners, (edges[0], edges[1], edges[2]))


class Overlay:
    """Two images, block by block, one on the samples of the other."""

    def __init__(
        self, fixed: Pixels, moving: Pixels, factors: tuple[tuple[int, int, int], ...], spread: Layout
    ) -> None:
        self.moving, self.moving_factors = moving, factors[1]
        self.dimensions = 2 if fixed.planar else 3
        self.blocks = [self._cut(fixed, factors[0], corner, spread.edges) for corner in spread.corners]
        self._whole: dict[bool, ItkImage] = {}
        if np.prod(moving.level_shape(factors[1])) <= _WHOLE:
            smooth = self._smooth(moving.at(factors[1])).image()
            self._whole = {False: smooth, True: splines(smooth)}

    def map(self, to_moving: Matrix, *, cubic: bool) -> list[Block]:
        """Lay the moving image on every block; gives those that share enough samples with it."""
        shared = []
        for block in self.blocks:
            image = self._whole[cubic] if self._whole else self._around(block.fixed, to_moving, cubic)
            if image is None:
                continue
            block.mapped = resampled(image, block.fixed, to_moving, cubic=cubic)
            if np.isfinite(block.mapped[block.inner]).mean() >= _FEWEST:
                shared.append(block)
        return shared

    def _cut(self, fixed: Pixels, factors: tuple[int, int, int], corner: Vector, edges: Sequence[int]) -> Block:
        shape = fixed.level_shape(factors)
        margin = [0 if n == 1 else MARGIN for n in shape]
        start = [max(0, int(c) - m) for c, m in zip(corner, margin, strict=True)]
        stop = [min(n, int(c) + e + m) for c, e, m, n in zip(corner, edges, margin, shape, strict=True)]
        inner = [slice(int(c) - a, int(c) - a + e) for c, a, e in zip(corner, start, edges, strict=True)]
        return Block(self._smooth(fixed.box(start, stop, factors)), (inner[0], inner[1], inner[2]))

    def _smooth(self, grid: Grid) -> Grid:
        sigma = [0.0 if n == 1 else SMOOTHING for n in grid.samples.shape]
        return Grid(ndimage.gaussian_filter(grid.samples, sigma, truncate=4.0), grid.spacing, grid.origin)

    def _around(self, like: Grid, to_moving: Matrix, cubic: bool) -> ItkImage | None:
        """The part of the moving image under a block, for images that are not held in memory."""
        spacing = np.array(self.moving.spacing) * self.moving_factors[::-1]
        origin = (np.array(self.moving_factors[::-1]) - 1) / 2 * np.array(self.moving.spacing)
        index = ((apply(to_moving, like.corners()) - origin) / spacing)[:, ::-1]
        shape = np.array(self.moving.level_shape(self.moving_factors))
        start = np.clip(np.floor(index.min(axis=0)).astype(int) - MARGIN - 2, 0, shape)
        stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + MARGIN + 3, 0, shape)
        if (stop - start < 1).any():
            return None
        image = self._smooth(self.moving.box(start.tolist(), stop.tolist(), self.moving_factors)).image()
        return splines(image) if cubic else image


def refine(
    overlay: Overlay,
    start: Matrix,
    motion: Motion,
    centre: Vector,
    corners: Vector,
    *,
    tolerance_um: float,
    iterations: int = 12,
    check: Callable[[], None] = lambda: None,
) -> Refined | None:
    """Refine a map until no corner moves by more than ``tolerance_um``; None where too few blocks overlap.

    Parameters
    ----------
    overlay
        Both images, block by block.
    start
        4 x 4, fixed -> moving, um; right to about two samples.
    motion
        What the map may do.
    centre
        Point (x, y, z) of the fixed frame about which it turns.
    corners
        Points (n, 3) of the fixed frame whose moves are watched.
    tolerance_um
        Ends the iterations.
    """
    matrix, steps, cubic = start, [], False
    limit = 3.0 * max(overlay.blocks[0].fixed.spacing[: overlay.dimensions])
    for turn in range(iterations):
        check()
        blocks = overlay.map(matrix, cubic=cubic)
        ways = directions(motion, overlay.dimensions)
        found = _terms(blocks, ways, centre, 1 if cubic else 2)
        if found is None:
            return None
        terms, explained = found
        slope = np.sum([term.slope for term in terms], axis=0)
        score = np.sum([term.score for term in terms], axis=0)
        step = np.linalg.lstsq(slope, score, rcond=1e-12)[0]
        delta = moved(motion, ways, step, centre)
        size = float(np.linalg.norm(apply(delta, corners) - corners, axis=1).max())
        if size > limit:  # beyond the reach of the gradient: go its way, not its length
            delta = moved(motion, ways, step * (limit / size), centre)
        matrix = matrix @ delta
        steps.append(size)
        if cubic and size <= tolerance_um:
            break
        # A linear interpolation is cheap and blunt: good for the way, not for the end.
        cubic = cubic or size <= 60 * tolerance_um or turn >= iterations // 2
    parameters = jackknife(terms)
    converged = cubic and steps[-1] <= 5 * tolerance_um
    return Refined(matrix, parameters, centre, len(terms), _residual(terms, overlay), explained, steps, converged)


def jackknife(terms: Sequence[Terms]) -> Vector | None:
    """Covariance of the parameters from leaving out one block after the other; None where too few are left."""
    count = len(terms)
    slope = np.sum([term.slope for term in terms], axis=0)
    score = np.sum([term.score for term in terms], axis=0)
    if count < len(score) // 2 + 4:
        return None
    without = np.array([np.linalg.solve(slope - term.slope, score - term.score) for term in terms])
    spread = without - without.mean(axis=0)
    covariance: Vector = (count - 1) / count * spread.T @ spread
    return covariance


def _residual(terms: Sequence[Terms], overlay: Overlay) -> float:
    """Blocks' own shifts, weighted by their information: a block of parallel fibres cannot tell one along them."""
    size = overlay.dimensions
    total, weight = 0.0, 0.0
    for term in terms:
        information = (term.slope[:size, :size] + term.slope[:size, :size].T) / 2
        values, vectors = np.linalg.eigh(information)
        kept = values > 1e-3 * max(values[-1], 1e-30)
        along = vectors[:, kept].T @ term.score[:size]
        total += float(np.sum(along**2 / values[kept]))
        weight += float(values[kept].sum()) / size
    return float(np.sqrt(total / weight)) if weight > 0 else 0.0


# ---------------------------------------------------------------------------------------------------- grey to grey


def _terms(blocks: Sequence[Block], ways: Vector, centre: Vector, stride: int) -> tuple[list[Terms], float] | None:
    """Scores of the blocks, and the part of the variance that is explained."""
    if not blocks:
        return None
    ours = np.concatenate([b.fixed.samples[b.inner].ravel() for b in blocks])
    theirs = np.concatenate([b.mapped[b.inner].ravel() for b in blocks])
    valid = np.isfinite(theirs)
    some = slice(None, None, max(1, int(valid.sum()) // _LEARNED))
    ours, theirs = ours[valid][some], theirs[valid][some]
    forward = Meaning.of(theirs, ours)  # what a moving grey value means in the fixed image
    backward = Meaning.of(ours, theirs)
    if forward is None or backward is None:
        return None
    terms = [_block_terms(block, *_meaning_here(block, forward, backward), ways, centre, stride) for block in blocks]
    return terms, max(forward.explained, backward.explained)


def _meaning_here(block: Block, forward: Meaning, backward: Meaning) -> tuple[Meaning, bool]:
    """What grey values mean in one block, in the direction that explains more, and whether that is forward.

    One value can mean two things in two places: aggregate inside, part of the rim outside.
    """
    ours, theirs = block.fixed.samples[block.inner].ravel(), block.mapped[block.inner].ravel()
    known = np.flatnonzero(np.isfinite(theirs))
    some = known[:: max(1, known.size // _LEARNED_HERE)]
    to_fixed = Meaning.of(theirs[some], ours[some], forward) or forward
    to_moving = Meaning.of(ours[some], theirs[some], backward) or backward
    return (to_fixed, True) if to_fixed.explained >= to_moving.explained else (to_moving, False)


@dataclass(frozen=True)
class Meaning:
    """What one grey value says of another: at each of the ``knots`` the mean and the variance of the other.

    The knots are quantiles, so that values that fill much of the image are told apart finely.  ``explained`` is the
    part of the other's variance that goes with the mean.
    """

    knots: Vector
    means: Vector
    variances: Vector
    explained: float

    @classmethod
    def of(cls, given: Samples, wanted: Samples, prior: Meaning | None = None) -> Meaning | None:
        """Learn what ``given`` values say of ``wanted`` ones; None where one of them is flat or there are few.

        ``prior`` is what they say elsewhere: its knots are kept, and values that are rare here lean on it.
        """
        if len(given) < _FEWEST_LEARNED:
            return None
        variance = float(wanted.var(dtype=np.float64))
        knots = prior.knots if prior else np.unique(np.percentile(given, np.linspace(0.2, 99.8, _BINS)))
        if len(knots) < 2 or not variance > 0:
            return None
        position: Vector = np.interp(given, knots, np.arange(len(knots))).clip(0, len(knots) - 1.000001)
        first = position.astype(np.int64)
        part = position - first
        # Rare values lean on the whole: a knot of a few samples would follow their noise.
        lean, whole = (_LEAN, prior.means) if prior else (4.0, wanted.mean(dtype=np.float64))
        weights = _at_knots(first, part, np.ones(len(part)), len(knots)) + lean
        means: Vector = (_at_knots(first, part, wanted, len(knots)) + lean * whole) / weights
        left = np.square(wanted - np.interp(given, knots, means))
        variances = (_at_knots(first, part, left, len(knots)) + lean * left.mean()) / weights
        spread: Vector = np.maximum(variances, 1e-3 * left.mean()).astype(np.float64)
        knots64 = np.asarray(knots, np.float64)
        return cls(knots64, means, spread, 1.0 - float(left.mean()) / variance)

    def __call__(self, given: Samples) -> Samples:
        """The other image's grey value that is expected at each given one."""
        return np.interp(given, self.knots, self.means).astype(np.float32)

    def weights(self, given: Samples) -> Samples:
        """How much a difference counts: inversely as its variance."""
        return (1.0 / np.interp(given, self.knots, self.variances)).astype(np.float32)


def _at_knots(first: npt.NDArray[np.int64], part: Vector, values: npt.NDArray[Any], count: int) -> Vector:
    low, high = np.bincount(first, (1 - part) * values, count), np.bincount(first + 1, part * values, count)
    return np.asarray(low + high)


def _block_terms(block: Block, meaning: Meaning, forward: bool, ways: Vector, centre: Vector, stride: int) -> Terms:
    """Score and slope of one block.

    The gradient of the image that stays weighs the differences, the product of both gradients is the slope: noise of
    the one is independent of that of the other, so that it makes neither of them larger.
    """
    fixed = block.fixed
    target = fixed.samples if forward else meaning(fixed.samples)
    mapped = meaning(block.mapped) if forward else block.mapped
    size = fixed.dimensions
    inner = tuple(slice(cut.start, cut.stop, stride if cut.stop - cut.start > 1 else 1) for cut in block.inner)
    left = _gradient(target, fixed, inner)
    right = _gradient(mapped, fixed, inner)
    weight = meaning.weights((block.mapped if forward else fixed.samples)[inner].ravel())
    difference = (target - mapped)[inner].ravel() * weight
    good = np.isfinite(right).all(axis=1) & np.isfinite(difference)
    # Single precision is enough about the block's own middle; the rest of the way is taken in double.
    places = _places(fixed, inner)
    middle = places.mean(axis=0)
    rows = np.column_stack([places - middle, np.ones(len(places))]).astype(np.float32)
    right *= weight[:, None]
    if not good.all():
        left, right, rows, difference = left[good], right[good], rows[good], difference[good]
    # All 4 * size products of a gradient and a place at once; what the map may do is a combination of them.
    ours = (left[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    theirs = (right[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    shifted = np.eye(4)
    shifted[:3, 3] = middle - centre
    combine = (ways[:, :size] @ shifted).reshape(len(ways), -1)
    slope = combine @ (ours.T @ theirs).astype(np.float64) @ combine.T
    return Terms(combine @ (ours.T @ difference).astype(np.float64), slope, len(rows))


def _gradient(samples: Samples, grid: Grid, inner: tuple[slice, ...]) -> Vector:
    """Central differences along x, y (and z) inside a block, (n, dimensions), per um."""
    found = []
    for axis, spacing in zip((2, 1, 0)[: grid.dimensions], grid.spacing, strict=False):
        slope = np.gradient(samples, spacing, axis=axis)
        found.append(slope[inner].ravel())
    return np.stack(found, axis=1)


def _places(grid: Grid, inner: tuple[slice, ...]) -> Vector:
    z, y, x = (
        grid.origin[2 - axis] + grid.spacing[2 - axis] * np.arange(cut.start, cut.stop, cut.step or 1)
        for axis, cut in enumerate(inner)
    )
    mesh = np.meshgrid(z, y, x, indexing="ij")
    return np.stack([part.ravel() for part in reversed(mesh)], axis=1)


def entries(refined: Refined, motion: Motion, dimensions: int) -> Vector | None:
    """The covariance 12 x 12 of the inverse map, moving -> fixed, from that of the parameters."""
    if refined.parameters is None:
        return None
    back = invert(refined.matrix)
    shift = np.eye(4)
    shift[:3, 3] = -refined.centre
    rows = np.array([(-(way @ shift) @ back).ravel() for way in directions(motion, dimensions)])
    covariance: Vector = rows.T @ refined.parameters @ rows
    return (covariance + covariance.T) / 2.0
