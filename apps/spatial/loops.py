"""Other paths between two frames, and whether the loops they make close within their errors."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from analyses.sdk.propagation import UncertainMap, difference, propagate
from apps.spatial.models import Frame, Transform
from apps.spatial.paths import Finder, Path, check_frames, middle_of, no_path
from apps.spatial.propagation import uncertain_map

Floats = npt.NDArray[np.float64]
_MAX_ALTERNATIVES: Final = 5
_CONTRADICTED: Final = 0.01  # probability below which a loop's closure error contradicts its covariances


@dataclass(frozen=True)
class Alternative:
    """Another path, and by how much it disagrees with the best one at a point.

    ``closure_um`` is the difference of the mapped points with its covariance, shared steps counted once; ``p_value``
    is the probability of one as large if all stated errors are true, None where an error is not known.
    """

    path: Path
    point: Floats
    covariance: Floats
    closure_um: Floats
    p_value: float | None
    degrees_of_freedom: float

    @property
    def contradicts(self) -> bool:
        """True if the loop of both paths does not close within its errors."""
        return self.p_value is not None and self.p_value < _CONTRADICTED


def find_alternatives(
    source: Frame, target: Frame, *, at: Sequence[float] | None = None, states: Collection[uuid.UUID] = ()
) -> list[Alternative]:
    """Return the best path and, after it, others that avoid one of its steps each, at most five in all.

    Parameters and errors are those of ``find_path``.
    """
    check_frames(source, target)
    finder = Finder.between(source, target, states)
    point = middle_of(source) if at is None else list(at)
    best = finder.best(source.pk, target.pk, point)
    if best is None:
        raise no_path(source, target)
    found = {best.edges: best}
    for step in best.edges:
        path = finder.best(source.pk, target.pk, point, without=[step.edge])
        if path is not None:
            found.setdefault(path.edges, path)
    others = [_compare(best, path, point) for path in list(found.values())[1:]]
    others.sort(key=lambda other: (not other.path.error_known, float(np.trace(other.covariance))))
    return [_compare(best, best, point), *others[: _MAX_ALTERNATIVES - 1]]


def contradicting(transform: Transform) -> list[Alternative]:
    """Return the other ways between the frames of a transform, each with by how much it disagrees in the middle.

    The other ways are accepted transforms that avoid this one, which itself may be of any status; at most five, those
    that contradict it first.  Empty where no other way leads there, and for a displacement field, which has no matrix.
    """
    if transform.matrix is None:
        return []
    source, target = transform.source, transform.target
    finder = Finder.between(source, target)
    point = middle_of(source)
    own = Path(source.pk, target.pk, (transform.pk,), (_uncertain(transform),), transform.covariance is not None)
    edges = [index for index, key in enumerate(finder.network.graph.transforms) if key == transform.pk]
    best = finder.best(source.pk, target.pk, point, without=edges)
    if best is None:
        return []
    found = {best.edges: best}
    for step in best.edges:
        path = finder.best(source.pk, target.pk, point, without=[*edges, step.edge])
        if path is not None:
            found.setdefault(path.edges, path)
    others = [_compare(own, path, point) for path in found.values()]
    others.sort(key=lambda other: (not other.contradicts, float(np.trace(other.covariance))))
    return others[:_MAX_ALTERNATIVES]


def _uncertain(transform: Transform) -> UncertainMap:
    """A transform as a step; without a covariance as an exact one, which the path says is not known."""
    freedom = transform.degrees_of_freedom
    if transform.covariance is not None:
        return replace(uncertain_map(transform), degrees_of_freedom=np.inf if freedom is None else float(freedom))
    matrix = np.array(transform.matrix, np.float64).reshape(4, 4)
    return UncertainMap(matrix, np.zeros((12, 12)), f"transform {transform.pk}")


def _compare(best: Path, other: Path, point: Sequence[float]) -> Alternative:
    apart, covariance, freedom = difference(point, best.maps, other.maps)
    there = propagate([point], other.maps)
    known = best.error_known and other.error_known and other is not best
    return Alternative(
        path=other,
        point=there.points[0],
        covariance=there.covariances[0],
        closure_um=apart,
        p_value=_probability(apart, covariance, freedom) if known else None,
        degrees_of_freedom=float(there.degrees_of_freedom[0]),
    )


def _probability(apart: Floats, covariance: Floats, freedom: float) -> float:
    """Probability of a difference at least as large: chi-square, or Hotelling where the variance was estimated."""
    variances, axes = np.linalg.eigh(covariance)
    # what rounding leaves of a step taken by both paths is no variance
    floor = max(1e-12 * float(variances[-1]), 1e-18)
    along = axes.T @ apart
    open_axes = variances > floor
    if (np.abs(along[~open_axes]) > 1e-6).any():
        return 0.0  # apart in a direction in which both paths claim to be exact
    count = int(open_axes.sum())
    if count == 0:
        return 1.0
    squared = float(np.sum(along[open_axes] ** 2 / variances[open_axes]))
    if np.isfinite(freedom):
        return float(stats.f.sf(squared / count, count, freedom))
    return float(stats.chi2.sf(squared, count))
