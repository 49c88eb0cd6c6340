"""Effective conductivity tensor of a segmented volume, with an account of its errors.

The tensor is computed by ``analyses.bulk.homogenisation``, what it is worth by ``analyses.bulk.sensitivities``; this
module turns labels and phases into their arguments and checks the result against the bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from analyses.bulk.bounds import COVERAGE_95
from analyses.bulk.closed_forms import wiener
from analyses.bulk.cut import CUT_EXIT_CODES, check_grids
from analyses.bulk.homogenisation import Boundary, Homogenised
from analyses.bulk.phases import (
    PHASE_EXIT_CODES,
    PhaseParams,
    Phases,
    compact,
    material_quantity,
    resolve,
    solver_seconds,
)
from analyses.bulk.problem import Cell, Direction, Matrix, Problem, make_cell
from analyses.bulk.sensitivities import PARTS, Account, Estimate, Part, extra_work, told_of
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, PluginError, PluginSpec, Port
from analyses.sdk.values import Column, ImageValue, Interval, PropertyValue, TableValue
from analyses.sdk.volumes import SLAB_BYTES, Volume, relative_spacing

BOUND_SLACK = 1e-3


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
    error_parts: tuple[Part, ...] = Field(
        default=PARTS,
        max_length=4,
        description=(
            "errors to estimate: `voxel` from half and a quarter of the resolution, `boundary` from the other boundary "
            "condition, `segmentation` from every threshold one step down and one step up (needs the port `image`), "
            "`rve` from tiles: what other volumes of this size would give"
        ),
    )

    @field_validator("directions", "error_parts")
    @classmethod
    def _distinct(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(given)) != len(given):
            raise ValueError(f"each may be named once; given {list(given)}")
        return given


def run(ctx: Context, params: ConductivityParams, inputs: Inputs) -> Outputs:
    """Effective conductivity: 3 x 3, rows and columns x, y, z, in ``params.unit``.

    An axis of one sample is left out of the problem (a plane is two-dimensional) and its entries are None, as are those
    of directions not asked for and the off-diagonals under mirrored boundaries, which vanish by symmetry.

    ``error`` parts, each 3 x 3 in the unit of the value: ``solver`` (what iteration still would change), ``voxel``
    (the larger of the difference to half the resolution and half of that between half and a quarter: for a scheme of
    first order at interfaces, of the order of the error at full resolution, no bound), ``boundary`` (difference to the
    other boundary condition), ``segmentation`` (the larger change when every threshold moves by one step), ``rve``
    (95% half-width of what other volumes of this size would give, extrapolated from tiles), ``constituents`` (standard
    uncertainty from the phases).  The interval adds all of them, the last 1.96 times; no probability is claimed for
    the sum; on the diagonal it ends at the smallest and the largest phase.  ``facts["not_contained"]`` names every part
    that is not there, with the reason.
    """
    labels: ImageValue = inputs["labels"]
    spacing = relative_spacing(labels)
    if spacing is None:
        raise PluginError("spacing_incomplete", spacing={axis: labels.spacing_um.get(axis) for axis in ("z", "y", "x")})
    phases = resolve(params, labels)
    if not np.any(phases.k > 0):
        raise PluginError("insulating_phase", labels=phases.labels.tolist())
    cell = make_cell(compact(Volume(labels).read_all(), phases), spacing)
    problem = Problem(cell, phases.k, params.boundary, params.directions, params.tolerance)
    if not problem.axes:
        raise PluginError("no_direction", directions=list(params.directions), axes=list(cell.names))
    image = inputs.get("image")
    if image is not None:
        check_grids(labels, image)
    solved = problem.solve(told_of(ctx, 0, 1 + len(PARTS)))
    check_bounds(solved.tensor, phases)
    account = Estimate(ctx, problem, phases, solved, labels, image, params.error_parts).account()
    return {"tensor": _tensor(problem, phases, params, solved, account), "history": _history(cell, params, solved)}


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


def _tensor(
    problem: Problem, phases: Phases, params: ConductivityParams, solved: Homogenised, account: Account
) -> PropertyValue:
    cell = problem.cell
    half = np.zeros_like(solved.tensor)
    for name, part in account.errors.items():
        half += (COVERAGE_95 if name == "constituents" else 1.0) * np.nan_to_num(part)
    low_end, high_end = _within_phases(solved.tensor, half, phases)
    interval = Interval(cell.embed(low_end), cell.embed(high_end), None, tuple(account.errors))
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
            str(label): cell.embed(part) for label, part in zip(phases.labels, solved.sensitivity, strict=True)
        },
        **account.facts,
        "not_contained": account.omitted,
        "null_entries": "not computed, or zero by symmetry under mirrored boundaries",
    }
    return PropertyValue(
        "effective_conductivity" if params.unit != "m2/s" else "effective_diffusivity",
        cell.embed(solved.tensor),
        params.unit,
        interval,
        {name: cell.embed(part) for name, part in account.errors.items()},
        scale_exponent=0,
        depends_on_anisotropy=True,
        facts=facts,
    )


def _within_phases(tensor: Matrix, half: Matrix, phases: Phases) -> tuple[Matrix, Matrix]:
    """Ends of the interval; on the diagonal no mixture lies beyond its smallest and its largest phase."""
    floor = max(0.0, float(np.min(phases.k - COVERAGE_95 * phases.u)))
    ceiling = float(np.max(phases.k + COVERAGE_95 * phases.u))
    low, high = tensor - half, tensor + half
    diagonal = np.eye(len(tensor)) > 0
    low = np.where(diagonal, np.minimum(tensor, np.maximum(low, floor)), low)
    high = np.where(diagonal, np.maximum(tensor, np.minimum(high, ceiling)), high)
    return low, high


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
    extra = extra_work(samples, params.error_parts)
    seconds = solver_seconds(params, samples, loads, params.tolerance) * (1 + extra)
    memory = int(samples * 4 * (14 + loads)) + 3 * SLAB_BYTES + 64 * 2**20
    return Cost(memory, seconds, {"tensor": (3, 3)})


SPEC = PluginSpec(
    name="bulk.conductivity",
    version="2.0.0",
    title="Effective conductivity",
    summary="Thermal or electrical conductivity or diffusivity tensor of a segmented volume by FFT homogenisation.",
    params=ConductivityParams,
    inputs=(
        Port("labels", "labels", "phase of every voxel; only ratios of the spacings matter", dims=(2, 3)),
        Port(
            "image",
            "image",
            "grey values that the labels were cut from, on the same grid: for the error of the segmentation",
            dims=(2, 3),
            required=False,
        ),
    ),
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
        *CUT_EXIT_CODES,
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
