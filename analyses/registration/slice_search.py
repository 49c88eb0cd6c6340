"""One slice looked for in one volume: what is asked for, the resolutions gone through, and the answers found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage

from analyses.registration.grids import Grid, Pixels, equalised
from analyses.registration.likeness import agreement
from analyses.registration.slice_blocks import Fitted, Plane, Reading, Settled, refine, settle
from analyses.registration.slices import Finder, Place, rotations, search
from analyses.registration.verdict import Agreement
from analyses.sdk.contract import Context, Params, PluginError
from analyses.sdk.spatial import Matrix, apply

SEARCHED = 64  # samples of the slice along its longer axis when it is searched for
MOST_SAMPLES = 1 << 24  # of a volume that is held in memory
_REFINED = 1 << 30  # samples of the finest level that is read block by block
_COARSE_SIGMA = 1.2  # voxels: a start may lie further off than what is fine is wide
_DISTINCT = 4.0  # voxels between the corners of two answers
_RANKED = 60  # places that are looked at more closely
_FOLLOWED = 2  # answers that are refined at the resolution of the volume
_FINE = 0.5  # samples of the slice in voxels, when it is refined


class SliceParams(Params):
    """How far and how finely a slice is looked for."""

    search_um: float | None = Field(
        default=None,
        ge=0,
        description=(
            "how far the middle of the slice may lie from where the start puts it, along each axis, um; by default 10 "
            "voxels from a transform, else as far as the volume reaches"
        ),
    )
    search_deg: float = Field(
        default=10.0, ge=0, le=180, description="how far the slice may be turned from the start about any axis, degrees"
    )
    starts: int = Field(default=12, ge=2, le=200, description="places that are followed to where they fit best")
    start: Literal["auto", "stage", "centre", "history"] = Field(
        default="auto",
        description=(
            "where the search begins: at the transform of the port of that name, or with the middle of the slice on "
            "that of the volume and parallel axes; `auto`: at `initial` where given, else `stage`, `history`, `centre`"
        ),
    )
    handedness: Literal["auto", "as_given", "either"] = Field(
        default="auto",
        description=(
            "whether the mirrored slice is tried too: `auto` where no transform is given to start from and the "
            "handedness of an image is not declared"
        ),
    )
    min_overlap: float = Field(default=0.5, ge=0.1, le=1, description="smallest part of the slice in the volume")
    fixed_channel: int = Field(default=0, ge=0, description="channel of the volume, from 0")
    fixed_time: int = Field(default=0, ge=0, description="time point of the volume, from 0")
    moving_channel: int = Field(default=0, ge=0, description="channel of the slice, from 0")
    moving_time: int = Field(default=0, ge=0, description="time point of the slice, from 0")


@dataclass(frozen=True)
class Answer:
    """One place that was followed: how it was refined, and whether it is the mirrored slice."""

    fitted: Fitted
    mirrored: bool

    @property
    def matrix(self) -> Matrix:
        """Slice -> volume, um."""
        return self.fitted.matrix


class SliceSearch:
    """One run: a slice, a volume, and the resolutions at which they are looked at."""

    def __init__(self, ctx: Context, params: SliceParams, volume: Pixels, plane: Pixels) -> None:
        self.ctx, self.params, self.volume, self.plane = ctx, params, volume, plane
        self.voxel = max(volume.finest, plane.finest)
        while np.prod(volume.level_shape(volume.factors_for(self.voxel))) > _REFINED:
            self.voxel *= 2
        self.coarse = self.voxel * self._step()
        self.history: list[dict[str, Any]] = []
        self.rivals: tuple[Answer, Answer] | None = None  # the best two, on the finest level that still had two
        grids = self.at(self.coarse)
        for name, grid in zip(("moving", "fixed"), grids, strict=True):
            if not np.ptp(grid.samples) > 0:
                raise PluginError("flat_image", image=name)
        self.grids = grids
        self.corners = grids[0].corners()

    def _step(self) -> int:
        """Voxels averaged into one when the slice is searched for."""
        step = 1
        while self._too_fine(step):
            step *= 2
        return step

    def _too_fine(self, step: int) -> bool:
        factors = self.factors(self.voxel * step)
        slice_shape, volume_shape = self.plane.level_shape(factors[0]), self.volume.level_shape(factors[1])
        return max(slice_shape) > SEARCHED or int(np.prod(volume_shape)) > MOST_SAMPLES

    def factors(self, spacing: float, finer: float = 1.0) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Samples (z, y, x) averaged into one, of the slice and of the volume."""
        return self.plane.factors_for(spacing * finer), self.volume.factors_for(spacing)

    def at(self, spacing: float) -> tuple[Grid, Grid]:
        """Slice and volume at about one spacing."""
        ours, theirs = self.factors(spacing)
        return self.plane.at(ours), self.volume.at(theirs)

    def apart(self, a: Matrix, b: Matrix) -> float:
        """How far two maps take the corners of the slice apart, in voxels of the search."""
        return float(np.linalg.norm(apply(a, self.corners) - apply(b, self.corners), axis=1).mean()) / self.coarse

    def begin(self, start: Matrix, hands: list[bool], search_um: float) -> list[Answer]:
        """Places that fit, best first, each distinct from those before."""
        plane, volume = (equalised(grid) for grid in self.grids)
        blunt = [0.0, 0.7, 0.7]
        finder = Finder(
            Grid(ndimage.gaussian_filter(plane.samples, blunt), (self.coarse_slice,) * 3, plane.origin),
            Grid(ndimage.gaussian_filter(volume.samples, 0.6), volume.spacing, volume.origin),
            search_um,
            self.params.min_overlap,
        )
        turns = rotations(self.params.search_deg, max(plane.samples.shape) / 2)
        places: list[tuple[Place, bool]] = []
        for mirrored in hands:
            begun = start @ self._mirror() if mirrored else start
            found = search(finder, [begun], turns, self.ctx.check_cancelled, self._told)
            places += [(place, mirrored) for place in found]
            places.append((Place(begun, 1.0), mirrored))  # a start is a place too
        places.sort(key=lambda pair: -pair[0].score)
        return self._follow(self._chosen(self._ranked(places)), self.coarse, _COARSE_SIGMA)

    def _ranked(self, places: list[tuple[Place, bool]]) -> list[tuple[Place, bool]]:
        """The places that correlate best, by what the volume explains of the slice there: what is followed later."""
        plane = Plane(self.plane, self.volume, self.factors(self.coarse), sigma=_COARSE_SIGMA, per_axis=2)
        kept: list[tuple[Place, bool]] = []
        for place, mirrored in places:
            if len(kept) >= _RANKED:
                break
            if all(self.apart(place.matrix, other.matrix) > 1.0 for other, _ in kept):
                reading = Reading.of(plane.read(place.matrix, cubic=False)[0])
                kept.append((Place(place.matrix, reading.meaning.explained if reading else 0.0), mirrored))
        return sorted(kept, key=lambda pair: -pair[0].score)

    @property
    def coarse_slice(self) -> float:
        """Spacing of the slice when it is searched for, um."""
        return float(self.grids[0].spacing[0])

    def _told(self, fraction: float) -> None:
        self.ctx.progress(0.5 * fraction, "search")

    def _mirror(self) -> Matrix:
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        mirror[0, 3] = 2.0 * self.grids[0].centre[0]
        return mirror

    def _chosen(self, places: list[tuple[Place, bool]]) -> list[tuple[Matrix, bool]]:
        """What is followed: half of it the best places, the other half the best far from all of these.

        Without the second half no other place would be known where the best ones all lie round one.
        """
        chosen: list[tuple[Matrix, bool]] = []
        for apart, most in ((_DISTINCT / 2, (self.params.starts + 1) // 2), (1.25 * _DISTINCT, self.params.starts)):
            for place, mirrored in places:
                if len(chosen) >= most:
                    break
                if all(self.apart(place.matrix, other) > apart for other, _ in chosen):
                    chosen.append((place.matrix, mirrored))
        return chosen

    def _follow(
        self, places: list[tuple[Matrix, bool]], spacing: float, sigma: float, finer: float = 1.0
    ) -> list[Answer]:
        plane = Plane(
            self.plane, self.volume, self.factors(spacing, finer), sigma=sigma, per_axis=4 if finer < 1 else 2
        )
        found = []
        for number, (matrix, mirrored) in enumerate(places):
            fitted = refine(plane, matrix, blunt=finer >= 1, check=self.ctx.check_cancelled)
            if fitted is not None and fitted.overlap >= self.params.min_overlap:
                found.append(Answer(fitted, mirrored))
            self.ctx.progress(0.5 + 0.3 * (number + 1) / len(places), f"refined at {spacing:.4g} um")
        found.sort(key=lambda answer: -answer.fitted.explained)
        kept: list[Answer] = []
        for answer in found:
            if all(self.apart(answer.matrix, other.matrix) > _DISTINCT for other in kept):
                kept.append(answer)
        if len(kept) > 1:
            self.rivals = (kept[0], kept[1])
        if kept:
            self.history.append({"spacing_um": spacing, "metric": kept[0].fitted.explained_history})
        return kept

    def descend(self, answers: list[Answer]) -> list[Answer]:
        """The best answers followed down to the resolution of the volume."""
        spacing = self.coarse
        while spacing > self.voxel * 1.01:
            spacing /= 2
            finer = self._follow([(a.matrix, a.mirrored) for a in answers[:_FOLLOWED]], spacing, _COARSE_SIGMA)
            answers = finer or answers
        return self._follow([(a.matrix, a.mirrored) for a in answers[:_FOLLOWED]], spacing, 0.7, _FINE) or answers

    def end(self, answer: Answer) -> tuple[Settled | None, Agreement]:
        """Settle an answer, and ask the blocks of the slice whether they would fit better elsewhere."""
        fine = Plane(self.plane, self.volume, self.factors(self.voxel, _FINE))
        settled = settle(fine, answer.matrix, self.ctx.check_cancelled)
        asked = Plane(self.plane, self.volume, self.factors(self.voxel))
        matrix = settled.matrix if settled is not None and settled.converged else answer.matrix
        return settled, agreement(asked.read(matrix, cubic=False)[0])
