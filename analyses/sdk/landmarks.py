"""Maps fitted to landmark pairs, in closed form, with honest errors.

A pair is the same physical point in two frames, ``(x, y, z)`` in micrometres.  Translation, rigid and similarity follow
Umeyama (IEEE Trans. Pattern Anal. Mach. Intell. 13 (1991) 376) with weights, affine is weighted least squares.  Where
all points of both sets lie in the plane z = 0 the fit is one of the plane: z goes to z, and z counts neither as an
observation nor as a parameter.  The covariance is of first order (GUM, JCGM 100:2008): from the standard errors that
the pairs state, else from the residuals, and then only with at least ``MIN_DEGREES`` degrees of freedom.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from analyses.sdk.leave_one_out import missed_without, spreads_without
from analyses.sdk.spatial import Matrix, apply

Kind = Literal["translation", "rigid", "similarity", "affine"]
Vector = npt.NDArray[np.float64]
KINDS: tuple[Kind, ...] = ("translation", "rigid", "similarity", "affine")
FEWEST = {"translation": (1, 1), "rigid": (2, 3), "similarity": (2, 3), "affine": (3, 4)}  # in the plane, in space
PARAMETERS = {"translation": (2, 3), "rigid": (3, 6), "similarity": (4, 7), "affine": (6, 12)}
# A variance from fewer residuals says next to nothing: its 95 % quantile is many times that of a known variance.
MIN_DEGREES = 3
# Ratio of spreads below which a set counts as a line (or a plane): the direction is then known to a part in a hundred
# of what the longest one gives, and errors of the points turn the map freely.
MIN_SPREAD = 1e-2
# Standard deviations a coordinate: of stated errors, and of a spread that few residuals tell only roughly.
_SUSPECT = {"stated": 3.0, "found": 5.0}
_MOST_SUBSETS = 200
_MANY = 50  # pairs from which leaving each out is worth sums instead of fits
_GENERATORS = np.array(
    [
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
    ],
    np.float64,
)


class DegeneratePairsError(ValueError):
    """Pairs that do not determine a map of the kind: too few, on one point, on a line, in a plane."""


@dataclass(frozen=True)
class Fit:
    """A fitted map.

    Attributes
    ----------
    kind : str
        What was fitted.
    planar : bool
        All points lie at z = 0 in both frames; z goes to z.
    matrix : ndarray, 4 x 4
        ``target = matrix @ source``, micrometres.
    residuals_um : ndarray, (n, 3)
        Mapped source less target.
    rms_um : float
        Root mean square of the residuals' lengths.
    degrees_of_freedom : int
        Observations less parameters.
    covariance : ndarray, 12 x 12, or None
        Of the row-major entries of the upper 3 x 4 block.
    covariance_from : str
        ``landmarks`` (their stated errors), ``residuals``, or why there is none.
    leave_one_out_um : ndarray, (n,)
        Distance by which the map of all other pairs misses a pair; NaN where the others determine none.
    suspects : tuple of int
        Pairs that a robust fit, by least trimmed squares, shows far off.
    """

    kind: Kind
    planar: bool
    matrix: Matrix
    residuals_um: Vector
    rms_um: float
    degrees_of_freedom: int
    covariance: npt.NDArray[np.float64] | None
    covariance_from: str
    leave_one_out_um: Vector
    suspects: tuple[int, ...]


def fit_landmarks(
    kind: Kind, source: npt.ArrayLike, target: npt.ArrayLike, u_um: npt.ArrayLike | None = None, *, seed: int = 0
) -> Fit:
    """Fit a map to landmark pairs.

    Parameters
    ----------
    kind : str
        translation, rigid, similarity or affine; none of them mirrors space.
    source, target : array_like, (n, 3)
        The same physical points in both frames, micrometres.
    u_um : array_like, (n,), optional
        Standard error of each pair in the target frame, of each coordinate, both frames' errors together; weights are
        their inverse squares.
    seed : int
        Of the subsets that the robust fit draws where there are too many to try all.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, an error that is not positive, an unknown kind.
    DegeneratePairsError
        The pairs do not determine a map of this kind; the message says why.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    p, q, u = _checked(source, target, u_um)
    planar = not (p[:, 2].any() or q[:, 2].any())
    weights = np.ones(len(p)) if u is None else 1.0 / u**2
    _refuse_degenerate(kind, p, q, planar)
    matrix = _solve(kind, p, q, weights, planar)
    if np.linalg.det(matrix[:3, :3]) <= 0.0:
        raise DegeneratePairsError(
            f"the pairs mirror space, and a {kind} map does not: is the handedness of both images right?  A flip is "
            "said so, by a reflection"
        )
    residuals = apply(matrix, p) - q
    dimensions = 2 if planar else 3
    degrees = dimensions * len(p) - PARAMETERS[kind][not planar]
    covariance, origin = _covariance(kind, matrix, p, residuals, u, degrees, planar)
    return Fit(
        kind,
        planar,
        matrix,
        residuals,
        float(np.sqrt(np.mean(np.sum(residuals**2, axis=1)))),
        degrees,
        covariance,
        origin,
        _leave_one_out(kind, p, q, weights, planar),
        _suspects(kind, p, q, u, planar, seed),
    )


