"""Is the volume a representative volume element for its conductivity?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from analyses.bulk.ensemble import MIN_TILES, Judgement, SizeStatistics, judge, statistics, tile_starts
from analyses.bulk.homogenisation import Boundary, NotConvergedError, homogenise
from analyses.bulk.phases import (
    PHASE_EXIT_CODES,
    PhaseParams,
    Phases,
    compact,
    material_quantity,
    resolve,
    solver_seconds,
)
from analyses.bulk.problem import MAX_ITERATIONS, Cell, make_cell
from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, PluginError, PluginSpec, Port
from analyses.sdk.values import Column, ImageValue, Interval, PropertyValue, TableValue
from analyses.sdk.volumes import Volume, relative_spacing

MIN_SIZE = 4
COVERAGE_95 = 1.959964


class RveParams(PhaseParams):
    """Which tiles, and what counts as representative."""

    tile_sizes: tuple[float, ...] = Field(
        default=(0.2, 1 / 3, 0.5),
        min_length=2,
        max_length=8,
        description=(
            "edges of the cubic tiles: up to 1 a fraction of the shortest edge of the volume, above 1 in voxels"
        ),
    )
    count: int = Field(default=16, ge=MIN_TILES, le=512, description="largest number of tiles per size")
    tolerance: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="largest 95% relative error of the whole volume that counts as representative",
    )
    boundary: Boundary = Field(default="periodic", description="boundary condition of the tiles")
    solver_tolerance: float = Field(
        default=1e-3, ge=1e-7, le=0.1, description="relative change of the property left when the solver stops"
    )

    @field_validator("tile_sizes")
    @classmethod
    def _positive(cls, sizes: tuple[float, ...]) -> tuple[float, ...]:
        if any(size <= 0 or (size > 1 and size != int(size)) for size in sizes):
            raise ValueError(f"a tile size is a fraction in (0, 1] or a whole number of voxels; given {list(sizes)}")
        return sizes


@dataclass(frozen=True)
class Tile:
    """One tile: edge in voxels, running number, first voxel along the axes of the cell, fractions (n,), k along each
    axis.
    """

    size: int
    number: int
    start: tuple[int, ...]
    fractions: npt.NDArray[np.float64]
    k: npt.NDArray[np.float64]


def run(ctx: Context, params: RveParams, inputs: Inputs) -> Outputs:
    """Conductivity and fractions over tiles of growing size, and a verdict on the whole volume.

    The volume is an RVE if, for the conductivity along every direction and for the fraction of every phase, (a) the 95%
    relative error expected of the whole volume, extrapolated from the spread of the tiles of every size, the worst
    counting (``analyses.bulk.ensemble.judge``), is at most ``tolerance``, and (b) the mean no longer
    drifts by more than ``tolerance`` between the two largest sizes, beyond their intervals.  Else it is "not an RVE",
    and the reason names what fails most.
    """
    image: ImageValue = inputs["labels"]
    spacing = relative_spacing(image)
    if spacing is None:
        raise PluginError("spacing_incomplete", spacing={axis: image.spacing_um.get(axis) for axis in ("z", "y", "x")})
    phases = resolve(params, image)
    if not np.any(phases.k > 0):
        raise PluginError("insulating_phase", labels=phases.labels.tolist())
    cell = make_cell(compact(Volume(image).read_all(), phases), spacing)
    sizes = feasible_sizes(params, cell.phase.shape)
    tiles = _all_tiles(ctx, params, cell, phases, sizes)
    summary = _summarise(tiles, sizes, cell, phases)
    judgements = [judge(name, entries, cell.phase.shape) for name, entries in summary.items()]
    facts = _facts(params, phases, summary, judgements)
    return {
        "rve": _rve(cell, params, summary, facts),
        "fractions": _fractions(phases, summary, facts),
        "table": _tile_table(tiles, cell, phases, params),
        "sizes": _size_table(summary, params),
    }


def feasible_sizes(params: RveParams, shape: Sequence[int]) -> list[int]:
    """Tile edges in voxels, ascending: those asked for of which at least four tiles fit without overlap.

    Raises
    ------
    PluginError
        ``too_small`` if fewer than two sizes remain.
    """
    shortest = min(shape)
    asked = sorted({int(size * shortest) if size <= 1 else int(size) for size in params.tile_sizes})
    fitting = [
        size for size in asked if size >= MIN_SIZE and int(np.prod([length // size for length in shape])) >= MIN_TILES
    ]
    if len(fitting) < 2:
        raise PluginError("too_small", shape=list(shape), asked=asked, tiles=MIN_TILES)
    return fitting


def _all_tiles(ctx: Context, params: RveParams, cell: Cell, phases: Phases, sizes: list[int]) -> list[Tile]:
    places = [
        (size, number, start)
        for size in sizes
        for number, start in enumerate(tile_starts(cell.phase.shape, size, params.count, ctx.rng))
    ]
    work = np.cumsum([float(size) ** len(cell.names) for size, _, _ in places])
    tiles = []
    for done, (size, number, start) in zip(work / work[-1], places, strict=True):
        ctx.check_cancelled()
        tiles.append(_tile(params, cell, phases, size, number, start))
        ctx.progress(float(min(done, 1.0)), f"tile {number + 1} of edge {size}")
    return tiles


def _tile(params: RveParams, cell: Cell, phases: Phases, size: int, number: int, start: tuple[int, ...]) -> Tile:
    block = np.ascontiguousarray(cell.phase[tuple(slice(first, first + size) for first in start)])
    fractions = np.bincount(block.ravel(), minlength=phases.labels.size) / block.size
    try:
        solved = homogenise(
            block,
            phases.k,
            spacing=cell.spacing,
            boundary=params.boundary,
            tolerance=params.solver_tolerance,
            max_iterations=MAX_ITERATIONS,
        )
    except NotConvergedError as error:
        raise PluginError(
            "not_converged", size=size, start=list(start), iterations=error.iterations, change=error.change
        ) from error
    return Tile(size, number, start, fractions, np.diag(solved.tensor))


def _summarise(tiles: list[Tile], sizes: list[int], cell: Cell, phases: Phases) -> dict[str, list[SizeStatistics]]:
    """Quantity -> statistics by size: k_x, k_y, k_z (as the cell has), fraction_<label>."""
    summary: dict[str, list[SizeStatistics]] = {}
    for size in sizes:
        chosen = [tile for tile in tiles if tile.size == size]
        for axis, name in sorted(enumerate(cell.names), reverse=True):
            summary.setdefault(f"k_{name}", []).append(statistics(size, [tile.k[axis] for tile in chosen]))
        for index, label in enumerate(phases.labels):
            values = [tile.fractions[index] for tile in chosen]
            summary.setdefault(f"fraction_{label}", []).append(statistics(size, values))
    return summary


def verdict(judgements: Sequence[Judgement], tolerance: float) -> dict[str, str]:
    """``{"verdict": "RVE" or "not an RVE", "reason": ...}``; the reason gives the figures that decide."""
    spread = max(judgements, key=lambda item: item.relative_error)
    drift = max(judgements, key=lambda item: item.drift)
    reasons = []
    if spread.relative_error > tolerance:
        reasons.append(
            f"{spread.quantity} varies by {spread.relative_spread:.1%} (standard deviation) between tiles of edge "
            f"{spread.size}; the whole volume may be off by up to {spread.relative_error:.1%} (95%), "
            f"more than {tolerance:.1%}"
        )
    if drift.drift > tolerance:
        reasons.append(
            f"the mean of {drift.quantity} still changes by {drift.drift:.1%} beyond its interval between the two "
            f"largest tile sizes, more than {tolerance:.1%}"
        )
    if reasons:
        return {"verdict": "not an RVE", "reason": "; ".join(reasons)}
    reason = (
        f"the largest relative error (95%) of the whole volume is {spread.relative_error:.1%} "
        f"({spread.quantity}), within {tolerance:.1%}, and no mean drifts with the size of the tiles"
    )
    return {"verdict": "RVE", "reason": reason}


def _facts(
    params: RveParams,
    phases: Phases,
    summary: Mapping[str, list[SizeStatistics]],
    judgements: Sequence[Judgement],
) -> dict[str, Any]:
    return {
        **phases.facts,
        **verdict(judgements, params.tolerance),
        "tolerance": params.tolerance,
        "boundary": params.boundary,
        "judgements": [asdict(item) for item in judgements],
        "largest_tile": next(iter(summary.values()))[-1].size,
        "interval": "1.96 standard deviations between tiles of the largest size: what one such tile would give",
    }


def _spread_interval(entries: Sequence[SizeStatistics | None], ceiling: float) -> Interval:
    low = [None if e is None else max(0.0, e.mean - COVERAGE_95 * e.spread) for e in entries]
    high = [None if e is None else min(ceiling, e.mean + COVERAGE_95 * e.spread) for e in entries]
    return Interval(low, high, None, ("rve",))


def _rve(
    cell: Cell, params: RveParams, summary: Mapping[str, list[SizeStatistics]], facts: Mapping[str, Any]
) -> PropertyValue:
    entries = [summary[f"k_{name}"][-1] if name in cell.names else None for name in ("x", "y", "z")]
    return PropertyValue(
        "tile_conductivity",
        [None if entry is None else entry.mean for entry in entries],
        params.unit,
        _spread_interval(entries, float("inf")),
        {"rve": [None if entry is None else entry.spread for entry in entries]},
        scale_exponent=0,
        depends_on_anisotropy=True,
        facts={**facts, "order": ["x", "y", "z"]},
    )


def _fractions(phases: Phases, summary: Mapping[str, list[SizeStatistics]], facts: Mapping[str, Any]) -> PropertyValue:
    entries = [summary[f"fraction_{label}"][-1] for label in phases.labels]
    return PropertyValue(
        "tile_phase_fractions",
        [entry.mean for entry in entries],
        "1",
        _spread_interval(entries, 1.0),
        {"rve": [entry.spread for entry in entries]},
        scale_exponent=0,
        facts={**facts, "labels": phases.labels.tolist()},
    )


def _tile_table(tiles: list[Tile], cell: Cell, phases: Phases, params: RveParams) -> TableValue:
    columns = [
        Column("size", [tile.size for tile in tiles], description="edge of the tile in voxels"),
        Column("tile", [tile.number for tile in tiles], description="running number among the tiles of one size"),
    ]
    for axis, name in sorted(enumerate(cell.names), reverse=True):
        columns.append(Column(f"start_{name}", [tile.start[axis] for tile in tiles], description="first voxel"))
    for index, label in enumerate(phases.labels):
        values = [float(tile.fractions[index]) for tile in tiles]
        columns.append(Column(f"fraction_{label}", values, description=f"volume fraction of label {label}"))
    for axis, name in sorted(enumerate(cell.names), reverse=True):
        values = [float(tile.k[axis]) for tile in tiles]
        columns.append(Column(f"k_{name}", values, params.unit, 0, f"conductivity along {name}", True))
    return TableValue(tuple(columns))


def _size_table(summary: Mapping[str, list[SizeStatistics]], params: RveParams) -> TableValue:
    rows = [(name, entry) for name, entries in summary.items() for entry in entries]
    units = [params.unit if name.startswith("k_") else "1" for name, _ in rows]
    entries = [entry for _, entry in rows]
    numbers = {
        "mean": ([e.mean for e in entries], "mean over the tiles"),
        "spread": ([e.spread for e in entries], "standard deviation between tiles"),
        "relative_spread": ([e.relative for e in entries], "spread over mean"),
        "relative_range": ([e.relative_range for e in entries], "range over mean"),
        "mean_low": ([e.mean - e.half_width for e in entries], "lower end, 95% interval of the mean"),
        "mean_high": ([e.mean + e.half_width for e in entries], "upper end, 95% interval of the mean"),
    }
    columns = [
        Column("quantity", [name for name, _ in rows], description="what the row is about"),
        Column("quantity_unit", units, description="unit of mean, spread and interval in this row"),
        Column("size", [e.size for e in entries], description="edge of the tiles in voxels"),
        Column("tiles", [e.count for e in entries], description="number of tiles"),
    ]
    columns += [
        Column(name, values, description=text, depends_on_anisotropy=True) for name, (values, text) in numbers.items()
    ]
    return TableValue(tuple(columns))


def cost(params: RveParams, inputs: Mapping[str, Any]) -> Cost:
    """The tiles of every size, each solved along all directions; memory is the labels and one largest tile."""
    shape = [n for n in Volume(inputs["labels"]).shape if n > 1] or [1]
    edges = [size * min(shape) if size <= 1 else size for size in params.tile_sizes]
    fitting = [edge for edge in edges if edge <= min(shape) / 2] or [min(shape) / 2]
    tiles = [(edge ** len(shape), min(params.count, int(np.prod([n // edge for n in shape])))) for edge in fitting]
    voxels = float(sum(volume * number for volume, number in tiles))
    seconds = solver_seconds(params, voxels, len(shape), params.solver_tolerance)
    largest = max(volume for volume, _ in tiles)
    memory = int(np.prod(shape)) * 4 + int(largest * 4 * 17) + 64 * 2**20
    return Cost(memory, seconds, {"rve": (3,)})


SPEC = PluginSpec(
    name="bulk.rve",
    version="1.0.0",
    title="Representative volume element?",
    summary="Conductivity and fractions over tiles of growing size, and whether the volume is representative.",
    params=RveParams,
    inputs=(Port("labels", "labels", "phase of every voxel; only ratios of the spacings matter", dims=(2, 3)),),
    outputs=(
        Port(
            "rve", "property", "mean conductivity along x, y, z of the largest tiles, with their spread and the verdict"
        ),
        Port("fractions", "property", "mean fraction of every phase in the largest tiles, with their spread"),
        Port("table", "table", "one row a tile: size, place, fractions, conductivity along every direction"),
        Port("sizes", "table", "one row a quantity and size: mean, spread and interval against size"),
    ),
    run=run,
    cost=cost,
    exit_codes=(
        *PHASE_EXIT_CODES,
        ExitCode(110, "insulating_phase", "none of the labels {labels} conducts; one k must be > 0"),
        ExitCode(111, "spacing_incomplete", "spacings {spacing}: give all of them or none, their ratio is needed"),
        ExitCode(
            112, "not_converged", "tile of edge {size} at {start}: change {change} left after {iterations} iterations"
        ),
        ExitCode(115, "too_small", "in {shape} voxels fewer than two of the sizes {asked} fit {tiles} times"),
    ),
    material_quantity=material_quantity,
    references=(
        (
            "Kanit, T., Forest, S., Galliet, I., Mounoury, V., Jeulin, D. (2003). Determination of the size of the "
            "representative volume element for random composites: statistical and numerical approach. Int. J. "
            "Solids Struct. 40, 3647-3679."
        ),
    ),
)
