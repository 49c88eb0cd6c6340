"""Registration by grey values: search, descent through the resolutions, refinement in blocks, verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.registration.blocks import Overlay, Refined, entries, layout, refine
from analyses.registration.common import (
    IntensityParams,
    check_pair,
    check_sizes,
    given_start,
    kind_of,
    nearest_rigid,
)
from analyses.registration.grids import Grid, Pixels, equalised
from analyses.registration.motion import Motion, lies_alike, linear
from analyses.registration.mutual import Climbed, Settings, climb, spun, value_at
from analyses.registration.starts import Start, proposals, turns
from analyses.registration.verdict import Agreement, agreement
from analyses.sdk.contract import Context, Cost, Inputs, Outputs, PluginError
from analyses.sdk.spatial import Matrix, apply, invert, is_mirrored
from analyses.sdk.values import ImageValue, TransformValue

LEAST_SAMPLES = 12
_MOST_SAMPLES = 1 << 24  # of a grid that is held in memory
_COARSEST = 32  # samples an axis below which a level tells nothing
_LOOKED_AT = 30_000  # samples of the metric on coarse levels
_RANKED = 300  # proposals whose metric is looked at
_RANKED_BY = 5_000  # samples of the metric when proposals are ranked
_DISTINCT = 4.0  # samples of the coarsest level between the corners of two answers
_KEPT = 3
_SPUN_FROM = 4  # answers whose turns are looked at
# Of the blocks.  Midway between the most seen on five unrelated pairs set apart for it (0.24) and a cylinder of
# concrete in X-rays and neutrons (0.67), the related pair that agrees least; see benchmarks/results/registration.md.
_AGREEING = 0.45
_HOPELESS = 0.15  # of the blocks: no refinement mends that
_GAP = 0.1  # by which an answer must be better than the next, or else be believed by more of the blocks:
_RIVAL = 0.5  # the next by at most this part of those
_TOLERANCE = 0.005  # samples: the refinement ends there
# What the scatter of blocks does not show (interpolation, bins of the joint histogram), in samples of the coarser image
# and one standard deviation along each axis; chosen on other phantoms than those reported (benchmarks/registration).
FLOOR = 0.004


@dataclass(frozen=True)
class Level:
    """Both images at one resolution."""

    fixed: Grid
    moving: Grid
    spacing: float


class Registration:
    """One run: what is looked at, and what has been found so far."""

    def __init__(self, motion: Motion, ctx: Context, params: IntensityParams, fixed: Pixels, moving: Pixels) -> None:
        self.motion, self.ctx, self.params, self.fixed, self.moving = motion, ctx, params, fixed, moving
        self.base = max(fixed.finest, moving.finest)
        self.numbers = self._numbers()
        self.coarsest = self.level(self.numbers[0])
        self.corners = self.coarsest.fixed.corners()
        self.centre = self.coarsest.fixed.centre
        self.history: list[dict[str, Any]] = []
        self.gap: float | None = None
        self.runner_up: Climbed | None = None
        self.rivalled = 0.0  # blocks that believe the runner-up, as a part of those that believe the answer

    def factors(self, number: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Samples averaged into one at a level, of the fixed and of the moving image."""
        spacing = self.base * 2**number
        return self.fixed.factors_for(spacing), self.moving.factors_for(spacing)

    def level(self, number: int) -> Level:
        """Both images at a level; 0 is the resolution of the coarser image."""
        ours, theirs = self.factors(number)
        grids = self.fixed.at(ours), self.moving.at(theirs)
        for name, grid in zip(("fixed", "moving"), grids, strict=True):
            if not np.ptp(grid.samples) > 0:
                raise PluginError("flat_image", image=name)
        return Level(equalised(grids[0]), equalised(grids[1]), self.base * 2**number)

    def _numbers(self) -> list[int]:
        """Levels to go through, coarsest first, those that fit into memory and still show something."""
        fits: list[int] = []
        for number in range(24):
            shapes = [p.level_shape(f) for p, f in zip((self.fixed, self.moving), self.factors(number), strict=True)]
            if max(int(np.prod(shape)) for shape in shapes) > _MOST_SAMPLES:
                continue
            if fits and min(n for shape in shapes for n in shape if n > 1) < _COARSEST:
                break
            fits.append(number)
            if len(fits) == self.params.levels:
                break
        return fits[::-1]

    def settings(self, number: int, grid: Grid, motion: Motion) -> Settings:
        """How the metric is followed on a level: all samples of small grids, a part of large ones, always the same."""
        params = self.params
        part = params.sampling if number == 0 else min(1.0, max(params.sampling, _LOOKED_AT / grid.samples.size))
        bins = params.bins if number < self.numbers[0] or len(self.numbers) == 1 else min(params.bins, 24)
        return Settings(motion, params.metric, bins, part, seed=1 + self.ctx.seed % (2**31 - 2))

    def overlap(self, matrix: Matrix) -> float:
        """Part of the smaller image that lies in the other, counted on a lattice of points."""
        parts = []
        for grid, other, way in (
            (self.coarsest.fixed, self.coarsest.moving, matrix),
            (self.coarsest.moving, self.coarsest.fixed, invert(matrix)),
        ):
            unit = np.stack(np.meshgrid(*[np.linspace(0, 1, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
            index = (apply(way, np.array(grid.origin) + unit * grid.size_um) - other.origin) / other.spacing
            size = np.array(other.samples.shape[::-1]) - 1
            flat = size == 0
            parts.append(float((((index >= -0.5) & (index <= size + 0.5)) | flat).all(axis=1).mean()))
        return max(parts)

    # ------------------------------------------------------------------------------------------------------- search

    def begin(self, start: Matrix | None, hands: list[bool]) -> list[Climbed]:
        """Answers on the coarsest level, best first, each distinct from those before."""
        level, params = self.coarsest, self.params
        base = np.eye(4) if start is None else invert(start)
        if start is None:
            base[:3, 3] = level.moving.centre - level.fixed.centre
        places: list[Matrix] = [] if start is None else [base]
        rotations = turns(level.fixed.dimensions, params.search_deg, start is not None)
        bases = [base @ self._mirror() if mirrored else base for mirrored in hands]
        if params.starts > 1 or start is None:
            found = []
            for turned in bases:
                found += proposals(
                    level.fixed, level.moving, turned, rotations, params.min_overlap, self.ctx.check_cancelled
                )
            for proposal in self._ranked(found):
                if len(places) >= params.starts:
                    break
                if all(self._apart(proposal, place) > _DISTINCT / 2 for place in places):
                    places.append(proposal)
        answers = self._climb_all(places[: params.starts], self.numbers[0], "rigid", 0.1, 0.4)
        if params.starts > 1 or start is None:
            answers = self._spun(answers, [turned @ linear(rotation) for turned in bases for rotation in rotations])
        return answers

    def _spun(self, answers: list[Climbed], turned: list[Matrix]) -> list[Climbed]:
        """Answers and those turns of them that fit better, followed downhill."""
        level = self.coarsest
        image, settings = level.moving.image(), self._quick()
        places: list[Matrix] = []
        for answer in answers[:_SPUN_FROM]:
            self.ctx.check_cancelled()
            same = [to for to in turned if lies_alike(to, answer.matrix)]
            places += spun(level.fixed, image, answer.matrix, same, settings)
        return self._climb_all(places, self.numbers[0], "rigid", 0.4, 0.5, among=answers) if places else answers

    def _quick(self) -> Settings:
        """The metric of the coarsest level from few samples, to compare many places."""
        grid = self.coarsest.fixed
        return replace(self.settings(self.numbers[0], grid, "rigid"), sampling=min(1.0, _RANKED_BY / grid.samples.size))

    def _ranked(self, found: list[Start]) -> list[Matrix]:
        """Proposals by the metric where they are, best first: correlation proposes, a rim dominates it."""
        level = self.coarsest
        image, settings = level.moving.image(), self._quick()
        best = sorted(found, key=lambda place: -place.score)[:_RANKED]
        valued = [(value_at(level.fixed, image, place.matrix, settings), place.matrix) for place in best]
        return [m for value, m in sorted(((v, m) for v, m in valued if v is not None), key=lambda pair: pair[0])]

    def _mirror(self) -> Matrix:
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        mirror[0, 3] = 2.0 * self.centre[0]
        return mirror

    def _apart(self, a: Matrix, b: Matrix) -> float:
        """How far two maps take the corners of the fixed image apart, in samples of the coarsest level."""
        apart = np.linalg.norm(apply(a, self.corners) - apply(b, self.corners), axis=1)
        return float(apart.mean()) / self.coarsest.spacing

    def _climb_all(
        self,
        places: list[Matrix],
        number: int,
        motion: Motion,
        begin: float,
        end: float,
        among: Sequence[Climbed] = (),
    ) -> list[Climbed]:
        level = self.coarsest if number == self.numbers[0] else self.level(number)
        image, settings = level.moving.image(), self.settings(number, level.fixed, motion)
        if number < self.numbers[0]:
            settings = replace(settings, first_step=0.5)
        found = list(among)
        for count, place in enumerate(places):
            self.ctx.check_cancelled()
            answer = climb(level.fixed, image, place, settings)
            if answer is not None and self.overlap(answer.matrix) >= self.params.min_overlap:
                found.append(answer)
            self.ctx.progress(begin + (end - begin) * (count + 1) / len(places), f"level {number}")
        found = self._distinct(sorted(found, key=lambda answer: answer.metric))
        if len(found) > 1:
            self.gap, self.runner_up = score_gap(found), found[1]
        if found:
            self.history.append({"level": number, "spacing_um": level.spacing, "metric": found[0].history})
        return found

    def _distinct(self, answers: list[Climbed]) -> list[Climbed]:
        kept: list[Climbed] = []
        for answer in answers:
            if all(self._apart(answer.matrix, other.matrix) > _DISTINCT for other in kept):
                kept.append(answer)
        return kept

    def descend(self, answers: list[Climbed]) -> list[Climbed]:
        """The best answers followed to finer levels, the last of which is left to the blocks."""
        for number in self.numbers[1:-1]:
            kept = [answer for answer in answers[:_KEPT] if answer.metric < 0.3 * answers[0].metric]
            finer = self._climb_all([a.matrix for a in kept or answers[:1]], number, self.motion, 0.5, 0.7)
            answers = finer or answers
        return answers

    # ----------------------------------------------------------------------------------------------------- the end

    def overlay(self) -> Overlay:
        """Both images block by block, at the resolution of the coarser one."""
        factors = self.factors(0)
        return Overlay(self.fixed, self.moving, factors, layout(self.fixed.level_shape(factors[0])))

    def chosen(self, answers: list[Climbed], overlay: Overlay) -> tuple[Climbed, Agreement]:
        """The answer that most blocks believe, among those whose metrics cannot tell them apart, and how many do."""
        near = [a for a in answers[:_KEPT] if a.metric - answers[0].metric < _GAP * abs(answers[0].metric)]
        asked = [agreement(overlay.map(answer.matrix, cubic=False)) for answer in near]
        order = sorted(range(len(near)), key=lambda number: -asked[number].agreeing)
        if len(near) > 1:
            best, next_ = order[:2]
            self.runner_up, self.gap = near[next_], score_gap([near[best], near[next_]])
            self.rivalled = asked[next_].agreeing / max(1, asked[best].agreeing)
        return near[order[0]], asked[order[0]]

    def refined(self, matrix: Matrix, overlay: Overlay) -> tuple[Refined | None, Agreement]:
        """Refine in blocks, and ask the blocks."""
        found = refine(
            overlay,
            matrix,
            self.motion,
            self.centre,
            self.corners,
            tolerance_um=_TOLERANCE * self.base,
            check=self.ctx.check_cancelled,
        )
        end = matrix if found is None or not found.converged else found.matrix
        return found, agreement(overlay.map(end, cubic=False))


def run_intensity(motion: Motion, ctx: Context, params: IntensityParams, inputs: Inputs) -> Outputs:
    """Register the moving to the fixed image.

    Starts are proposed by correlation over all shifts and a set of rotations, followed downhill on the coarsest level,
    and the best of them through the finer levels.  At the resolution of the coarser image the map is refined in blocks,
    whose scatter gives its covariance.  Blocks that would fit better elsewhere, or another place that fits about as
    well, end the run with the reason.
    """
    fixed_image, moving_image = inputs["fixed"], inputs["moving"]
    check_pair(fixed_image, moving_image)
    fixed = Pixels(fixed_image, params.fixed_channel, params.fixed_time)
    moving = Pixels(moving_image, params.moving_channel, params.moving_time)
    check_sizes(fixed, moving, LEAST_SAMPLES)
    start_name, start = given_start(params.start, inputs, fixed_image, moving_image)
    job = Registration(motion, ctx, params, fixed, moving)
    if start is not None and motion == "rigid":
        start = nearest_rigid(start, job.coarsest.moving.centre)
    hands = _hands(params, fixed_image, moving_image, start)
    answers = job.begin(start, hands)
    if not answers:
        raise PluginError("no_overlap", overlap=0.0, least=params.min_overlap)
    answers, overlay = job.descend(answers), job.overlay()
    answer, asked = job.chosen(answers, overlay)
    if asked.fraction < _HOPELESS:
        raise _unrelated(asked)
    refined, asked = job.refined(answer.matrix, overlay)
    ctx.progress(0.95, "verdict")
    overlap = job.overlap(answer.matrix)
    believed = _believe(job, answer, refined, asked, overlap)
    return {"transform": _answer(job, answer, believed, asked, overlap, start_name, hands)}


def _hands(params: IntensityParams, fixed: ImageValue, moving: ImageValue, start: Matrix | None) -> list[bool]:
    """Whether to try the image as it is, its mirror image, or both."""
    known = {fixed.handedness, moving.handedness}
    if params.handedness == "either" or (params.handedness == "auto" and start is None and "unknown" in known):
        return [False, True]
    return [start is None and params.handedness == "auto" and known == {"left", "right"}]


def _believe(job: Registration, answer: Climbed, refined: Refined | None, asked: Agreement, overlap: float) -> Refined:
    """Let an answer pass that deserves it, end the run with the reason otherwise."""
    if overlap < job.params.min_overlap:
        raise PluginError("no_overlap", overlap=overlap, least=job.params.min_overlap)
    if not asked.enough or asked.fraction < _AGREEING:
        raise _unrelated(asked)
    if refined is None or not refined.converged:
        raise PluginError("unrelated", reason="the refinement in blocks does not settle")
    if job.gap is not None and job.runner_up is not None and job.gap < _GAP and job.rivalled > _RIVAL:
        other = is_mirrored(answer.matrix) != is_mirrored(job.runner_up.matrix)
        raise PluginError(
            "ambiguous",
            best=answer.metric,
            next=job.runner_up.metric,
            reason="one is the mirror image of the other; declare the handedness" if other else "give a start",
        )
    return refined


def _unrelated(asked: Agreement) -> PluginError:
    if not asked.enough:
        return PluginError("unrelated", reason=f"only {asked.blocks} blocks overlap and show anything in both images")
    reason = f"{asked.agreeing} of {asked.blocks} blocks fit best where the answer puts them"
    return PluginError("unrelated", reason=f"{reason}; {_AGREEING:.0%} are needed")


def score_gap(answers: list[Climbed]) -> float:
    """By how much the best answer is better than the next, as a part of itself."""
    return float((answers[1].metric - answers[0].metric) / abs(answers[0].metric))


def _answer(
    job: Registration,
    answer: Climbed,
    refined: Refined,
    asked: Agreement,
    overlap: float,
    start: str,
    hands: list[bool],
) -> TransformValue:
    matrix = invert(refined.matrix)
    if job.motion == "rigid":
        matrix = nearest_rigid(matrix, job.coarsest.moving.centre)
    dimensions = job.coarsest.fixed.dimensions
    covariance = entries(refined, job.motion, dimensions)
    facts = {
        "metric": answer.metric,
        "metric_name": job.params.metric,
        "metric_history": job.history,
        "score_gap": job.gap,
        "rivalled": job.rivalled,
        "next_metric": None if job.runner_up is None else job.runner_up.metric,
        "start": start,
        "handedness_tried": ["mirrored" if mirrored else "as_given" for mirrored in hands],
        "overlap": overlap,
        "blocks": refined.blocks,
        "blocks_agreeing": asked.fraction,
        "explained": refined.explained,
        "refinement_steps_um": refined.steps,
        "covariance_from": "jackknife over blocks, with a floor" if covariance is not None else "none: too few blocks",
        "floor_um": FLOOR * job.base,
        "resolution_um": job.base,
    }
    return TransformValue(
        kind=kind_of(matrix, job.motion),
        matrix=matrix,
        source="moving",
        target="fixed",
        covariance=None if covariance is None else covariance + floor(FLOOR * job.base, dimensions),
        # a whole matrix was estimated, not one scale: Hotelling's T^2 has that many fewer, up to (n - 1) / (n - p)
        degrees_of_freedom=None if covariance is None else max(1, refined.blocks - dimensions),
        residual_um=refined.residual_um,
        facts=facts,
    )


def cost_of(params: IntensityParams, inputs: Mapping[str, Any]) -> Cost:
    """Memory of the grids of the finest level held; time of the search, the descents and the blocks."""
    fixed = Pixels(inputs["fixed"], params.fixed_channel, params.fixed_time)
    moving = Pixels(inputs["moving"], params.moving_channel, params.moving_time)
    samples = sum(min(_MOST_SAMPLES, float(np.prod(pixels.shape))) for pixels in (fixed, moving))
    seconds = 5.0 + 0.5 * params.starts + 5e-6 * samples * (1 + params.sampling)
    return Cost(int(40 * samples) + 256 * 2**20, seconds)


def floor(u_um: float, dimensions: int) -> npt.NDArray[np.float64]:
    """Covariance 12 x 12 of a shift of standard deviation ``u_um`` along each axis."""
    found = np.zeros((12, 12))
    for axis in range(dimensions):
        found[4 * axis + 3, 4 * axis + 3] = u_um**2
    return found
