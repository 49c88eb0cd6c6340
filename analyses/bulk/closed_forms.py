"""Closed forms for the conductivity of mixtures: bounds, and exact values for the cases that have one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


def wiener(fractions: npt.ArrayLike, values: npt.ArrayLike) -> tuple[float, float]:
    """Harmonic and arithmetic mean: bounds of every eigenvalue of the effective tensor of any mixture (Wiener 1912).

    Parameters
    ----------
    fractions
        Volume fractions (n,), sum 1.
    values
        Conductivities (n,), >= 0, any unit.

    Returns
    -------
    low, high
        In the unit of ``values``; the lower one is 0 if a phase that is present does not conduct.
    """
    f, k = _checked(fractions, values)
    present = f > 0
    low = 0.0 if np.any(k[present] == 0) else float(1.0 / np.sum(f[present] / k[present]))
    return low, float(np.sum(f * k))


def hashin_shtrikman(fractions: npt.ArrayLike, values: npt.ArrayLike, dimension: int = 3) -> tuple[float, float]:
    """Bounds for statistically **isotropic** mixtures of n isotropic phases (Hashin & Shtrikman 1962).

    K(k0) = 1 / sum(f_i / (k_i + (d - 1) k0)) - (d - 1) k0 with k0 the smallest and the largest conductivity present;
    ``dimension`` d is 3, or 2 for a plane or for the cross section of a prismatic geometry, or 1 for a profile, where
    both bounds are the harmonic mean.
    """
    f, k = _checked(fractions, values)
    present = f > 0
    return tuple(
        _comparison(f[present], k[present], float(k0), dimension) for k0 in (k[present].min(), k[present].max())
    )  # type: ignore[return-value]


def _comparison(f: Vector, k: Vector, k0: float, dimension: int) -> float:
    shift = (dimension - 1) * k0
    if np.any(k + shift == 0):
        return 0.0
    return float(1.0 / np.sum(f / (k + shift)) - shift)


def propagate(
    bound: Callable[[Vector], tuple[float, float]], values: npt.ArrayLike, uncertainties: npt.ArrayLike
) -> Vector:
    """Standard uncertainty (2,) of both bounds from independent ones of the phases, first order (GUM 2008, eq. 10).

    Derivatives by central differences with a relative step of 1e-5.
    """
    k, u = np.asarray(values, np.float64), np.asarray(uncertainties, np.float64)
    variance = np.zeros(2)
    for i in np.flatnonzero(u > 0):
        step = 1e-5 * k[i] if k[i] > 0 else 1e-5 * u[i]
        above, below = k.copy(), k.copy()
        above[i] += step
        below[i] = max(0.0, below[i] - step)
        slope = (np.array(bound(above)) - np.array(bound(below))) / (above[i] - below[i])
        variance += (slope * u[i]) ** 2
    return np.asarray(np.sqrt(variance))


def square_array_of_cylinders(fraction: float, ratio: float) -> float:
    """Transverse conductivity of a square array of circular cylinders relative to the matrix.

    K = 1 - 2f / (T + f - 0.305827 f^4 T / (T^2 - 1.402958 f^8) - 0.013362 f^8 / T), T = (1 + s) / (1 - s) (Perrins,
    McKenzie & McPhedran 1979); ``ratio`` s is cylinder over matrix, not 1; truncated, good up to f of about 0.6.
    """
    t = (1.0 + ratio) / (1.0 - ratio)
    f = fraction
    denominator = t + f - 0.305827 * f**4 * t / (t**2 - 1.402958 * f**8) - 0.013362 * f**8 / t
    return 1.0 - 2.0 * f / denominator


def _checked(fractions: npt.ArrayLike, values: npt.ArrayLike) -> tuple[Vector, Vector]:
    f, k = np.asarray(fractions, np.float64), np.asarray(values, np.float64)
    if f.shape != k.shape or f.ndim != 1 or f.size == 0:
        raise ValueError(f"fractions {f.shape} and values {k.shape} must be lists of equal, non-zero length")
    if np.any(f < 0) or abs(float(f.sum()) - 1.0) > 1e-9:
        raise ValueError(f"fractions must be >= 0 and sum to 1; they sum to {float(f.sum())}")
    if np.any(k < 0):
        raise ValueError(f"conductivities must be >= 0; given {k.tolist()}")
    return f, k
