"""A cell problem: what is solved, on which grid and under which boundary, so that variants of it are one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from analyses.bulk.coarse import coarsen
from analyses.bulk.homogenisation import Boundary, Homogenised, NotConvergedError, homogenise
from analyses.sdk.contract import PluginError

Direction = Literal["x", "y", "z"]
Matrix = npt.NDArray[np.float64]
Told = Callable[[str, float], None]
ORDER = ("x", "y", "z")
MAX_ITERATIONS = 3000


@dataclass(frozen=True)
class Cell:
    """A volume: phase indices (z, y, x) or (y, x), spacing along its axes, and which of z, y, x these are."""

    phase: npt.NDArray[np.uint8]
    spacing: tuple[float, ...]
    names: tuple[str, ...]

    def embed(self, matrix: Matrix) -> list[list[float | None]]:
        """Write a matrix over the axes of the cell as 3 x 3 over x, y, z, with None for what is not known."""
        place = {name: axis for axis, name in enumerate(self.names)}

        def entry(row: str, column: str) -> float | None:
            if row not in place or column not in place:
                return None
            value = float(matrix[place[row], place[column]])
            return None if np.isnan(value) else value

        return [[entry(row, column) for column in ORDER] for row in ORDER]


def make_cell(phase: npt.NDArray[np.uint8], spacing: tuple[float, float, float]) -> Cell:
    """The cell of a volume (z, y, x): axes of one sample are dropped."""
    kept = [axis for axis in range(3) if phase.shape[axis] > 1] or [2]
    shape = [phase.shape[axis] for axis in kept]
    names = tuple("zyx"[axis] for axis in kept)
    return Cell(np.ascontiguousarray(phase.reshape(shape)), tuple(spacing[axis] for axis in kept), names)


@dataclass(frozen=True)
class Problem:
    """A cell, the conductivity of every phase (n,), the boundary, the directions of load and the tolerance."""

    cell: Cell
    k: Matrix
    boundary: Boundary
    directions: tuple[Direction, ...]
    tolerance: float

    @property
    def axes(self) -> list[int]:
        """Axes of the cell that are loaded."""
        return [axis for axis, name in enumerate(self.cell.names) if name in self.directions]

    def on(self, phase: npt.NDArray[np.uint8]) -> Problem:
        """The same problem on other phases, the shape of which may differ."""
        return replace(self, cell=replace(self.cell, phase=np.ascontiguousarray(phase)))

    def coarser(self) -> Problem:
        """The same problem at half the resolution."""
        return self.on(coarsen(self.cell.phase))

    def under(self, boundary: Boundary) -> Problem:
        """The same problem under another boundary condition."""
        return replace(self, boundary=boundary)

    def solve(self, told: Told | None = None) -> Homogenised:
        """Solve for the effective tensor.

        Raises
        ------
        PluginError
            ``not_converged``, with the direction, the iterations and the change still expected.
        """
        try:
            return homogenise(
                self.cell.phase,
                self.k,
                spacing=self.cell.spacing,
                boundary=self.boundary,
                axes=self.axes,
                tolerance=self.tolerance,
                max_iterations=MAX_ITERATIONS,
                check=told,
            )
        except NotConvergedError as error:
            raise PluginError(
                "not_converged", direction=self.cell.names[error.axis], iterations=error.iterations, change=error.change
            ) from error
