"""Errors along chains of uncertain maps, to first order (GUM, JCGM 100:2008, 5.1 and 5.2).

A point goes as ``p' = A p + t``, and its error as ``d p' = A dp + J(p) dm`` where ``m`` are the 12 row-major entries of
the upper 3 x 4 block and ``J(p) = I (x) (x, y, z, 1)``; a step taken backwards inverts that.  Errors of one name are
one random vector wherever it appears, so that what two steps share does not average away.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from analyses.sdk.spatial import AffineError, Matrix, apply, check_affine, invert

Floats = npt.NDArray[np.float64]

_ENTRIES = 12  # of the upper 3 x 4 block, row-major


@dataclass(frozen=True)
class UncertainMap:
    """An affine map whose entries are known with a covariance, and whose error it is.

    Attributes
    ----------
    matrix : ndarray, 4 x 4
        ``target = matrix @ source``, micrometres.
    covariance : ndarray, 12 x 12
        Of the row-major entries of the upper 3 x 4 block; positive semi-definite, of any rank.
    error : hashable
        Names the draw: maps of one name have the same error, not only one of the same size, as all images under one
        calibration have.  Their covariances are equal.
    backwards : bool
        The step is taken from target to source.
    degrees_of_freedom : float
        Of the variance that the covariance comes from; infinite where errors were given.
    """

    matrix: Matrix
    covariance: Floats
    error: Hashable
    backwards: bool = False
    degrees_of_freedom: float = np.inf


def joint_covariance(
    points: npt.ArrayLike,
    paths: Sequence[Sequence[UncertainMap]],
    covariances: npt.ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Map points along uncertain maps, with the covariance of all of them together.

    To first order, with ``d p' = A dp + J(p) dm`` where ``A`` is the linear part, ``m`` the 12 entries and
    ``J(p) = I (x) (x, y, z, 1)``; steps taken backwards invert that.  Errors of one name are one random vector wherever
    it appears, so that points of different images under one calibration stay correlated (GUM, JCGM 100:2008, 5.2.2).

    Parameters
    ----------
    points : array_like, (n, 3)
        (x, y, z) in micrometres, each in the frame in which its path begins.
    paths : sequence of sequence of UncertainMap, length n
        Steps in the order they are taken; an empty path leaves a point where it is.
    covariances : array_like, (n, 3, 3), optional
        Of the points themselves, um^2, independent between points; none = exact.

    Returns
    -------
    mapped : ndarray, (n, 3)
    covariance : ndarray, (3 n, 3 n)
        um^2; the block (i, j) is the covariance of points i and j.

    Raises
    ------
    AffineError
        A map that cannot be inverted, shapes that do not fit, or two covariances for one error.
    """
    given: Floats = np.asarray(points, np.float64)
    if given.ndim != 2 or given.shape[1] != 3 or len(paths) != len(given):
        raise AffineError(f"points have shape {given.shape} and {len(paths)} paths; give n points (x, y, z), n paths")
    own = np.zeros((len(given), 3, 3)) if covariances is None else np.asarray(covariances, np.float64)
    if own.shape != (len(given), 3, 3):
        raise AffineError(f"the points' covariances have shape {own.shape}; it must be {(len(given), 3, 3)}")
    draws = _draws(paths)
    mapped, total = np.empty_like(given), np.zeros((3 * len(given), 3 * len(given)))
    gains = {name: np.zeros((3 * len(given), _ENTRIES)) for name in draws}
    for index, path in enumerate(paths):
        rows = slice(3 * index, 3 * index + 3)
        mapped[index], linear, found = _along(given[index], path)
        total[rows, rows] = linear @ own[index] @ linear.T
        for name, gain in found.items():
            gains[name][rows] = gain
    for name, covariance in draws.items():
        total += gains[name] @ covariance @ gains[name].T
    return mapped, (total + total.T) / 2.0


def _draws(paths: Sequence[Sequence[UncertainMap]]) -> dict[Hashable, Floats]:
    found: dict[Hashable, Floats] = {}
    for step in (step for path in paths for step in path):
        covariance = np.asarray(step.covariance, np.float64)
        if covariance.shape != (_ENTRIES, _ENTRIES):
            raise AffineError(f"the covariance of a map has shape {covariance.shape}; it must be 12 x 12")
        if not np.array_equal(found.setdefault(step.error, covariance), covariance):
            raise AffineError(f"the error {step.error!r} has two covariances; one draw has one")
    return found


def _along(point: Floats, path: Sequence[UncertainMap]) -> tuple[Floats, Matrix, dict[Hashable, Floats]]:
    """Point, linear part and, for each error, the 3 x 12 derivative at the end of a path."""
    here, linear = point, np.eye(3)
    gains: dict[Hashable, Floats] = {}
    for step in path:
        forward = check_affine(step.matrix, allow_mirror=True)
        matrix = invert(forward) if step.backwards else forward
        after = apply(matrix, here)
        source = after if step.backwards else here
        gain = np.kron(np.eye(3), np.append(source, 1.0))
        if step.backwards:
            gain = -matrix[:3, :3] @ gain
        gains = {name: matrix[:3, :3] @ former for name, former in gains.items()}
        gains[step.error] = gains.get(step.error, np.zeros((3, _ENTRIES))) + gain
        here, linear = after, matrix[:3, :3] @ linear
    return here, linear, gains


