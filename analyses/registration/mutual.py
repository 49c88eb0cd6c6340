"""Metrics and their local optimisation, by SimpleITK, in one thread: the order of sums never changes.

Maps lead from the fixed to the moving image, as SimpleITK has them.  What is optimised is a map near the identity in
the frame of the fixed image, taken before a given start: angles stay small, and a start may mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from analyses.registration.grids import Grid, affine
from analyses.registration.itk import ItkImage, ItkTransform, sitk
from analyses.registration.motion import Motion, turn
from analyses.sdk.spatial import Matrix

Metric = Literal["mutual_information", "correlation"]
_MAX_HISTORY = 200
_SPUN = 2  # turns of an answer that are followed
_SETTLE_DEG = (2.5, 1.2)


@dataclass(frozen=True)
class Settings:
    """How a local optimisation goes; lengths of steps are in samples of the fixed grid."""

    motion: Motion
    metric: Metric = "mutual_information"
    bins: int = 32
    sampling: float = 1.0
    iterations: int = 100
    first_step: float = 1.0
    last_step: float = 0.01
    seed: int = 1


@dataclass(frozen=True)
class Climbed:
    """Where a local optimisation ended: the map fixed -> moving, its metric (lower is better) and the way there."""

    matrix: Matrix
    metric: float
    history: list[float] = field(default_factory=list)


def method_for(fixed: Grid, settings: Settings) -> Any:
    """SimpleITK's method with the metric and sampling of the settings, in one thread."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    if settings.metric == "correlation":
        method.SetMetricAsCorrelation()
    else:
        method.SetMetricAsMattesMutualInformation(settings.bins)
    if settings.sampling < 1.0:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(settings.sampling, settings.seed)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def climb(
    fixed: Grid,
    moving: ItkImage,
    start: Matrix,
    settings: Settings,
    check: Callable[[], None] = lambda: None,
) -> Climbed | None:
    """Follow the metric downhill from ``start`` (4 x 4, fixed -> moving, um); None where too few samples overlap."""
    dimensions = fixed.dimensions
    method = method_for(fixed, settings)
    step = max(fixed.spacing[:dimensions])
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=settings.first_step * step,
        minStep=settings.last_step * step,
        numberOfIterations=settings.iterations,
        relaxationFactor=0.5,
        gradientMagnitudeTolerance=1e-8,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    motion = near_identity(settings.motion, fixed)
    method.SetMovingInitialTransform(affine(start, dimensions))
    method.SetInitialTransform(motion, inPlace=True)
    history: list[float] = []

    def told() -> None:
        check()
        history.append(round(method.GetMetricValue(), 6))

    method.AddCommand(sitk.sitkIterationEvent, told)
    try:
        method.Execute(fixed.image(), moving)
    except RuntimeError as error:
        if "sample" not in str(error).lower() and "outside" not in str(error).lower():
            raise
        return None
    matrix = start @ as_matrix(motion, dimensions)
    return Climbed(matrix, float(method.GetMetricValue()), history[-_MAX_HISTORY:])


def near_identity(motion: Motion, fixed: Grid) -> ItkTransform:
    """The map that is optimised, about the middle of the fixed grid."""
    centre = fixed.centre[: fixed.dimensions].tolist()
    if motion == "affine":
        transform = sitk.AffineTransform(fixed.dimensions)
        transform.SetCenter(centre)
        return transform
    rigid = sitk.Euler2DTransform() if fixed.planar else sitk.Euler3DTransform()
    rigid.SetCenter(centre)
    return rigid


def as_matrix(transform: ItkTransform, dimensions: int) -> Matrix:
    """A linear transform of SimpleITK as 4 x 4; z goes to z in the plane."""
    matrix = np.eye(4)
    origin = np.array(transform.TransformPoint([0.0] * dimensions))
    for axis in range(dimensions):
        unit = [0.0] * dimensions
        unit[axis] = 1.0
        matrix[:dimensions, axis] = np.array(transform.TransformPoint(unit)) - origin
    matrix[:dimensions, 3] = origin
    return matrix


def value_at(fixed: Grid, moving: ItkImage, matrix: Matrix, settings: Settings) -> float | None:
    """The metric at a map; None where too few samples overlap."""
    method = method_for(fixed, settings)
    method.SetMovingInitialTransform(affine(matrix, fixed.dimensions))
    method.SetInitialTransform(near_identity("rigid", fixed))
    try:
        return float(method.MetricEvaluate(fixed.image(), moving))
    except RuntimeError:
        return None


def spun(fixed: Grid, moving: ItkImage, answer: Matrix, turned: Sequence[Matrix], settings: Settings) -> list[Matrix]:
    """Turns of an answer about the middle of the fixed image that fit better than it, best first.

    The rim of a specimen says where it is, not how it is turned: a descent that has found the one stops at every turn.

    Parameters
    ----------
    fixed, moving
        Images at one resolution.
    answer
        4 x 4, fixed -> moving, um: where a descent ended.
    turned
        Maps whose linear parts are tried; the middle of the fixed image stays where the answer puts it.
    settings
        Of the metric.
    """
    here = value_at(fixed, moving, answer, settings)
    if here is None:
        return []
    found = _better(fixed, moving, [_as_turned(answer, to, fixed.centre) for to in turned], settings, here)
    return [_settled(fixed, moving, value, matrix, settings) for value, matrix in found[:_SPUN]]


def _better(
    fixed: Grid, moving: ItkImage, places: Sequence[Matrix], settings: Settings, than: float
) -> list[tuple[float, Matrix]]:
    valued = [(value_at(fixed, moving, place, settings), place) for place in places]
    found = [(value, place) for value, place in valued if value is not None and value < than]
    return sorted(found, key=lambda pair: pair[0])


def _as_turned(answer: Matrix, turned: Matrix, centre: np.ndarray) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = turned[:3, :3]
    matrix[:3, 3] = answer[:3, :3] @ centre + answer[:3, 3] - turned[:3, :3] @ centre
    return matrix


def _settled(fixed: Grid, moving: ItkImage, value: float, matrix: Matrix, settings: Settings) -> Matrix:
    """The place from which no turn round an axis fits better, down to a degree."""
    axes = (2,) if fixed.planar else (2, 0, 1)
    for degrees in _SETTLE_DEG:
        for axis in axes:
            ways = [matrix @ _about(axis, sign * degrees, fixed.centre) for sign in (-1, 1)]
            better = _better(fixed, moving, ways, settings, value)
            if better:
                value, matrix = better[0]
    return matrix


def _about(axis: int, degrees: float, centre: np.ndarray) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = turn(axis, degrees)
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre
    return matrix
