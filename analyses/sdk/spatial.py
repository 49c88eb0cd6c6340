"""Affine maps between sample indices and micrometres.

A map is a 4 x 4 matrix, row-major, double precision, acting on column vectors ``(x, y, z, 1)``.  The centre of sample
``(0, 0, 0)`` is the origin of its image, so an index is a point in units of the spacing and no half sample appears,
except between levels of a pyramid: sample ``i`` of a level that covers ``f`` samples lies at ``f * i + (f - 1) / 2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

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


@dataclass(frozen=True)
class Decomposition:
    """What an affine map does, in words people use.

    Attributes
    ----------
    rotation : ndarray, 3 x 3
        The proper rotation nearest to the linear part (its polar factor, the mirroring taken out).
    angle_deg, axis : float, ndarray (3,)
        The rotation as one turn about an axis; the axis is z where nothing turns.
    euler_deg : ndarray, (3,)
        The same as turns about the fixed axes x, then y, then z.
    scales : ndarray, (3,)
        Factors along the three principal directions of the stretch, largest first.
    shear : float
        Largest deviation of the stretch from a scaling of the axes x, y, z: 0 where it only scales along them.
    translation_um : ndarray, (3,)
        Where the origin goes.
    mirrored : bool
        Space is turned inside out; then the mirror z -> -z acts first.
    """

    rotation: npt.NDArray[np.float64]
    angle_deg: float
    axis: npt.NDArray[np.float64]
    euler_deg: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]
    shear: float
    translation_um: npt.NDArray[np.float64]
    mirrored: bool


def decompose(matrix: Matrix) -> Decomposition:
    """Take an affine map apart: ``linear = rotation @ stretch @ mirror``, the stretch symmetric (polar decomposition).

    Raises
    ------
    AffineError
        The matrix is no invertible affine map.
    """
    checked = check_affine(matrix, allow_mirror=True)
    mirrored = is_mirrored(checked)
    linear = checked[:3, :3] @ np.diag([1.0, 1.0, -1.0 if mirrored else 1.0])
    u, scales, vt = np.linalg.svd(linear)
    rotation = u @ vt
    stretch = vt.T @ np.diag(scales) @ vt
    off = stretch - np.diag(np.diagonal(stretch))
    turn = Rotation.from_matrix(rotation)
    vector = turn.as_rotvec()
    angle = float(np.linalg.norm(vector))
    return Decomposition(
        rotation=rotation,
        angle_deg=float(np.degrees(angle)),
        axis=vector / angle if angle > 0.0 else np.array([0.0, 0.0, 1.0]),
        euler_deg=np.degrees(_fixed_axes(rotation)),
        scales=scales,
        shear=float(np.abs(off).max() / scales.max()),
        translation_um=checked[:3, 3].copy(),
        mirrored=mirrored,
    )


def _fixed_axes(rotation: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Angles about fixed x, y, z, radians; at y = +-90 degrees the turn about x is set to 0."""
    sine = -float(np.clip(rotation[2, 0], -1.0, 1.0))
    if abs(sine) > 1.0 - 1e-12:
        return np.array([0.0, np.copysign(np.pi / 2.0, sine), np.arctan2(-rotation[0, 1], rotation[1, 1])])
    return np.array(
        [np.arctan2(rotation[2, 1], rotation[2, 2]), np.arcsin(sine), np.arctan2(rotation[1, 0], rotation[0, 0])]
    )
