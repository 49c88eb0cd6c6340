"""How an uncertain scale enters a number.

A value that goes as s**n when all spacings are multiplied by s has, to first order, the relative standard uncertainty
``|n| u(s)/s`` from the scale (GUM, JCGM 100:2008, 5.1.2).  The spacings of one image stem from one calibration or one
hand, so they are taken as fully correlated along the axes; where their relative uncertainties differ, the largest is
used.

A scale has up to two sources of error: the spacing of the image and the factor of the calibration that it is under.
They are independent of each other and added in quadrature.  A source is shared by all numbers that name it, whatever
image they come from, and so does not average away (``scale_covariance``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.values import SPATIAL_AXES

COVERAGE_LEVEL = 0.95
COVERAGE_FACTOR = 1.959963984540054  # normal distribution, 95 %

Nested = Any


def map_nested(function: Callable[..., float | None], *values: Nested) -> Nested:
    """Apply a function elementwise to nested lists of one shape; None in the first stays None."""
    first = values[0]
    if isinstance(first, list | tuple):
        return [map_nested(function, *items) for items in zip(*values, strict=True)]
    return None if first is None else function(*values)


@dataclass(frozen=True)
class ScaleSource:
    """One source of a scale's error; numbers that name the same one share its error.

    ``kind`` is ``calibration`` or ``spacing``; ``id`` that of the calibration, or of the nominal frame in which all
    images on one grid stand; ``u_relative`` its standard uncertainty over its value.
    """

    kind: str
    id: str
    u_relative: float


def relative_scale_uncertainty(
    spacing: Mapping[str, Any] | None, axes: Sequence[str], shape: Sequence[int], *, calibrated: str = ""
) -> float | None:
    """Return the largest u/value over the spatial axes longer than one sample.

    None ("not stated") if one of them states none: the others say nothing about it.  Axes of one sample do not count,
    for no length is measured along them.  0 where somebody declared every spacing exact.

    Along the axes in ``calibrated`` the factor of a calibration was measured against the nominal spacing: one that
    states no uncertainty counts there as exact.
    """
    known = spacing or {}
    parts = []
    for axis, size in zip(axes, shape, strict=True):
        if axis not in SPATIAL_AXES or size <= 1:
            continue
        entry = known.get(axis) or {}
        if entry.get("u") is None and entry.get("value") and axis in calibrated:
            parts.append(0.0)
            continue
        if entry.get("u") is None or not entry.get("value"):
            return None
        parts.append(float(entry["u"]) / float(entry["value"]))
    return max(parts, default=None)


def combined_uncertainty(sources: Sequence[ScaleSource]) -> float:
    """Return the relative standard uncertainty of a scale: its sources in quadrature."""
    return math.hypot(*(source.u_relative for source in sources))


def scale_covariance(
    values: Sequence[float], exponents: Sequence[int], sources: Sequence[Sequence[ScaleSource]]
) -> npt.NDArray[np.float64]:
    """Return the covariance that the scale gives to several numbers.

    ``cov(a, b) = sum over the sources that both name of (n_a a r)(n_b b r)``, with n the exponent of the number and r
    the relative standard uncertainty of the source (GUM, JCGM 100:2008, 5.2.2): two lengths under one calibration
    are correlated with 1, and their mean is no better known than each.

    Parameters
    ----------
    values : sequence of float, length n
    exponents : sequence of int, length n
        The value goes as length to this power.
    sources : sequence of sequence of ScaleSource, length n
        Of each number; none for one that carries no scale.

    Returns
    -------
    ndarray, (n, n)
        In the products of the units.
    """
    names = sorted({(source.kind, source.id) for one in sources for source in one})
    gains = np.zeros((len(values), len(names)))
    for row, (value, exponent, one) in enumerate(zip(values, exponents, sources, strict=True)):
        for source in one:
            gains[row, names.index((source.kind, source.id))] = exponent * value * source.u_relative
    covariance: npt.NDArray[np.float64] = gains @ gains.T
    return covariance


def scale_error(value: Nested, exponent: int, relative_u: float) -> Nested:
    """Return the standard uncertainty that the scale gives a value, elementwise, in the unit of the value."""
    return map_nested(lambda v: abs(exponent) * relative_u * abs(v), value)


def _half_widths(value: float, low: float, high: float, scale: float) -> tuple[float, float]:
    reach = COVERAGE_FACTOR * scale
    return ((value - low) ** 2 + reach**2) ** 0.5, ((high - value) ** 2 + reach**2) ** 0.5


def _lower(value: float, low: float, high: float, scale: float) -> float:
    widened = value - _half_widths(value, low, high, scale)[0]
    return max(0.0, widened) if low >= 0 else widened


def widen_interval(value: Nested, interval: Mapping[str, Any] | None, scale: Nested) -> dict[str, Any]:
    """Combine an interval with the scale's uncertainty in quadrature; without one, the scale alone makes it.

    A bound at or above zero stays so: a factor above zero changes no sign.

    Parameters
    ----------
    value : number or nested list
    interval : mapping or None
        ``low``, ``high`` (shape of ``value``), ``level``, ``contains``.
    scale : number or nested list
        Standard uncertainty from the scale, shape and unit of ``value``.
    """
    if interval is None:
        low = map_nested(lambda v, s: v - COVERAGE_FACTOR * s, value, scale)
        high = map_nested(lambda v, s: v + COVERAGE_FACTOR * s, value, scale)
        return {"low": low, "high": high, "level": COVERAGE_LEVEL, "contains": ["scale"]}
    low_in, high_in = interval["low"], interval["high"]
    low = map_nested(_lower, value, low_in, high_in, scale)
    high = map_nested(lambda v, a, b, s: v + _half_widths(v, a, b, s)[1], value, low_in, high_in, scale)
    return {"low": low, "high": high, "level": interval.get("level"), "contains": [*interval["contains"], "scale"]}
