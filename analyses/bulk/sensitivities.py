"""What a conductivity is worth: how far it moves with everything that might as well have been otherwise.

Resolution is compared at full, half and a quarter of the resolution.  Boundary, segmentation and size of the volume are
compared at half the resolution where the volume has more than ``COARSE_ABOVE`` voxels: each is a difference between
two solutions on one grid, so that most of the error of that grid drops out, at an eighth of the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from analyses.bulk.cut import NotACutError, find_cut
from analyses.bulk.ensemble import MIN_TILES, statistics, tile_starts, whole_half_width
from analyses.bulk.homogenisation import Boundary, Homogenised
from analyses.bulk.phases import Phases
from analyses.bulk.problem import Matrix, Problem, Told
from analyses.sdk.contract import Context, PluginError
from analyses.sdk.values import ImageValue

Part = Literal["voxel", "boundary", "segmentation", "rve"]
PARTS: tuple[Part, ...] = ("voxel", "boundary", "segmentation", "rve")
COARSE_ABOVE = 1 << 18
MIN_COARSENED = 4  # voxels along the shortest axis of what is still coarsened, and of a tile
_TILES = (1 / 3, 1 / 2)  # edges relative to the shortest edge of the volume
_TILE_COUNT = 16
_TILE_TOLERANCE = 1e-3


class OmittedError(Exception):
    """A part of the error that cannot be had; the message says why."""


@dataclass
class Account:
    """Parts of the error (each d x d, in the unit of the value), what is left out and why, and facts for the reader."""

    errors: dict[str, Matrix] = field(default_factory=dict)
    omitted: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Estimate:
    """Works the account out; ``solved`` is the solution of ``problem``."""

    ctx: Context
    problem: Problem
    phases: Phases
    solved: Homogenised
    labels: ImageValue
    image: ImageValue | None
    asked: tuple[Part, ...]
    _half_solution: Matrix | None = None

    def account(self) -> Account:
        """Every part asked for, or the reason why it is not there."""
        account = Account({"solver": self.solved.solver})
        for number, part in enumerate(PARTS, start=1):
            told = told_of(self.ctx, number, len(PARTS) + 1)
            if part not in self.asked:
                account.omitted[part] = "not asked for (`error_parts`)"
                continue
            try:
                account.errors[part], facts = _ESTIMATES[part](self, told)
            except OmittedError as reason:
                account.omitted[part] = str(reason)
            except PluginError as error:
                if error.name != "not_converged":
                    raise
                account.omitted[part] = f"a solution that it needs did not converge: {dict(error.facts)}"
            else:
                account.facts |= facts
        self._constituents(account)
        account.omitted["scale"] = (
            "a common factor of all spacings does not enter; the errors of their ratios are unknown"
        )
        account.facts["compared_on"] = dict(zip(self.problem.cell.names, self._compared.cell.phase.shape, strict=True))
        return account

    def _constituents(self, account: Account) -> None:
        """Standard uncertainty from those of the phases, by the derivative dK/dk of every phase."""
        without = [int(label) for label, u in zip(self.phases.labels, self.phases.u, strict=True) if not u > 0]
        account.facts["phases_without_u"] = without
        if self.phases.uncertain:
            part = np.sqrt(np.einsum("p,pij->ij", self.phases.u**2, self.solved.sensitivity**2))
            account.errors["constituents"] = part
        else:
            account.omitted["constituents"] = "no phase came with an uncertainty `u`"

    @cached_property
    def _compared(self) -> Problem:
        """The problem on the grid on which variants are compared."""
        return self._half if self._coarse else self.problem

    @property
    def _coarse(self) -> bool:
        phase = self.problem.cell.phase
        return phase.size > COARSE_ABOVE and min(phase.shape) >= 2 * MIN_COARSENED

    @cached_property
    def _half(self) -> Problem:
        return self.problem.coarser()

    def _half_tensor(self, told: Told) -> Matrix:
        """Solution at half the resolution, solved for once."""
        if self._half_solution is None:
            self._half_solution = self._half.solve(told).tensor
        return self._half_solution

    def _reference(self, told: Told) -> Matrix:
        """What variants on the grid of comparison are compared with."""
        return self._half_tensor(told) if self._coarse else self.solved.tensor

    def voxel(self, told: Told) -> tuple[Matrix, dict[str, Any]]:
        """Order of the error of resolution, from two coarser solutions; from one, where a quarter would be too few.

        The difference to half the resolution alone may vanish by chance; half of the next one stands in for it then.
        """
        if min(self.problem.cell.phase.shape) < MIN_COARSENED:
            raise OmittedError(f"fewer than {MIN_COARSENED} voxels along an axis cannot be coarsened")
        fine, coarse = self.solved.tensor, self._half_tensor(told)
        error = np.asarray(np.abs(fine - coarse))
        facts: dict[str, Any] = {
            "voxel_error": "order of magnitude from half and a quarter of the resolution, not a bound",
            "extrapolated": self.problem.cell.embed(2 * fine - coarse),
            "extrapolation": "first order in the edge of a voxel: 2 K(n) - K(n/2)",
        }
        if min(self._half.cell.phase.shape) >= MIN_COARSENED:
            coarser = self._half.coarser().solve(told).tensor
            error = np.maximum(error, np.abs(coarse - coarser) / 2)
        return error, facts

    def boundary(self, told: Told) -> tuple[Matrix, dict[str, Any]]:
        """Difference to the other boundary condition."""
        other: Boundary = "mirrored" if self.problem.boundary == "periodic" else "periodic"
        reference = self._reference(told)
        tensor = self._compared.under(other).solve(told).tensor
        facts: dict[str, Any] = {"other_boundary": self.problem.cell.embed(tensor)}
        if other == "mirrored":
            facts["boundary_error"] = "diagonal entries only: the others vanish by symmetry under mirrored boundaries"
        return np.abs(reference - tensor), facts

    def segmentation(self, told: Told) -> tuple[Matrix, dict[str, Any]]:
        """Larger of the differences made by every threshold one step down and one step up."""
        if self.image is None:
            raise OmittedError("the image that the labels were cut from was not given (port `image`)")
        told("thresholds", 0.0)
        try:
            cut = find_cut(self.labels, self.image, self.phases)
        except NotACutError as reason:
            raise OmittedError(str(reason)) from reason
        shape = self.problem.cell.phase.shape
        tensors = {}
        for name, by in (("lower", -cut.shift), ("higher", cut.shift)):
            moved = self.problem.on(cut.phase(by).reshape(shape))
            tensors[name] = (moved.coarser() if self._coarse else moved).solve(told).tensor
        reference = self._reference(told)
        error = np.maximum(*(np.abs(tensor - reference) for tensor in tensors.values()))
        moved_to = {name: self.problem.cell.embed(tensor) for name, tensor in tensors.items()}
        return error, {"segmentation": {**cut.facts(), **moved_to}}

    def rve(self, told: Told) -> tuple[Matrix, dict[str, Any]]:
        """95% half-width of what other volumes of this size would give, extrapolated from tiles of this one."""
        shape = self._compared.cell.phase.shape
        edges = sorted({int(share * min(shape)) for share in _TILES})
        tiles = {edge: tile_starts(shape, edge, _TILE_COUNT, self.ctx.rng) for edge in edges if edge >= MIN_COARSENED}
        tiles = {edge: starts for edge, starts in tiles.items() if len(starts) >= MIN_TILES}
        if not tiles:
            raise OmittedError(f"{list(shape)} voxels are too few to cut into {MIN_TILES} tiles")
        found = {edge: self._tiles(edge, starts, told) for edge, starts in tiles.items()}
        dimension = len(shape)
        error = np.full((dimension, dimension), np.nan)
        for i, j in np.argwhere(~np.isnan(self.solved.tensor)):
            by_size = [statistics(edge, tensors[:, i, j]) for edge, tensors in found.items()]
            error[i, j] = whole_half_width(by_size, shape)
        return error, {"rve_tiles": {str(edge): len(tensors) for edge, tensors in found.items()}}

    def _tiles(self, edge: int, starts: list[tuple[int, ...]], told: Told) -> Matrix:
        phase = self._compared.cell.phase
        problem = replace(self._compared, tolerance=max(self.problem.tolerance, _TILE_TOLERANCE))
        tensors = []
        for number, start in enumerate(starts):
            told(f"tile {number + 1} of edge {edge}", number / len(starts))
            tile = phase[tuple(slice(first, first + edge) for first in start)]
            tensors.append(problem.on(tile).solve().tensor)
        return np.array(tensors)


_ESTIMATES: dict[Part, Callable[[Estimate, Told], tuple[Matrix, dict[str, Any]]]] = {
    "voxel": Estimate.voxel,
    "boundary": Estimate.boundary,
    "segmentation": Estimate.segmentation,
    "rve": Estimate.rve,
}


def told_of(ctx: Context, part: int, parts: int) -> Told:
    """Progress of one part of several, each given the same share; raises if the job is to end."""

    def told(text: str, fraction: float) -> None:
        ctx.check_cancelled()
        ctx.progress((part + min(fraction, 1.0)) / parts, text)

    return told


def extra_work(samples: float, asked: tuple[Part, ...]) -> float:
    """Work of the parts asked for, relative to the solution itself: measured on real and random volumes."""
    share = 1 / 8 if samples > COARSE_ABOVE else 1.0
    work: dict[Part, float] = {"voxel": 1 / 7, "boundary": 1.5 * share, "segmentation": 2 * share, "rve": 2 * share}
    return float(sum(work[part] for part in asked))
