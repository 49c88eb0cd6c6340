"""Effective conductivity of a voxel volume: Lippmann-Schwinger by FFT, rotated scheme, conjugate gradients.

The rotated scheme (Willot 2015) takes the gradient at a voxel's centre from the potential at its corners,

    g_i = D_i prod_{j != i} A_j u,   (D u)_n = u_{n+1} - u_n,   (A u)_n = (u_{n+1} + u_n) / 2,

so that the cell problem is  G^T k (E + G u) = 0  for the scalar potential u.  Here it is solved in this potential
form: the operator is applied in real space, the Green operator (G^T G)^-1 of a homogeneous medium is the
preconditioner of the conjugate gradients and takes one forward and one backward transform of a scalar field per
iteration.  The iterates are those of the strain-based scheme with conjugate gradients (Zeman et al. 2010), at a third
of the transforms.

Fields are float32, reductions float64.  The energy of the k-th iterate falls by alpha_k (r_k, z_k) (Hestenes & Stiefel
1952), which gives the history of the property at no cost, always from above; iteration stops on what the property is
still expected to change, not on the residual.

Arrays are in the order of the axes of the labels, (z, y, x) or (y, x); tensors have rows and columns in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from analyses.bulk.green import Green
from analyses.bulk.stencil import Field, Stencil

Boundary = Literal["periodic", "mirrored"]
_WINDOW = 3
# Below this fall of the preconditioned residual, squared, float32 fields carry no further digit.
_ROUNDING = 1e-13
_DIGITS = 8.0 * float(np.finfo(np.float32).eps)  # relative to the property, what rounding leaves uncertain in any case
# A property this small against the arithmetic mean is no conduction at all: phases that conduct do not connect.
_NOTHING = 1e-9


class NotConvergedError(RuntimeError):
    """The property still moves after the iterations allowed."""

    def __init__(self, axis: int, iterations: int, change: float) -> None:
        super().__init__(f"axis {axis}: relative change {change:.2e} still expected after {iterations} iterations")
        self.axis, self.iterations, self.change = axis, iterations, change


@dataclass
class Load:
    """One load case: unit mean gradient along ``axis``; ``history`` is the property after every iteration."""

    axis: int
    history: list[float]
    remaining: float
    potential: Field


@dataclass(frozen=True)
class Homogenised:
    """The effective tensor and what is known about it.

    Attributes
    ----------
    tensor
        (d, d), NaN where it was not computed or vanishes by symmetry; symmetric; second order in the error of the
        fields.
    solver
        (d, d) estimate of the error left by the iteration, in the unit of the tensor.
    sensitivity
        (phases, d, d): derivative of the tensor with respect to the conductivity of each phase.
    asymmetry
        Largest |K_ij - K_ji| of the mean fluxes, relative to the largest entry: a check of the solver.
    histories
        Axis -> property after every iteration, the first before any.
    """

    tensor: npt.NDArray[np.float64]
    solver: npt.NDArray[np.float64]
    sensitivity: npt.NDArray[np.float64]
    asymmetry: float
    histories: dict[int, list[float]] = field(default_factory=dict)


def homogenise(
    phase: npt.NDArray[np.uint8],
    conductivity: npt.NDArray[np.float64],
    *,
    spacing: Sequence[float] | None = None,
    boundary: Boundary = "periodic",
    axes: Sequence[int] | None = None,
    tolerance: float = 1e-4,
    max_iterations: int = 2000,
    workers: int = 1,
    check: Callable[[str, float], None] | None = None,
) -> Homogenised:
    """Effective conductivity tensor of a volume of isotropic phases.

    Parameters
    ----------
    phase
        Index of the phase of every voxel, shape (z, y, x) or (y, x).
    conductivity
        Value of every phase, any unit; >= 0, at least one > 0.  Zero is admitted: the energy converges, if more slowly,
        and voxels that touch by a corner count as connected.
    spacing
        Voxel edge along each axis of ``phase``; only ratios matter; default equal.
    boundary
        ``periodic``: the volume repeats.  ``mirrored``: it repeats as its mirror image, which is a volume with two
        faces held at a potential and the others insulated; off-diagonal entries vanish by symmetry.
    axes
        Axes to load along; default all.
    tolerance
        Relative change of the property that is still expected when iteration stops.
    check
        Called with a text and a fraction during iteration; may raise to cancel.

    Raises
    ------
    ValueError
        For a negative conductivity, or if nothing conducts.
    NotConvergedError
        If ``max_iterations`` did not reach ``tolerance``.
    """
    k = np.asarray(conductivity, np.float64)
    if np.any(k < 0) or not np.any(k > 0) or not np.all(np.isfinite(k)):
        raise ValueError(f"conductivities must be finite, >= 0 and not all 0; given {k.tolist()}")
    loads_along = tuple(range(phase.ndim)) if axes is None else tuple(axes)
    scale = float(k.max())
    local = (k / scale).astype(np.float32)[phase]
    weights = _weights(spacing, phase.ndim)
    loads: list[Load] = []
    for number, axis in enumerate(loads_along):
        stencil = Stencil(phase.shape, weights, _modes(boundary, axis, phase.ndim))
        green = Green(stencil, workers)
        told = _reporter(check, number, len(loads_along))
        loads.append(_solve(stencil, green, local, axis, tolerance, max_iterations, told))
    return _assemble(phase, k, scale, weights, boundary, loads)


def _weights(spacing: Sequence[float] | None, dimension: int) -> tuple[float, ...]:
    edges = np.ones(dimension) if spacing is None else np.asarray(spacing, np.float64)
    if edges.shape != (dimension,) or np.any(edges <= 0):
        raise ValueError(f"spacing must be {dimension} positive lengths; given {edges.tolist()}")
    return tuple(((edges.min() / edges) ** 2).tolist())


def _modes(boundary: Boundary, axis: int, dimension: int) -> tuple[Any, ...]:
    if boundary == "periodic":
        return ("periodic",) * dimension
    return tuple("odd" if i == axis else "even" for i in range(dimension))


def _reporter(check: Callable[[str, float], None] | None, number: int, count: int) -> Callable[[int], None]:
    def told(iteration: int) -> None:
        if check is not None:
            check(
                f"load {number + 1} of {count}, iteration {iteration}", (number + iteration / (iteration + 20)) / count
            )

    return told


def dot(a: Field, b: Field) -> float:
    """Inner product of float32 fields, summed in float64 plane by plane."""
    return float(sum(float(np.sum(x * y, dtype=np.float64)) for x, y in zip(a, b, strict=True)))


def _solve(
    stencil: Stencil,
    green: Green,
    local: Field,
    axis: int,
    tolerance: float,
    max_iterations: int,
    told: Callable[[int], None],
) -> Load:
    """Preconditioned conjugate gradients from zero potential."""
    voxels = float(local.size) * stencil.weights[axis]
    history = [float(np.mean(local, dtype=np.float64))]
    u = np.zeros(stencil.nodes, np.float32)
    r = stencil.load(local, axis)
    z = green.apply(r)
    p = z.copy()
    rz = first = dot(r, z)
    remaining = 0.0
    for iteration in range(1, max_iterations + 1):
        if rz <= _ROUNDING * max(first, history[0] * voxels):
            return Load(axis, history, _DIGITS * history[-1], u)
        told(iteration)
        q = stencil.apply(p, local)
        alpha = rz / dot(p, q)
        u += np.float32(alpha) * p
        r -= np.float32(alpha) * q
        history.append(history[-1] - alpha * rz / voxels)
        remaining = expected_change(history)
        if remaining <= max(tolerance * history[-1], _NOTHING * history[0]):
            return Load(axis, history, max(remaining, _DIGITS * history[-1]), u)
        z = green.apply(r)
        rz, before = dot(r, z), rz
        p *= np.float32(rz / before)
        p += z
    raise NotConvergedError(axis, max_iterations, remaining / history[-1])


def expected_change(history: Sequence[float]) -> float:
    """What the property will still fall by, in its unit; infinite until there are two windows of two iterations.

    The energy falls monotonically, so the fall over a window is a lower bound of the error at its start (Strakos &
    Tichy 2002).  Convergence has a fast and a slow phase, so that the larger of three is taken: the fall over the
    last quarter of the iterations, and what is left of a geometric series whose ratio is that of the last two
    windows, of a quarter of the iterations each and of three each.  Against converged solutions (contrast 10 to
    infinity, real and random volumes) the true error was at most about 2 times this: an estimate, not a bound.
    """
    quarter = max(2, (len(history) - 1) // 4)
    if len(history) < 2 * quarter + 1:
        return float("inf")
    last = history[-quarter - 1] - history[-1]
    return max(last, _series(history, quarter), _series(history, _WINDOW), 0.0)


def _series(history: Sequence[float], window: int) -> float:
    if len(history) < 2 * window + 1:
        return float("inf")
    earlier = history[-2 * window - 1] - history[-window - 1]
    later = history[-window - 1] - history[-1]
    if earlier <= 0 or later <= 0:
        return 0.0
    ratio = min(later / earlier, 0.95)
    return later * ratio / (1.0 - ratio)


def _assemble(
    phase: npt.NDArray[np.uint8],
    k: npt.NDArray[np.float64],
    scale: float,
    weights: tuple[float, ...],
    boundary: Boundary,
    loads: list[Load],
) -> Homogenised:
    """Tensor, sensitivities and mean fluxes from the potentials of all loads, in one pass by slabs."""
    dimension = phase.ndim
    root = np.sqrt(weights)
    sensitivity = np.full((k.size, dimension, dimension), np.nan)
    flux = np.full((dimension, dimension), np.nan)
    if boundary == "mirrored":
        for load in loads:
            parts, _ = _energies(phase, k, weights, "mirrored", [load])
            sensitivity[:, load.axis, load.axis] = parts[:, 0, 0] / weights[load.axis]
    else:
        parts, currents = _energies(phase, k, weights, "periodic", loads)
        for a, first in enumerate(loads):
            for b, second in enumerate(loads):
                i, j = first.axis, second.axis
                sensitivity[:, i, j] = parts[:, a, b] / (root[i] * root[j])
                flux[j, i] = currents[a, j] * root[j] / root[i]
    tensor = np.einsum("p,pij->ij", k, sensitivity)
    remaining = np.full(dimension, np.nan)
    for load in loads:
        remaining[load.axis] = max(load.remaining, 0.0) * scale
    solver = np.where(np.isnan(tensor), np.nan, np.sqrt(remaining[:, None] * remaining[None, :]))
    largest = float(np.nanmax(np.abs(tensor)))
    asymmetry = 0.0 if boundary == "mirrored" else float(np.nanmax(np.abs(flux - flux.T))) / max(largest, 1e-30 * scale)
    histories = {load.axis: [value * scale for value in load.history] for load in loads}
    return Homogenised(tensor, solver, sensitivity, asymmetry, histories)


def _energies(
    phase: npt.NDArray[np.uint8],
    k: npt.NDArray[np.float64],
    weights: tuple[float, ...],
    boundary: Boundary,
    loads: list[Load],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sums over voxels: (phases, loads, loads) of e_a . e_b in each phase, and (loads, d) of k e_a; per voxel."""
    count, dimension = len(loads), phase.ndim
    energy = np.zeros((k.size, count, count))
    current = np.zeros((count, dimension))
    stencils = [Stencil(phase.shape, weights, _modes(boundary, load.axis, dimension)) for load in loads]
    for start, stop in stencils[0].slabs():
        index = phase[start:stop].ravel()
        fields = [
            _total(stencil.gradient(load.potential, start, stop), load.axis)
            for stencil, load in zip(stencils, loads, strict=True)
        ]
        for a in range(count):
            for b in range(a, count):
                product = sum(w * x * y for w, x, y in zip(weights, fields[a], fields[b], strict=True))
                energy[:, a, b] += np.bincount(index, np.ravel(product), k.size)
            for i in range(dimension):
                current[a, i] += k @ np.bincount(index, fields[a][i].ravel(), k.size)
    lower = np.triu(energy, 1).transpose(0, 2, 1)
    return (energy + lower) / phase.size, current / phase.size


def _total(gradient: list[Field], axis: int) -> list[npt.NDArray[np.float64]]:
    """Fluctuation plus the unit mean gradient along ``axis``, float64."""
    return [g.astype(np.float64) + (1.0 if i == axis else 0.0) for i, g in enumerate(gradient)]
