"""How an uncertain scale enters a number: first order, checked against Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from apps.core.errors import InvalidValueError
from apps.imaging.readers.tiff_spacing import usable
from apps.imaging.scale import check_spacing
from apps.results.scale import map_nested, relative_scale_uncertainty, scale_error, widen_interval


def spacing(**axes: tuple[float, float | None]) -> dict[str, object]:
    return {axis: {"value": value, "unit": "um", "source": "user", "u": u} for axis, (value, u) in axes.items()}


@pytest.mark.parametrize("exponent", [-1, 1, 2, 3])
def test_first_order_agrees_with_monte_carlo(exponent: int) -> None:
    value, relative = 7.0, 0.01
    factors = np.random.default_rng(1).normal(1.0, relative, 200_000)
    sampled = np.std(value * factors**exponent)
    assert scale_error(value, exponent, relative) == pytest.approx(sampled, rel=0.02)


ZYX, VOLUME, PLANE = ["z", "y", "x"], [9, 8, 7], [1, 8, 7]


def test_the_largest_relative_uncertainty_counts() -> None:
    known = spacing(x=(2.0, 0.1), y=(2.0, 0.01), z=(4.0, 0.1))
    assert relative_scale_uncertainty(known, ZYX, VOLUME) == pytest.approx(0.05)


def test_an_axis_of_one_sample_does_not_count() -> None:
    known = spacing(x=(2.0, 0.1), y=(2.0, 0.1), z=(4.0, 3.9))
    assert relative_scale_uncertainty(known, ZYX, PLANE) == pytest.approx(0.05)
    assert relative_scale_uncertainty(spacing(x=(2.0, 0.1), y=(2.0, 0.1)), ZYX, PLANE) == pytest.approx(0.05)


def test_no_stated_uncertainty_is_none_and_not_zero() -> None:
    assert relative_scale_uncertainty(spacing(x=(2.0, 0.1), y=(2.0, 0.1), z=(4.0, None)), ZYX, VOLUME) is None
    assert relative_scale_uncertainty(spacing(x=(2.0, 0.1), y=(2.0, 0.1)), ZYX, VOLUME) is None
    assert relative_scale_uncertainty(None, ZYX, VOLUME) is None
    exact = spacing(x=(2.0, 0.0), y=(2.0, 0.0), z=(4.0, 0.0))
    assert relative_scale_uncertainty(exact, ZYX, VOLUME) == 0.0


def test_a_positive_bound_stays_positive() -> None:
    given = {"low": 0.5, "high": 3.5, "level": None, "contains": ["voxel"]}
    assert widen_interval(2.0, given, 1.0)["low"] == 0.0
    assert widen_interval(2.0, {**given, "low": -0.5}, 1.0)["low"] < -0.5


def test_no_uncertainty_of_the_scale_reaches_the_spacing_itself() -> None:
    good = check_spacing({"x": 2, "y": 2.0, "z": 4}, {"x": 0.1, "y": 0, "z": 3.9})
    assert [good[axis]["u"] for axis in "xyz"] == [0.1, 0.0, 3.9]
    with pytest.raises(InvalidValueError, match="smaller than the spacing") as caught:
        check_spacing({"x": 2.0, "y": 2.0}, {"x": 0.1, "y": 2.0})
    assert caught.value.field == "spacing_u_um.y"
    with pytest.raises(InvalidValueError) as caught:
        check_spacing({"x": 2.0, "y": 1.0}, 1.5, prefix="overrides.")
    assert caught.value.field == "overrides.spacing_u_um"


@pytest.mark.parametrize("value", ["1e-320", 0, -1, "nan", "inf", 1e10, "abc", None])
def test_what_is_no_distance_in_a_file_counts_as_absent(value: object) -> None:
    assert usable(value) is None
    assert usable(1e-320, 1e6) is None
    assert usable("0.5", 1e-3) == 0.0005


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
