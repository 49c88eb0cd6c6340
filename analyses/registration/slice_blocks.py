"""A slice refined in its volume, block by block, and from the scatter of the blocks what the answer is worth.

The volume is read on the samples of the slice, and on two planes half a voxel above and below, which gives its
gradient in the frame of the slice.  What a grey value of one means in the other is learnt from their joint
distribution, in the direction that explains more (correlation ratio: Roche et al., MICCAI 1998).  Every block says by
its score how the slice ought to move, and the sum of the scores moves it (Gauss-Newton).  At the end the derivative of
every block's score is taken by moving the slice: products of a noisy gradient with itself would make it too large, and
the covariance, from leaving out one block after the other (jackknife: Efron & Stein, Ann. Stat. 9 (1981) 586), too
small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from analyses.registration.blocks import MARGIN, SMOOTHING, Block, Meaning, Terms, jackknife, layout
from analyses.registration.grids import Grid, Pixels, Samples, resampled, splines
from analyses.registration.itk import ItkImage
from analyses.registration.motion import directions, moved
from analyses.sdk.spatial import Matrix, apply

Vector = npt.NDArray[np.float64]
_FEWEST = 0.5  # of its samples a block must share with the volume
_WHOLE = 1 << 24  # samples up to which the volume is held in memory
_BLUR = 0.29  # standard deviation of a box of one sample, in samples
_DIFFERENCE = 0.25  # voxels by which the slice is moved for the derivative of its scores
_TOLERANCE = 0.004  # voxels: the refinement ends there
_SETTLED = 0.05  # voxels between the last two steps of a refinement that has ended well
_BLUNT = 0.1  # voxels: a linear interpolation is good for no more
_NEWTON = 8
WAYS = directions("rigid", 3)


@dataclass(frozen=True)
class Fitted:
    """A refined map slice -> volume.

    Attributes
    ----------
    matrix : ndarray, 4 x 4
        Slice -> volume, um.
    explained : float
        Part of the variance of one image that the other explains, with the penalty for what is not shared.
    overlap : float
        Part of the slice that lies in the volume.
    steps : list of float
        Largest move of a corner of the slice at each iteration, um.
    explained_history : list of float
        What was explained before each of them.
    """

    matrix: Matrix
    explained: float
    overlap: float
    steps: list[float]
    explained_history: list[float]
    converged: bool


@dataclass(frozen=True)
class Settled:
    """Where the scores of all blocks sum to zero, and what their scatter says of it.

    Attributes
    ----------
    matrix : ndarray, 4 x 4
        Slice -> volume, um.
    parameters : ndarray (6, 6) or None
        Covariance of small moves of the slice about its middle; None with too few blocks.
    residual_um : float
        Root mean square of the shifts that the blocks would still make.
    explained : float
        Part of the variance of one image that the other explains.
    """

    matrix: Matrix
    parameters: Vector | None
    blocks: int
    residual_um: float
    explained: float
    steps: list[float]
    converged: bool


@dataclass(frozen=True)
class Seen:
    """A block with the volume on its samples, and half a voxel above and below."""

    block: Block
    mapped: Samples
    above: Samples
    below: Samples


class Plane:
    """A slice and its volume at one resolution.

    Parameters
    ----------
    slice_pixels, volume_pixels
        Both images.
    factors
        Samples (z, y, x) of each averaged into one.
    sigma
        Standard deviation, in voxels, of the smoothing of both.
    per_axis
        Blocks along each axis of the slice.
    """

    def __init__(
        self,
        slice_pixels: Pixels,
        volume_pixels: Pixels,
        factors: tuple[tuple[int, int, int], tuple[int, int, int]],
        *,
        sigma: float = SMOOTHING,
        per_axis: int = 6,
    ) -> None:
        self.volume, self.factors, self.sigma = volume_pixels, factors[1], sigma
        self.voxel = volume_pixels.finest * min(
            f for f, n in zip(factors[1], volume_pixels.shape, strict=True) if n > 1
        )
        self.plane = self._smooth_plane(slice_pixels.at(factors[0]))
        self.blocks = self._cut(per_axis)
        self._whole: dict[bool, ItkImage] = {}
        if np.prod(volume_pixels.level_shape(self.factors)) <= _WHOLE:
            smooth = self._smooth(volume_pixels.at(self.factors)).image()
            self._whole = {False: smooth, True: splines(smooth)}

    @property
    def centre(self) -> Vector:
        """The middle of the slice, in its frame."""
        return self.plane.centre

    def read(self, matrix: Matrix, *, cubic: bool) -> tuple[list[Block], float]:
        """The volume on every block of the slice that shares enough with it, and the part of the slice in it."""
        shared, inside, total = [], 0.0, 0.0
        for block, mapped in zip(self.blocks, self._mapped(self.blocks, matrix, cubic), strict=True):
            block.mapped = mapped
            part = float(np.isfinite(block.mapped[block.inner]).mean())
            size = block.mapped[block.inner].size
            inside, total = inside + part * size, total + size
            if part >= _FEWEST:
                shared.append(block)
        return shared, inside / total

    def seen(self, blocks: Sequence[Block], matrix: Matrix, *, cubic: bool) -> list[Seen]:
        """Some of the blocks with the volume on their samples, and half a voxel above and below."""
        levels = []
        for height in (0.0, 0.5, -0.5):
            lift = np.eye(4)
            lift[2, 3] = height * self.voxel
            levels.append(self._mapped(blocks, np.asarray(matrix @ lift), cubic))
        return [Seen(block, *parts) for block, *parts in zip(blocks, *levels, strict=True)]

    def _mapped(self, blocks: Sequence[Block], matrix: Matrix, cubic: bool) -> list[Samples]:
        """The volume on the samples of blocks, NaN outside of it; from memory in one go where it is held."""
        if self._whole:
            whole = resampled(self._whole[cubic], self.plane, matrix, cubic=cubic)
            return [whole[self._within(block)] for block in blocks]
        found = []
        for block in blocks:
            image = self._around(block.fixed, matrix, cubic)
            nothing = np.full(block.fixed.samples.shape, np.nan, np.float32)
            found.append(nothing if image is None else resampled(image, block.fixed, matrix, cubic=cubic))
        return found

    def _within(self, block: Block) -> tuple[slice, ...]:
        steps = (np.array(block.fixed.origin) - self.plane.origin) / self.plane.spacing
        starts = np.rint(steps[::-1]).astype(int)
        return tuple(slice(int(a), int(a) + n) for a, n in zip(starts, block.fixed.samples.shape, strict=True))

    def _around(self, like: Grid, matrix: Matrix, cubic: bool) -> ItkImage | None:
        """The part of the volume round a block, for volumes that are not held in memory."""
        spacing = np.array(self.volume.spacing) * self.factors[::-1]
        origin = (np.array(self.factors[::-1]) - 1) / 2 * np.array(self.volume.spacing)
        index = ((apply(matrix, like.corners()) - origin) / spacing)[:, ::-1]
        shape = np.array(self.volume.level_shape(self.factors))
        start = np.clip(np.floor(index.min(axis=0)).astype(int) - MARGIN - 2, 0, shape)
        stop = np.clip(np.ceil(index.max(axis=0)).astype(int) + MARGIN + 3, 0, shape)
        if (stop - start < 2).any():
            return None
        image = self._smooth(self.volume.box(start.tolist(), stop.tolist(), self.factors)).image()
        return splines(image) if cubic else image

    def _smooth(self, grid: Grid) -> Grid:
        sigma = [self.sigma * self.voxel / s for s in reversed(grid.spacing)]
        return Grid(ndimage.gaussian_filter(grid.samples, sigma, truncate=4.0), grid.spacing, grid.origin)

    def _smooth_plane(self, grid: Grid) -> Grid:
        """As blunt in the plane as the volume is: its voxels are wider than the samples of a fine slice."""
        wide = self.voxel**2 * (self.sigma**2 + _BLUR**2)
        sigma = [0.0] + [np.sqrt(max(wide - (_BLUR * s) ** 2, 0.0)) / s for s in reversed(grid.spacing[:2])]
        return Grid(ndimage.gaussian_filter(grid.samples, sigma, truncate=4.0), grid.spacing, grid.origin)

    def _cut(self, per_axis: int) -> list[Block]:
        spread = layout(self.plane.samples.shape, per_axis, longest=max(self.plane.samples.shape))
        shape = self.plane.samples.shape
        found = []
        for corner in spread.corners:
            start = [max(0, int(c) - (0 if n == 1 else MARGIN)) for c, n in zip(corner, shape, strict=True)]
            stop = [
                min(n, int(c) + e + (0 if n == 1 else MARGIN))
                for c, e, n in zip(corner, spread.edges, shape, strict=True)
            ]
            samples = self.plane.samples[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
            origin = [o + s * a for o, s, a in zip(self.plane.origin, self.plane.spacing, reversed(start), strict=True)]
            inner = [slice(int(c) - a, int(c) - a + e) for c, a, e in zip(corner, start, spread.edges, strict=True)]
            grid = Grid(samples, self.plane.spacing, (origin[0], origin[1], origin[2]))
            found.append(Block(grid, (inner[0], inner[1], inner[2])))
        return found


@dataclass(frozen=True)
class Reading:
    """What grey values mean: of the volume in the slice (``forward``), or of the slice in the volume."""

    meaning: Meaning
    forward: bool

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Reading | None:
        """Learnt from all blocks together; None where one image is flat there."""
        if not blocks:
            return None
        ours = np.concatenate([b.fixed.samples[b.inner].ravel() for b in blocks])
        theirs = np.concatenate([b.mapped[b.inner].ravel() for b in blocks])
        valid = np.isfinite(theirs)
        to_slice, to_volume = Meaning.of(theirs[valid], ours[valid]), Meaning.of(ours[valid], theirs[valid])
        if to_slice is None or to_volume is None:
            return None
        forward = to_slice.explained >= to_volume.explained
        return cls(to_slice if forward else to_volume, forward)

    def score(self, seen: Seen, voxel: float, centre: Vector) -> Terms:
        """Score (6,) and slope (6, 6) of one block for shifts along and turns about x, y and z of the slice.

        The gradient is that of the volume: a slice has none across itself.
        """
        inner, grid = seen.block.inner, seen.block.fixed
        target = grid.samples if self.forward else self.meaning(grid.samples)
        here, above, below = (self._read(part) for part in (seen.mapped, seen.above, seen.below))
        slopes = [np.gradient(here[0], grid.spacing[1 - axis], axis=axis)[None] for axis in (1, 0)]
        slopes.append((above - below) / voxel)
        gradient = np.stack([slope[inner].ravel() for slope in slopes], axis=1).astype(np.float64)
        weight = self.meaning.weights((seen.mapped if self.forward else grid.samples)[inner].ravel())
        difference = (target - here)[inner].ravel() * weight
        good = np.isfinite(gradient).all(axis=1) & np.isfinite(difference)
        gradient, weight = gradient[good], weight[good].astype(np.float64)
        rows = np.hstack([gradient, np.cross(_places(grid, inner)[good] - centre, gradient)])
        return Terms(rows.T @ difference[good], (rows * weight[:, None]).T @ rows, len(rows))

    def _read(self, samples: Samples) -> Samples:
        return self.meaning(samples) if self.forward else samples


def refine(
    plane: Plane, start: Matrix, *, iterations: int = 12, blunt: bool = False, check: Callable[[], None] = lambda: None
) -> Fitted | None:
    """Refine a map slice -> volume (4 x 4, um) until no corner moves; None where too little is shared.

    ``blunt`` keeps to linear interpolation and a tenth of a voxel: enough to tell one place from another.
    """
    matrix, steps, history, cubic = start, [], [], False
    corners, limit = plane.plane.corners(), 1.5 * plane.voxel
    for turn in range(iterations):
        check()
        blocks, _ = plane.read(matrix, cubic=cubic)
        reading = Reading.of(blocks)
        if reading is None:
            return None
        terms = [reading.score(seen, plane.voxel, plane.centre) for seen in plane.seen(blocks, matrix, cubic=cubic)]
        history.append(round(reading.meaning.explained, 6))
        slope, score = np.sum([t.slope for t in terms], axis=0), np.sum([t.score for t in terms], axis=0)
        step = np.linalg.lstsq(slope, score, rcond=1e-10)[0]
        delta = moved("rigid", WAYS, step, plane.centre)
        size = float(np.linalg.norm(apply(delta, corners) - corners, axis=1).max())
        if size > limit:  # beyond the reach of the gradient: go its way, not its length
            delta = moved("rigid", WAYS, step * (limit / size), plane.centre)
        matrix = np.asarray(matrix @ delta)
        steps.append(size)
        if (cubic and size <= _TOLERANCE * plane.voxel) or (blunt and size <= _BLUNT * plane.voxel):
            break
        # A linear interpolation is cheap and blunt: good for the way, not for the end.
        cubic = not blunt and (cubic or size <= _BLUNT * plane.voxel or turn >= iterations // 2)
    blocks, overlap = plane.read(matrix, cubic=False)
    reading = Reading.of(blocks)
    if reading is None:
        return None
    converged = cubic and steps[-1] <= _SETTLED * plane.voxel
    return Fitted(matrix, reading.meaning.explained, overlap, steps, history, converged)


def settle(plane: Plane, start: Matrix, check: Callable[[], None] = lambda: None) -> Settled | None:
    """Bring the scores of the blocks to zero from a refined map; None where too little is shared.

    Newton's method with one slope, taken by moving the slice: the gradient of the noise is in the slope of ``refine``,
    and not in this one.
    """
    blocks, _ = plane.read(start, cubic=True)
    reading = Reading.of(blocks)
    if reading is None or len(blocks) < 2:
        return None

    def terms_at(matrix: Matrix) -> list[Terms]:
        check()
        return [reading.score(seen, plane.voxel, plane.centre) for seen in plane.seen(blocks, matrix, cubic=True)]

    slopes = _slopes(terms_at, plane, start)
    whole, matrix, steps = slopes.sum(axis=0), start, []
    for _ in range(_NEWTON):
        terms = terms_at(matrix)
        step = np.linalg.lstsq(whole, np.sum([term.score for term in terms], axis=0), rcond=1e-10)[0]
        delta = moved("rigid", WAYS, step, plane.centre)
        steps.append(float(np.linalg.norm(apply(delta, plane.plane.corners()) - plane.plane.corners(), axis=1).max()))
        if steps[-1] <= _TOLERANCE * plane.voxel or steps[-1] > plane.voxel:
            break
        matrix = np.asarray(matrix @ delta)
    told = [Terms(term.score, slope, term.count) for term, slope in zip(terms, slopes, strict=True)]
    return Settled(
        matrix,
        jackknife(told),
        len(told),
        _residual(terms),
        reading.meaning.explained,
        steps,
        steps[-1] <= _SETTLED * plane.voxel,
    )


def _slopes(terms_at: Callable[[Matrix], list[Terms]], plane: Plane, matrix: Matrix) -> Vector:
    """How the score of each block falls with each move of the slice, (blocks, 6, 6), by central differences."""
    arm = float(np.linalg.norm(plane.plane.size_um)) / 2
    columns = []
    for way in range(6):
        move = np.zeros(6)
        move[way] = _DIFFERENCE * plane.voxel / (1.0 if way < 3 else arm)
        ends = [np.asarray(matrix @ moved("rigid", WAYS, sign * move, plane.centre)) for sign in (1, -1)]
        ahead, behind = terms_at(ends[0]), terms_at(ends[1])
        columns.append([(b.score - a.score) / (2 * move[way]) for a, b in zip(ahead, behind, strict=True)])
    return np.moveaxis(np.array(columns), 0, -1)


def _residual(terms: Sequence[Terms]) -> float:
    """Root mean square of the shifts that the blocks would still make, weighted by how well each can tell."""
    total, weight = 0.0, 0.0
    for term in terms:
        values, vectors = np.linalg.eigh(term.slope[:3, :3])
        kept = values > 1e-3 * max(values[-1], 1e-30)
        along = vectors[:, kept].T @ term.score[:3]
        total += float(np.sum(along**2 / values[kept]))
        weight += float(values[kept].sum()) / 3
    return float(np.sqrt(total / weight)) if weight > 0 else 0.0


def entries(matrix: Matrix, parameters: Vector, centre: Vector) -> Vector:
    """Covariance 12 x 12 of the entries of a map from that of small moves (6, 6) of the slice before it."""
    shift = np.eye(4)
    shift[:3, 3] = -centre
    rows = np.array([(matrix[:3, :3] @ way @ shift).ravel() for way in WAYS])
    covariance: Vector = rows.T @ parameters @ rows
    return (covariance + covariance.T) / 2.0


def _places(grid: Grid, inner: tuple[slice, ...]) -> Vector:
    """Sample centres (n, 3), um, of a part of a grid."""
    z, y, x = (
        grid.origin[2 - axis] + grid.spacing[2 - axis] * np.arange(cut.start, cut.stop)
        for axis, cut in enumerate(inner)
    )
    mesh = np.meshgrid(z, y, x, indexing="ij")
    return np.stack([part.ravel() for part in reversed(mesh)], axis=1)
