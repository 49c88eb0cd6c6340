"""The fits of many landmark pairs without each of them, from sums that one pair is taken out of.

With ``a`` and ``b`` the points of both frames about their weighted means, ``w`` their weights and ``W`` the sum of
these, the sums without pair i about the means without pair i are those of all pairs less ``w W / (W - w) x y^T``, an
exact downdate (Chan, Golub & LeVeque, Am. Stat. 37 (1983) 242, eq. 2.1): n fits cost as much as one reading of the
pairs and n decompositions of 3 x 3 matrices, where fitting anew costs n readings.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def missed_without(kind: str, p: Floats, q: Floats, weights: Floats, planar: bool) -> Floats:
    """Distance by which the map of all other pairs misses each pair.

    Parameters
    ----------
    kind : str
        translation, rigid, similarity or affine; planar maps leave z alone.
    p, q : ndarray, (n, 3)
        Source and target, um; the pairs determine a map of the kind whichever one is left out, with room to spare.
    weights : ndarray, (n,)
    planar : bool
        All points lie at z = 0.

    Returns
    -------
    ndarray, (n,)
        um.
    """
    share = weights / weights.sum()
    a, b = p - share @ p, q - share @ q
    size = 2 if planar else 3
    x, y = a[:, :size], b[:, :size]
    out = share / (1.0 - share)
    cross = (share[:, None] * y).T @ x - out[:, None, None] * y[:, :, None] * x[:, None, :]
    spread = (share[:, None] * x).T @ x - out[:, None, None] * x[:, :, None] * x[:, None, :]
    linear = _linear(kind, cross, spread)
    # the means of the others lie at -out * a and -out * b: the map takes pair i to linear (1 + out) a - out b
    off = (1.0 + out)[:, None] * ((linear @ x[:, :, None])[:, :, 0] - y)
    beyond = (1.0 + out) * (a[:, 2] - b[:, 2]) if planar else np.zeros(len(p))
    missed: Floats = np.sqrt(np.sum(off**2, axis=1) + beyond**2)
    return missed


def _linear(kind: str, cross: Floats, spread: Floats) -> Floats:
    count, size = len(cross), cross.shape[1]
    if kind == "translation":
        return np.broadcast_to(np.eye(size), (count, size, size))
    if kind == "affine":
        return np.asarray(np.linalg.solve(spread, cross.swapaxes(1, 2)).swapaxes(1, 2), np.float64)
    u, d, vt = np.linalg.svd(cross)
    sign = np.ones((count, size))
    sign[:, -1] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    linear = (u * sign[:, None, :]) @ vt
    if kind == "similarity":
        linear *= (np.sum(d * sign, axis=1) / np.trace(spread, axis1=1, axis2=2))[:, None, None]
    return np.asarray(linear, np.float64)


def spreads_without(points: Floats) -> Floats:
    """Return the three spreads (singular values about the mean) of all other points, largest first, (n, 3)."""
    about = points - points.mean(axis=0)
    out = len(points) / (len(points) - 1.0)
    scatter = about.T @ about - out * about[:, :, None] * about[:, None, :]
    return np.sqrt(np.maximum(np.linalg.eigvalsh(scatter)[:, ::-1], 0.0))