def _checked(source: npt.ArrayLike, target: npt.ArrayLike, u_um: npt.ArrayLike | None) -> tuple[Any, Any, Any]:
    p, q = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if p.ndim != 2 or p.shape[1:] != (3,) or p.shape != q.shape:
        raise ValueError(f"points have shapes {p.shape} and {q.shape}; give n pairs of (x, y, z) in micrometres")
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise ValueError("a coordinate is not finite")
    if u_um is None:
        return p, q, None
    u = np.asarray(u_um, np.float64)
    if u.shape != (len(p),) or not (np.isfinite(u).all() and (u > 0).all()):
        raise ValueError(f"errors have shape {u.shape}; give one finite number above 0 um a pair")
    return p, q, u


def _refuse_degenerate(kind: Kind, p: Vector, q: Vector, planar: bool) -> None:
    needed = FEWEST[kind][not planar]
    where = "in a plane" if planar else "in space"
    if len(p) < needed:
        raise DegeneratePairsError(f"a {kind} fit {where} needs at least {needed} pairs; there are {len(p)}")
    if kind == "translation":
        return
    for name, points in (("source", p), ("target", q)):
        rank = _rank(points)
        if rank == 0:
            raise DegeneratePairsError(f"all points coincide in the {name} frame; they say nothing of a rotation")
        if rank == 1 and not (planar and kind != "affine"):
            raise DegeneratePairsError(f"the pairs lie on a line in the {name} frame; a {kind} map may turn about it")
        if rank == 2 and kind == "affine" and not planar:
            raise DegeneratePairsError(
                f"the pairs lie in a plane in the {name} frame; an affine map in space needs one outside of it"
            )


def _rank(points: Vector) -> int:
    """How many directions the points spread over: 0 a point, 1 a line, 2 a plane, 3 space."""
    spreads = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    size = float(np.abs(points).max())
    if not spreads[0] > size * 1e-12:
        return 0
    return int((spreads > MIN_SPREAD * spreads[0]).sum())


# ------------------------------------------------------------------------------------------------------------ solutions


def _solve(kind: Kind, p: Vector, q: Vector, weights: Vector, planar: bool) -> Matrix:
    share = weights / weights.sum()
    mean_p, mean_q = share @ p, share @ q
    a, b = p - mean_p, q - mean_q
    if kind == "affine":
        linear = _affine(a, b, share, planar)
    elif kind == "translation":
        linear = np.eye(3)
    else:
        linear = _turned(a, b, share, scaled=kind == "similarity", planar=planar)
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = mean_q - linear @ mean_p
    return matrix


def _affine(a: Vector, b: Vector, share: Vector, planar: bool) -> npt.NDArray[np.float64]:
    root = np.sqrt(share)[:, None]
    size = 2 if planar else 3
    linear = np.eye(3)
    linear[:size, :size] = np.linalg.lstsq(root * a[:, :size], root * b[:, :size], rcond=None)[0].T
    return linear


