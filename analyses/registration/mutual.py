"""Metrics and their local optimisation, by SimpleITK, in one thread: the order of sums never changes.

Maps lead from the fixed to the moving image, as SimpleITK has them.  What is optimised is a map near the identity in
the frame of the fixed image, taken before a given start: angles stay small, and a start may mirror.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from analyses.registration.grids import Grid, affine
from analyses.registration.itk import ItkImage, ItkTransform, sitk
from analyses.sdk.spatial import Matrix

Metric = Literal["mutual_information", "correlation"]
Motion = Literal["rigid", "affine"]
_MAX_HISTORY = 200


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