def composed(path: Sequence[UncertainMap]) -> tuple[Matrix, Floats]:
    """Return a path as one map, with the covariance of its entries.

    With ``M = S_n ... S_1`` and a step ``S = T``, the upper block of ``dM`` is ``L dT R``, where L is the linear part
    of what comes after the step and R what comes before; a step taken backwards has ``dS = -T^-1 dT T^-1``.  Row by
    row, ``vec(L dT R) = (L (x) R^T) vec(dT)``.

    Parameters
    ----------
    path : sequence of UncertainMap
        At least one step, in the order they are taken.

    Returns
    -------
    matrix : ndarray, 4 x 4
    covariance : ndarray, 12 x 12
        Errors of one name are one random vector wherever it appears.
    """
    taken = [_taken(step) for step in path]
    draws = _draws([path])
    gains = {name: np.zeros((_ENTRIES, _ENTRIES)) for name in draws}
    for index, step in enumerate(path):
        before, after = np.eye(4), np.eye(4)
        for matrix in taken[:index]:
            before = matrix @ before
        for matrix in taken[index + 1 :]:
            after = matrix @ after
        left, right = after[:3, :3], before
        if step.backwards:
            left, right = -left @ taken[index][:3, :3], taken[index] @ before
        gains[step.error] += np.kron(left, right.T)
    whole = np.eye(4)
    for matrix in taken:
        whole = matrix @ whole
    total = sum((gain @ draws[name] @ gain.T for name, gain in gains.items()), np.zeros((_ENTRIES, _ENTRIES)))
    return whole, (total + total.T) / 2.0