def _turned(a: Vector, b: Vector, share: Vector, *, scaled: bool, planar: bool) -> npt.NDArray[np.float64]:
    """Rotation, with a scale if asked; a determinant of -1 is turned away at the least cost (Umeyama, eq. 39-43).

    In the plane it is solved in the plane: in space, turning the plane over would be a rotation, and mirror it.
    """
    size = 2 if planar else 3
    u, d, vt = np.linalg.svd((share[:, None] * b[:, :size]).T @ a[:, :size])
    sign = np.ones(size)
    sign[-1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    linear = np.eye(3)
    linear[:size, :size] = (u * sign) @ vt
    if scaled:
        factor = float(d @ sign / (share @ np.sum(a[:, :size] ** 2, axis=1)))
        linear[:size, :size] *= factor
    return linear


# --------------------------------------------------------------------------------------------------------------- errors


def _directions(kind: Kind, linear: npt.NDArray[np.float64], planar: bool) -> npt.NDArray[np.float64]:
    """Derivatives of the 12 entries of a map about the points' mean, one row a parameter, shape (k, 12)."""
    size = 2 if planar else 3
    rows = []
    for axis in range(size):
        block = np.zeros((3, 4))
        block[axis, 3] = 1.0
        rows.append(block)
    turns = [] if kind in ("translation", "affine") else [2] if planar else [0, 1, 2]
    moves = [_GENERATORS[k] @ linear for k in turns]
    if kind == "similarity":
        grown = np.diag([1.0, 1.0, 0.0 if planar else 1.0])
        moves.append(grown @ linear)
    if kind == "affine":
        for i, j in itertools.product(range(size), range(size)):
            entry = np.zeros((3, 3))
            entry[i, j] = 1.0
            moves.append(entry)
    rows += [np.column_stack([move, np.zeros(3)]) for move in moves]
    return np.array([row.ravel() for row in rows])


def _covariance(
    kind: Kind, matrix: Matrix, p: Vector, residuals: Vector, u: Vector | None, degrees: int, planar: bool
) -> tuple[npt.NDArray[np.float64] | None, str]:
    if u is None and degrees < MIN_DEGREES:
        return None, (
            f"none: {degrees} degrees of freedom are too few to tell an error from residuals; at least {MIN_DEGREES} "
            "are needed, or the pairs' standard errors"
        )
    # Residuals give one variance for all, so it may be taken out of the sum; it may also be zero.
    variance = np.ones(len(p)) if u is None else u**2
    common = float(np.sum(residuals**2)) / degrees if u is None else 1.0
    centre = p.mean(axis=0)
    directions = _directions(kind, matrix[:3, :3], planar)
    size = 2 if planar else 3
    # Rows of the Jacobian: the derivative of each coordinate of each mapped point, in coordinates about the mean.
    homogeneous = np.column_stack([p - centre, np.ones(len(p))])
    jacobian = np.einsum("kij,nj->nik", directions.reshape(-1, 3, 4), homogeneous)[:, :size].reshape(
        -1, len(directions)
    )
    information = jacobian.T @ (jacobian / np.repeat(variance, size)[:, None])
    entries = common * directions.T @ np.linalg.inv(information) @ directions
    shift = _recentred(centre)
    covariance = shift @ entries @ shift.T
    symmetric: npt.NDArray[np.float64] = (covariance + covariance.T) / 2.0
    return symmetric, "residuals" if u is None else "landmarks"


def _recentred(centre: Vector) -> npt.NDArray[np.float64]:
    """From entries of a map of ``p - centre`` to those of the map of ``p``: the offset loses ``A centre``."""
    block = np.eye(4)
    block[3, :3] = -centre
    return np.kron(np.eye(3), block).astype(np.float64)


def _leave_one_out(kind: Kind, p: Vector, q: Vector, weights: Vector, planar: bool) -> Vector:
    if len(p) > _MANY:
        determined = _determined_without(kind, p, planar) & _determined_without(kind, q, planar)
        return np.where(determined, missed_without(kind, p, q, weights, planar), np.nan)
    missed = np.full(len(p), np.nan)
    for left in range(len(p)):
        kept = np.arange(len(p)) != left
        try:
            _refuse_degenerate(kind, p[kept], q[kept], planar)
        except DegeneratePairsError:
            continue
        matrix = _solve(kind, p[kept], q[kept], weights[kept], planar)
        missed[left] = np.linalg.norm(apply(matrix, p[left]) - q[left])
    return missed


def _determined_without(kind: Kind, points: Vector, planar: bool) -> npt.NDArray[np.bool_]:
    """True where the points without one of them still spread as :func:`_refuse_degenerate` demands."""
    if kind == "translation":
        return np.ones(len(points), bool)
    spreads = spreads_without(points)
    needed = 1 if planar and kind != "affine" else 3 if kind == "affine" and not planar else 2
    apart = spreads[:, 0] > 1e-7 * float(np.abs(points).max())  # half the digits of the sums of squares
    wide = spreads[:, :needed] > MIN_SPREAD * spreads[:, :1]
    return np.asarray(apart & wide.all(axis=1), bool)


def _suspects(kind: Kind, p: Vector, q: Vector, u: Vector | None, planar: bool, seed: int) -> tuple[int, ...]:
    """Pairs far off a fit with least trimmed squares (Rousseeuw, J. Am. Stat. Assoc. 79 (1984) 871).

    From minimal subsets, each concentrated twice on the pairs that fit it best (Rousseeuw & van Driessen, Data Min.
    Knowl. Discov. 12 (2006) 29).  The limit is that of a normal distribution, with room for the map's own error.
    """
    needed = FEWEST[kind][not planar]
    if len(p) < needed + 2:
        return ()  # with one pair to spare, any of them may be the wrong one
    scale = np.ones(len(p)) if u is None else u
    kept = (len(p) + needed + 1) // 2
    dimensions = 2 if planar else 3
    degrees = dimensions * kept - PARAMETERS[kind][not planar]
    best, least = None, np.inf
    for subset in _subsets(len(p), needed, seed):
        off = _concentrated(kind, p, q, scale, subset, kept, planar)
        if off is not None and (loss := float(np.sum(np.partition(off, kept - 1)[:kept] ** 2))) < least:
            best, least = off, loss
    if best is None:
        return ()
    limit = _SUSPECT["found" if u is None else "stated"]
    floor = 1.0 if u is not None else 1e-9 * (float(np.abs(q).max()) + 1e-12)
    # The smallest of the squares understate the variance; about 2 for half of them kept, 1 for all.
    spread = max(np.sqrt(least / degrees * len(p) / kept), floor)
    return tuple(int(i) for i in np.flatnonzero(best > limit * np.sqrt(dimensions) * spread))


def _concentrated(
    kind: Kind, p: Vector, q: Vector, scale: Vector, subset: npt.NDArray[np.int64], kept: int, planar: bool
) -> Vector | None:
    """Distances from the fit of a subset after two refits to the ``kept`` nearest pairs, in units of ``scale``."""
    for _ in range(3):
        try:
            _refuse_degenerate(kind, p[subset], q[subset], planar)
        except DegeneratePairsError:
            return None
        matrix = _solve(kind, p[subset], q[subset], 1.0 / scale[subset] ** 2, planar)
        off: Vector = np.linalg.norm(apply(matrix, p) - q, axis=1) / scale
        subset = np.argpartition(off, kept - 1)[:kept]
    return off


def _subsets(count: int, size: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    every = list(itertools.islice(itertools.combinations(range(count), size), _MOST_SUBSETS + 1))
    if len(every) <= _MOST_SUBSETS:
        yield from (np.array(subset) for subset in every)
        return
    rng = np.random.default_rng(seed)
    for _ in range(_MOST_SUBSETS):
        yield rng.choice(count, size, replace=False)
