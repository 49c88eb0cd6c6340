"""Effective conductivity tensor of a segmented volume, with an account of its errors.

The tensor is computed by ``analyses.bulk.homogenisation``; this module turns labels and phases into its arguments,
checks the result against the bounds, and estimates what the number is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from analyses.bulk.bounds import COVERAGE_95
from analyses.bulk.closed_forms import wiener
from analyses.bulk.coarse import coarsen
from analyses.bulk.homogenisation import Boundary, Homogenised, NotConvergedError, homogenise
from analyses.bulk.phases import (
    PHASE_EXIT_CODES,
    PhaseParams,
    Phases,
    compact,
    material_quantity,
    resolve,
    solver_seconds,
)
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, PluginError, PluginSpec, Port
from analyses.sdk.values import Column, ImageValue, Interval, PropertyValue, TableValue
from analyses.sdk.volumes import Volume, relative_spacing

Direction = Literal["x", "y", "z"]
Matrix = npt.NDArray[np.float64]
ORDER = ("x", "y", "z")
BOUND_SLACK = 1e-3
MAX_ITERATIONS = 3000
MIN_COARSENED = 4  # voxels along the shortest axis of what is still coarsened
_FREE = (slice(None), slice(None))


class ConductivityParams(PhaseParams):
    """What is computed and how well."""

    boundary: Boundary = Field(
        default="periodic",
        description="how the volume goes on: repeated, or repeated as its mirror image (insulated sides)",
    )
    tolerance: float = Field(
        default=1e-4,
        ge=1e-7,
        le=0.1,
        description="relative change of the property still expected when the solver stops",
    )
    directions: tuple[Direction, ...] = Field(
        default=("x", "y", "z"), min_length=1, max_length=3, description="directions of the mean gradient to solve for"
    )
    error_parts: tuple[Literal["voxel", "boundary"], ...] = Field(
        default=("voxel",),
        max_length=2,
        description=(
            "further errors to estimate: `voxel` solves once more at half and at a quarter of the resolution, which "
            "gives the order of the error, `boundary` once more with the other boundary condition"
        ),
    )

    @field_validator("directions", "error_parts")
    @classmethod
    def _distinct(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(given)) != len(given):
            raise ValueError(f"each may be named once; given {list(given)}")
        return given


@dataclass(frozen=True)
class Cell:
    """A problem to solve: phase indices (z, y, x) or (y, x), spacing along its axes, and which of z, y, x these are."""

    phase: npt.NDArray[np.uint8]
    spacing: tuple[float, ...]
    names: tuple[str, ...]


def run(ctx: Context, params: ConductivityParams, inputs: Inputs) -> Outputs:
    """Effective conductivity: 3 x 3, rows and columns x, y, z, in ``params.unit``.

    An axis of one sample is left out of the problem (a plane is two-dimensional) and its entries are None, as are those
    of directions not asked for and the off-diagonals under mirrored boundaries, which vanish by symmetry.

    ``error`` parts, each 3 x 3 in the unit of the value: ``solver`` (what iteration still would change), ``voxel``
    (the larger of the difference to half the resolution and half of that between half and a quarter: for a scheme of
    first order at interfaces, of the order of the error at full resolution, no bound), ``boundary`` (difference to the
    other boundary condition), ``constituents`` (standard uncertainty from the phases).  The interval adds the first
    three and 1.96 of the last; no probability is claimed for the sum.
    """
    image: ImageValue = inputs["labels"]
    spacing = relative_spacing(image)
    if spacing is None:
        raise PluginError("spacing_incomplete", spacing={axis: image.spacing_um.get(axis) for axis in ("z", "y", "x")})
    phases = resolve(params, image)
    if not np.any(phases.k > 0):
        raise PluginError("insulating_phase", labels=phases.labels.tolist())
    cell = make_cell(compact(Volume(image).read_all(), phases), spacing)
    if not any(name in cell.names for name in params.directions):
        raise PluginError("no_direction", directions=list(params.directions), axes=list(cell.names))
    parts = 1 + len(params.error_parts)
    solved = _solve(cell, phases, params, params.boundary, _told(ctx, 0, parts))
    check_bounds(solved.tensor, phases)
    errors = _errors(ctx, cell, phases, params, solved)
    return {"tensor": _tensor(cell, phases, params, solved, errors), "history": _history(cell, params, solved)}


def make_cell(phase: npt.NDArray[np.uint8], spacing: tuple[float, float, float]) -> Cell:
    """The problem of a volume (z, y, x): axes of one sample are dropped."""
    kept = [axis for axis in range(3) if phase.shape[axis] > 1] or [2]
    shape = [phase.shape[axis] for axis in kept]
    names = tuple("zyx"[axis] for axis in kept)
    return Cell(np.ascontiguousarray(phase.reshape(shape)), tuple(spacing[axis] for axis in kept), names)


def _solve(
    cell: Cell,
    phases: Phases,
    params: ConductivityParams,
    boundary: Boundary,
    told: Callable[[str, float], None],
) -> Homogenised:
    axes = [axis for axis, name in enumerate(cell.names) if name in params.directions]
    try:
        return homogenise(
            cell.phase,
            phases.k,
            spacing=cell.spacing,
            boundary=boundary,
            axes=axes,
            tolerance=params.tolerance,
            max_iterations=MAX_ITERATIONS,
            check=told,
        )
    except NotConvergedError as error:
        raise PluginError(
            "not_converged", direction=cell.names[error.axis], iterations=error.iterations, change=error.change
        ) from error


def _told(ctx: Context, part: int, parts: int) -> Callable[[str, float], None]:
    def told(text: str, fraction: float) -> None:
        ctx.check_cancelled()
        ctx.progress((part + min(fraction, 1.0)) / parts, text)

    return told


def check_bounds(tensor: Matrix, phases: Phases) -> None:
    """Eigenvalues within the Wiener bounds of the mixture, to 1e-3; else the result is wrong and is not given out.

    The diagonal of a symmetric tensor lies between its eigenvalues, so that it is checked where eigenvalues are not
    known.
    """
    low, high = wiener(phases.fractions, phases.k)
    diagonal = np.diag(tensor)
    known = ~np.isnan(diagonal)
    block = tensor[np.ix_(known, known)]
    values = diagonal[known] if np.isnan(block).any() else np.linalg.eigvalsh(block)
    if values.min() < low * (1 - BOUND_SLACK) or values.max() > high * (1 + BOUND_SLACK):
        raise PluginError("outside_bounds", eigenvalues=values.tolist(), low=low, high=high)


def _errors(
    ctx: Context, cell: Cell, phases: Phases, params: ConductivityParams, solved: Homogenised
) -> dict[str, Matrix]:
    parts = 1 + len(params.error_parts)
    errors = {"solver": solved.solver}
    for number, part in enumerate(params.error_parts, start=1):
        told = _told(ctx, number, parts)
        if part == "boundary":
            other: Boundary = "mirrored" if params.boundary == "periodic" else "periodic"
            errors["boundary"] = np.abs(solved.tensor - _solve(cell, phases, params, other, told).tensor)
        elif min(cell.phase.shape) >= MIN_COARSENED:
            errors["voxel"] = _voxel_error(cell, phases, params, solved.tensor, told)
    if phases.uncertain:
        errors["constituents"] = np.sqrt(np.einsum("p,pij->ij", phases.u**2, solved.sensitivity**2))
    return errors


def _voxel_error(
    cell: Cell, phases: Phases, params: ConductivityParams, fine: Matrix, told: Callable[[str, float], None]
) -> Matrix:
    """Order of the error of resolution from two coarser solutions; from one, where a quarter would be too few voxels.

    The difference to half the resolution alone may vanish by chance; half of the next one stands in for it then.
    """
    half = Cell(coarsen(cell.phase), cell.spacing, cell.names)
    coarse = _solve(half, phases, params, params.boundary, told).tensor
    error = np.asarray(np.abs(fine - coarse))
    if min(half.phase.shape) < MIN_COARSENED:
        return error
    quarter = Cell(coarsen(half.phase), cell.spacing, cell.names)
    coarser = _solve(quarter, phases, params, params.boundary, told).tensor
    return np.asarray(np.maximum(error, np.abs(coarse - coarser) / 2))


def _tensor(
    cell: Cell, phases: Phases, params: ConductivityParams, solved: Homogenised, errors: Mapping[str, Matrix]
) -> PropertyValue:
    half = np.zeros_like(solved.tensor)
    for name, part in errors.items():
        half += (COVERAGE_95 if name == "constituents" else 1.0) * np.nan_to_num(part)
    low_end = np.where(np.eye(len(half)) > 0, np.maximum(solved.tensor - half, 0.0), solved.tensor - half)
    interval = Interval(_embed(low_end, cell.names), _embed(solved.tensor + half, cell.names), None, tuple(errors))
    low, high = wiener(phases.fractions, phases.k)
    facts = {
        **phases.facts,
        "boundary": params.boundary,
        "tolerance": params.tolerance,
        "dimension": len(cell.names),
        "voxels": dict(zip(cell.names, cell.phase.shape, strict=True)),
        "relative_spacing": {
            name: edge / min(cell.spacing) for name, edge in zip(cell.names, cell.spacing, strict=True)
        },
        "iterations": {cell.names[axis]: len(values) - 1 for axis, values in solved.histories.items()},
        "asymmetry": solved.asymmetry,
        "wiener_bounds": [low, high],
        "sensitivity": {
            str(label): _embed(part, cell.names) for label, part in zip(phases.labels, solved.sensitivity, strict=True)
        },
        "voxel_error": "order of magnitude from half and a quarter of the resolution, not a bound",
        "null_entries": "not computed, or zero by symmetry under mirrored boundaries",
    }
    return PropertyValue(
        "effective_conductivity" if params.unit != "m2/s" else "effective_diffusivity",
        _embed(solved.tensor, cell.names),
        params.unit,
        interval,
        {name: _embed(part, cell.names) for name, part in errors.items()},
        scale_exponent=0,
        depends_on_anisotropy=True,
        facts=facts,
    )


def _embed(matrix: Matrix, names: tuple[str, ...]) -> list[list[float | None]]:
    """A matrix over the axes of a cell as 3 x 3 over x, y, z, None for what is not known."""
    place = {name: axis for axis, name in enumerate(names)}

    def entry(row: str, column: str) -> float | None:
        if row not in place or column not in place:
            return None
        value = float(matrix[place[row], place[column]])
        return None if np.isnan(value) else value

    return [[entry(row, column) for column in ORDER] for row in ORDER]


def _history(cell: Cell, params: ConductivityParams, solved: Homogenised) -> TableValue:
    rows = [
        (cell.names[axis], iteration, value)
        for axis, values in sorted(solved.histories.items(), reverse=True)
        for iteration, value in enumerate(values)
    ]
    directions, iterations, values = zip(*rows, strict=True)
    return TableValue(
        (
            Column("direction", list(directions), description="direction of the mean gradient"),
            Column("iteration", np.array(iterations, np.int64), description="0: before the first iteration"),
            Column(
                "value",
                np.array(values, np.float64),
                params.unit,
                0,
                "diagonal entry of the tensor; falls to its limit",
                depends_on_anisotropy=True,
            ),
        )
    )


def cost(params: ConductivityParams, inputs: Mapping[str, Any]) -> Cost:
    """Memory: fourteen float32 fields, one more a load.  Time: iterations go with the root of the contrast."""
    shape = Volume(inputs["labels"]).shape
    samples = float(np.prod(shape))
    loads = sum(1 for name in params.directions if shape["zyx".index(name)] > 1)
    extra = sum({"voxel": 0.17, "boundary": 1.5}[part] for part in params.error_parts)
    seconds = solver_seconds(params, samples, loads, params.tolerance) * (1 + extra)
    memory = int(samples * 4 * (14 + loads)) + 64 * 2**20
    return Cost(memory, seconds, {"tensor": (3, 3)})


SPEC = PluginSpec(
    name="bulk.conductivity",
    version="1.0.0",
    title="Effective conductivity",
    summary="Thermal or electrical conductivity or diffusivity tensor of a segmented volume by FFT homogenisation.",
    params=ConductivityParams,
    inputs=(Port("labels", "labels", "phase of every voxel; only ratios of the spacings matter", dims=(2, 3)),),
    outputs=(
        Port("tensor", "property", "3 x 3, rows and columns x, y, z"),
        Port("history", "table", "the property after every iteration of every load"),
    ),
    run=run,
    cost=cost,
    exit_codes=(
        *PHASE_EXIT_CODES,
        ExitCode(110, "insulating_phase", "none of the labels {labels} conducts; one k must be > 0"),
        ExitCode(111, "spacing_incomplete", "spacings {spacing}: give all of them or none, their ratio is needed"),
        ExitCode(
            112, "not_converged", "along {direction} {change} relative change is left after {iterations} iterations"
        ),
        ExitCode(113, "outside_bounds", "eigenvalues {eigenvalues} are outside the Wiener bounds {low} .. {high}"),
        ExitCode(114, "no_direction", "directions {directions} are not among the axes {axes} of the volume"),
    ),
    material_quantity=material_quantity,
    references=(
        (
            "Willot, F. (2015). Fourier-based schemes for computing the mechanical response of composites with "
            "accurate local fields. C. R. Mecanique 343, 232-245."
        ),
        (
            "Zeman, J., Vondrejc, J., Novak, J., Marek, I. (2010). Accelerating a FFT-based solver for numerical "
            "homogenization of periodic media by conjugate gradients. J. Comput. Phys. 229, 8065-8071."
        ),
        "Strakos, Z., Tichy, P. (2002). On error estimation in the conjugate gradient method. ETNA 13, 56-80.",
    ),
)