def distance_with_error(first: npt.ArrayLike, second: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[float, float]:
    """Return the distance of two points and its standard uncertainty, um, to first order.

    Parameters
    ----------
    first, second : array_like, (3,)
        In one frame.
    covariance : array_like, (6, 6)
        Of both points together, as ``joint_covariance`` gives it: what they share does not average away.

    Raises
    ------
    AffineError
        The points coincide: the distance has no derivative there.
    """
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    length = float(np.linalg.norm(apart))
    if length == 0.0:
        raise AffineError("the points coincide; the uncertainty of their distance is not of first order")
    direction = np.concatenate([apart, -apart]) / length
    variance = float(direction @ np.asarray(covariance, np.float64) @ direction)
    return length, float(np.sqrt(max(0.0, variance)))


@dataclass(frozen=True)
class Propagated:
    """Points at the end of a path.

    Attributes
    ----------
    points : ndarray, (n, 3)
        (x, y, z), um.
    covariances : ndarray, (n, 3, 3)
        um^2.
    degrees_of_freedom : ndarray, (n,)
        Effective ones of the variance along the longest axis (Welch-Satterthwaite, GUM G.4.1); infinite where all
        were given.
    """

    points: Floats
    covariances: Floats
    degrees_of_freedom: Floats


_BLOCK = 16_384  # points at a time: the derivatives of one error by 12 entries fill 4.7 MB


def propagate(
    points: npt.ArrayLike, path: Sequence[UncertainMap], covariances: npt.ArrayLike | None = None
) -> Propagated:
    """Map many points along one path, each with its own covariance; for what points share see ``joint_covariance``.

    Parameters
    ----------
    points : array_like, (n, 3)
        (x, y, z), um, in the frame in which the path begins.
    path : sequence of UncertainMap
        Steps in the order they are taken; an empty path leaves the points where they are.
    covariances : array_like, (n, 3, 3), optional
        Of the points themselves, um^2, known without degrees of freedom; none = exact.

    Raises
    ------
    AffineError
        A map that cannot be inverted, shapes that do not fit, or two covariances for one error.
    """
    given = np.asarray(points, np.float64)
    if given.ndim != 2 or given.shape[1] != 3:
        raise AffineError(f"points have shape {given.shape}; give n points (x, y, z)")
    own = np.zeros((len(given), 3, 3)) if covariances is None else np.asarray(covariances, np.float64)
    if own.shape != (len(given), 3, 3):
        raise AffineError(f"the points' covariances have shape {own.shape}; it must be {(len(given), 3, 3)}")
    draws = _draws([path])
    steps = [(_taken(step), step) for step in path]
    freedom = {step.error: step.degrees_of_freedom for step in path}
    result = Propagated(np.empty_like(given), np.empty((len(given), 3, 3)), np.empty(len(given)))
    for start in range(0, len(given), _BLOCK):
        rows = slice(start, start + _BLOCK)
        mapped, linear, gains = _block(given[rows], steps)
        parts = {name: gain @ draws[name] @ gain.swapaxes(1, 2) for name, gain in gains.items()}
        total = linear @ own[rows] @ linear.T + sum(parts.values(), np.zeros((len(mapped), 3, 3)))
        result.points[rows] = mapped
        result.covariances[rows] = (total + total.swapaxes(1, 2)) / 2.0
        result.degrees_of_freedom[rows] = _effective(total, parts, freedom)
    return result


def _taken(step: UncertainMap) -> Matrix:
    forward = check_affine(step.matrix, allow_mirror=True)
    return invert(forward) if step.backwards else forward


def _block(
    points: Floats, steps: Sequence[tuple[Matrix, UncertainMap]]
) -> tuple[Floats, Floats, dict[Hashable, Floats]]:
    """Points, linear part and, for each error, the (n, 3, 12) derivatives at the end of a path."""
    here, linear = points, np.eye(3)
    gains: dict[Hashable, Floats] = {}
    for matrix, step in steps:
        after = apply(matrix, here)
        source = after if step.backwards else here
        gain = _derivative(source)
        if step.backwards:
            gain = -matrix[:3, :3] @ gain
        gains = {name: matrix[:3, :3] @ former for name, former in gains.items()}
        gains[step.error] = gains[step.error] + gain if step.error in gains else gain
        here, linear = after, matrix[:3, :3] @ linear
    return here, linear, gains


def _derivative(points: Floats) -> Floats:
    """``J(p)`` of each point, (n, 3, 12)."""
    found = np.zeros((len(points), 3, 3, 4))
    for axis in range(3):
        found[:, axis, axis, :3] = points
        found[:, axis, axis, 3] = 1.0
    return found.reshape(len(points), 3, 12)


def _effective(total: Floats, parts: dict[Hashable, Floats], freedom: dict[Hashable, float]) -> Floats:
    """Along the longest axis of each ellipsoid, which is the one that is stated."""
    if not any(np.isfinite(freedom[name]) for name in parts):
        return np.full(len(total), np.inf)
    axis = np.linalg.eigh(total)[1][:, :, -1]

    def along(covariance: Floats) -> Floats:
        found: Floats = np.einsum("ni,nij,nj->n", axis, covariance, axis)
        return found

    lost = np.zeros(len(total))
    for name, part in parts.items():
        if np.isfinite(freedom[name]):
            lost += along(part) ** 2 / freedom[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lost > 0.0, along(total) ** 2 / lost, np.inf)


def difference(
    point: npt.ArrayLike, first: Sequence[UncertainMap], second: Sequence[UncertainMap]
) -> tuple[Floats, Floats, float]:
    """Return where a second path leads less where a first one does, its covariance, and the degrees of freedom of that.

    What both paths share cancels: a step that both take adds nothing.

    Parameters
    ----------
    point : array_like, (3,)
        In the frame in which both paths begin, um.
    first, second : sequence of UncertainMap
        Both end in one frame.
    """
    draws = _draws([first, second])
    given: Floats = np.asarray(point, np.float64)
    (here, _, before), (there, _, after) = _along(given, first), _along(given, second)
    nothing = np.zeros((3, _ENTRIES))
    gains = {name: after.get(name, nothing) - before.get(name, nothing) for name in draws}
    parts = {name: (gain @ draws[name] @ gain.T)[None] for name, gain in gains.items()}
    total = sum(parts.values(), np.zeros((1, 3, 3)))
    freedom = {step.error: step.degrees_of_freedom for step in (*first, *second)}
    return there - here, (total[0] + total[0].T) / 2.0, float(_effective(total, parts, freedom)[0])


def coverage_factor(dimensions: int, degrees_of_freedom: npt.ArrayLike = np.inf, level: float = 0.95) -> Floats:
    """Radius, in standard deviations, of the ellipsoid that holds the truth with a probability.

    Parameters
    ----------
    dimensions : int
        2 in the plane, 3 in space.
    degrees_of_freedom : array_like
        Of the variance; infinite where errors are known: then chi-square, 2.45 in the plane and 2.80 in space at 95 %;
        else ``sqrt(p F(level; p, nu))`` (Hotelling).
    level : float
        The probability.
    """
    nu = np.asarray(degrees_of_freedom, np.float64)
    known = np.sqrt(stats.chi2.ppf(level, dimensions))
    estimated = np.sqrt(dimensions * stats.f.ppf(level, dimensions, np.where(np.isfinite(nu), nu, 1.0)))
    return np.asarray(np.where(np.isfinite(nu), estimated, known), np.float64)


def expanded_error(
    covariances: npt.ArrayLike, degrees_of_freedom: npt.ArrayLike = np.inf, level: float = 0.95
) -> Floats:
    """Longest half axis of each ellipsoid that holds the truth with a probability, um.

    Parameters
    ----------
    covariances : array_like, (n, 3, 3)
        um^2; one flat in some direction is one of the plane.
    degrees_of_freedom : array_like, (n,) or scalar
    level : float
    """
    given = np.asarray(covariances, np.float64)
    variances = np.linalg.eigvalsh(given)
    largest = np.sqrt(np.maximum(variances[:, -1], 0.0))
    planar = variances[:, 0] <= 1e-12 * variances[:, -1]
    factors = np.where(
        planar, coverage_factor(2, degrees_of_freedom, level), coverage_factor(3, degrees_of_freedom, level)
    )
    return np.asarray(largest * factors, np.float64)
