"""Affine maps between sample indices and micrometres.

A map is a 4 x 4 matrix, row-major, double precision, acting on column vectors ``(x, y, z, 1)``.  The centre of sample
``(0, 0, 0)`` is the origin of its image, so an index is a point in units of the spacing and no half sample appears,
except between levels of a pyramid: sample ``i`` of a level that covers ``f`` samples lies at ``f * i + (f - 1) / 2``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
AXES_XYZ = ("x", "y", "z")
# Below this reciprocal condition number half of the digits of a point are lost on the way back.
MIN_RECIPROCAL_CONDITION = 1e-8


class AffineError(ValueError):
    """A matrix that is no usable map: not 4 x 4, not finite, not affine, singular or mirrored."""


class UncalibratedError(ValueError):
    """A length was asked for along an axis whose spacing is not known."""


def index_to_physical(spacing_um: Mapping[str, float | None], sizes: Mapping[str, int] | None = None) -> Matrix:
    """The map from sample indices ``(x, y, z)`` to micrometres in the frame of the image.

    Parameters
    ----------
    spacing_um
        Sample distance along ``x``, ``y`` and ``z`` in micrometres.
    sizes
        Samples along each axis; an axis of one sample needs no spacing (the plane lies at 0, its unit step is 1 um).

    Raises
    ------
    UncalibratedError
        Names the axes without a spacing: the image has indices only.
    AffineError
        A spacing is not positive and finite.
    """
    diagonal, missing = [1.0, 1.0, 1.0, 1.0], []
    for position, axis in enumerate(AXES_XYZ):
        spacing = spacing_um.get(axis)
        if spacing is not None:
            if not (np.isfinite(spacing) and spacing > 0):
                raise AffineError(f"spacing_um[{axis!r}] is {spacing}; it must be a positive, finite length in um")
            diagonal[position] = float(spacing)
        elif sizes is None or sizes.get(axis, 1) > 1:
            missing.append(axis)
    if missing:
        raise UncalibratedError(f"no spacing is known along {', '.join(missing)}: the image has indices, no lengths")
    return np.diag(np.array(diagonal))


def level_to_base(factors: Sequence[int]) -> Matrix:
    """The map from indices of a pyramid level to indices of level 0.

    Parameters
    ----------
    factors
        Samples of level 0 along ``(x, y, z)`` that one sample of the level covers.
    """
    if len(factors) != 3 or any(f < 1 for f in factors):
        raise AffineError(f"factors are {tuple(factors)}; they must be three integers of at least 1, for x, y, z")
    matrix = np.diag(np.array([*factors, 1.0], np.float64))
    matrix[:3, 3] = [(f - 1) / 2 for f in factors]
    return matrix


def from_scale_translation(scale: Sequence[float], translation: Sequence[float]) -> Matrix:
    """The map of NGFF ``scale`` then ``translation``, both given as ``(x, y, z)``."""
    matrix = np.diag(np.array([*scale, 1.0], np.float64))
    matrix[:3, 3] = translation
    return check_affine(matrix)


def check_affine(matrix: npt.ArrayLike, *, allow_mirror: bool = False) -> Matrix:
    """The matrix as float64, if it is an invertible affine map.

    Parameters
    ----------
    matrix
        4 x 4 numbers, row-major.
    allow_mirror
        Admit a negative determinant: a reflection is a statement of its own, never an accident of a fit.

    Raises
    ------
    AffineError
        Says what is wrong, with the number that shows it.
    """
    try:
        found = np.array(matrix, np.float64)
    except (TypeError, ValueError) as error:
        raise AffineError(f"the matrix is not numeric: {error}") from error
    if found.shape != (4, 4):
        raise AffineError(f"the matrix has shape {found.shape}; it must be 4 x 4")
    if not np.isfinite(found).all():
        raise AffineError("the matrix has entries that are not finite")
    if not np.array_equal(found[3], [0.0, 0.0, 0.0, 1.0]):
        raise AffineError(f"the last row is {found[3].tolist()}; it must be 0, 0, 0, 1")
    # Columns of unit length first: a jump of scale between axes is no loss of digits, a shear to flatness is.
    lengths = np.linalg.norm(found[:3, :3], axis=0)
    if not lengths.all() or np.linalg.cond(found[:3, :3] / lengths) * MIN_RECIPROCAL_CONDITION > 1:
        raise AffineError("the matrix is singular: it flattens space and cannot be inverted")
    if np.linalg.det(found[:3, :3] / lengths) < 0 and not allow_mirror:
        raise AffineError("the matrix mirrors space (negative determinant); a reflection must be stated as one")
    return found


def is_mirrored(matrix: Matrix) -> bool:
    """True if the map turns right-handed into left-handed axes."""
    return bool(np.linalg.det(matrix[:3, :3]) < 0)


def compose(matrices: Iterable[Matrix]) -> Matrix:
    """One map for several applied in the order given: the first matrix acts first; the identity for none."""
    result = np.eye(4)
    for matrix in matrices:
        result = matrix @ result
    return result


def invert(matrix: Matrix) -> Matrix:
    """The map back; AffineError if there is none.  The last row stays exactly ``0, 0, 0, 1``."""
    checked = check_affine(matrix, allow_mirror=True)
    result = np.eye(4)
    result[:3, :3] = np.linalg.inv(checked[:3, :3])
    result[:3, 3] = -result[:3, :3] @ checked[:3, 3]
    return result


def apply(matrix: Matrix, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map points.

    Parameters
    ----------
    matrix
        4 x 4.
    points
        ``(..., 3)``, each ``(x, y, z)``.

    Returns
    -------
    ndarray, shape of ``points``, float64
    """
    given: npt.NDArray[Any] = np.asarray(points, np.float64)
    if given.shape[-1:] != (3,):
        raise AffineError(f"points have shape {given.shape}; the last axis must be x, y, z")
    mapped: npt.NDArray[np.float64] = given @ matrix[:3, :3].T + matrix[:3, 3]
    return mapped


# --------------------------------------------------------------------------------------------------- shared uncertainty

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
    """

    matrix: Matrix
    covariance: npt.NDArray[np.float64]
    error: Hashable
    backwards: bool = False


def joint_covariance(
    points: npt.ArrayLike,
    paths: Sequence[Sequence[UncertainMap]],
    covariances: npt.ArrayLike | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
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
    given: npt.NDArray[np.float64] = np.asarray(points, np.float64)
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


def _draws(paths: Sequence[Sequence[UncertainMap]]) -> dict[Hashable, npt.NDArray[np.float64]]:
    found: dict[Hashable, npt.NDArray[np.float64]] = {}
    for step in (step for path in paths for step in path):
        covariance = np.asarray(step.covariance, np.float64)
        if covariance.shape != (_ENTRIES, _ENTRIES):
            raise AffineError(f"the covariance of a map has shape {covariance.shape}; it must be 12 x 12")
        if not np.array_equal(found.setdefault(step.error, covariance), covariance):
            raise AffineError(f"the error {step.error!r} has two covariances; one draw has one")
    return found


def _along(
    point: npt.NDArray[np.float64], path: Sequence[UncertainMap]
) -> tuple[npt.NDArray[np.float64], Matrix, dict[Hashable, npt.NDArray[np.float64]]]:
    """Point, linear part and, for each error, the 3 x 12 derivative at the end of a path."""
    here, linear = point, np.eye(3)
    gains: dict[Hashable, npt.NDArray[np.float64]] = {}
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
