"""Other paths between two frames, and whether the loops they make close within their errors."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from analyses.sdk.propagation import difference, propagate
from apps.spatial.models import Frame
from apps.spatial.paths import Finder, Path, check_frames, middle_of, no_path

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
