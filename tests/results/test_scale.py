"""How an uncertain scale enters a number: first order, checked against Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from apps.results.scale import map_nested, relative_scale_uncertainty, scale_error, widen_interval


def spacing(**axes: tuple[float, float | None]) -> dict[str, object]:
    return {axis: {"value": value, "unit": "um", "source": "user", "u": u} for axis, (value, u) in axes.items()}


@pytest.mark.parametrize("exponent", [-1, 1, 2, 3])
def test_first_order_agrees_with_monte_carlo(exponent: int) -> None:
    value, relative = 7.0, 0.01
    factors = np.random.default_rng(1).normal(1.0, relative, 200_000)
    sampled = np.std(value * factors**exponent)
    assert scale_error(value, exponent, relative) == pytest.approx(sampled, rel=0.02)


def test_the_largest_relative_uncertainty_counts() -> None:
    assert relative_scale_uncertainty(spacing(x=(2.0, 0.1), z=(4.0, 0.1))) == pytest.approx(0.05)


def test_no_stated_uncertainty_is_none_and_not_zero() -> None:
    assert relative_scale_uncertainty(spacing(x=(2.0, None))) is None
    assert relative_scale_uncertainty(None) is None


def test_an_interval_widens_in_quadrature_and_says_so() -> None:
    given = {"low": 6.0, "high": 8.0, "level": 0.95, "contains": ["segmentation"]}
    found = widen_interval(7.0, given, 0.75 / 1.959963984540054)
    assert (found["low"], found["high"]) == pytest.approx((7 - 1.25, 7 + 1.25))
    assert found["contains"] == ["segmentation", "scale"]


def test_without_an_interval_the_scale_makes_it() -> None:
    found = widen_interval([1.0, None], None, [0.1, None])
    assert found["low"] == [pytest.approx(1 - 0.196, abs=1e-4), None]
    assert found["contains"] == ["scale"]


def test_nested_values_keep_their_shape_and_their_holes() -> None:
    assert map_nested(lambda v, w: v + w, [[1, None], [3, 4]], [[1, 1], [1, 1]]) == [[2, None], [4, 5]]
