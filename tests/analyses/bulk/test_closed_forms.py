"""Bounds and their propagation."""

from __future__ import annotations

import numpy as np
import pytest

from analyses.bulk.closed_forms import hashin_shtrikman, propagate, wiener


def test_wiener_of_the_laminate():
    assert wiener([0.5, 0.5], [1, 100]) == pytest.approx((200 / 101, 50.5))


def test_wiener_with_an_insulator_is_zero_below():
    assert wiener([0.3, 0.7], [0, 2]) == (0.0, pytest.approx(1.4))
    assert wiener([0.0, 1.0], [0, 2]) == (2.0, 2.0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_hashin_shtrikman_of_two_phases(dimension):
    """The two-phase form as printed by Hashin & Shtrikman: k1 + f2 / (1 / (k2 - k1) + f1 / (d k1))."""
    f, k = 0.3, (1.0, 10.0)
    low = k[0] + f / (1 / (k[1] - k[0]) + (1 - f) / (dimension * k[0]))
    high = k[1] + (1 - f) / (1 / (k[0] - k[1]) + f / (dimension * k[1]))
    assert hashin_shtrikman([1 - f, f], k, dimension) == pytest.approx((low, high))


def test_hashin_shtrikman_lies_within_wiener_for_many_phases():
    rng = np.random.default_rng(0)
    for _ in range(50):
        f, k = rng.dirichlet(np.ones(4)), rng.lognormal(0, 2, 4)
        (w_low, w_high), (low, high) = wiener(f, k), hashin_shtrikman(f, k)
        assert w_low <= low <= high <= w_high


def test_hashin_shtrikman_with_an_insulator():
    low, high = hashin_shtrikman([0.5, 0.5], [0.0, 1.0])
    assert low == 0.0
    assert high == pytest.approx(0.4)  # 2 f k / (3 - f)


def test_propagation_of_the_arithmetic_mean():
    f = np.array([0.25, 0.75])
    u = propagate(lambda k: wiener(f, k), [1.0, 4.0], [0.1, 0.2])
    assert u[1] == pytest.approx(np.hypot(0.025, 0.15), rel=1e-6)


@pytest.mark.parametrize(
    ("fractions", "values", "message"),
    [([0.5, 0.6], [1, 2], "sum to 1"), ([1.0], [1, 2], "equal"), ([0.5, 0.5], [1, -2], ">= 0")],
)
def test_refuses_what_is_no_mixture(fractions, values, message):
    with pytest.raises(ValueError, match=message):
        wiener(fractions, values)
