"""Coarser levels against a reference that walks block by block."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analyses.sdk.pyramid import check_dtype, halved_shape, reduce_block, reduce_strips

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)
steps = st.tuples(*[st.sampled_from([1, 2])] * 3)


def blocks(array, factors):
    for place in product(*map(range, halved_shape(array.shape, factors))):
        yield (
            place,
            array[tuple(slice(p * f, (p + 1) * f) for p, f in zip(place, factors, strict=True))].ravel().tolist(),
        )


def reference(array, factors, judge):
    out = np.empty(halved_shape(array.shape, factors), array.dtype)
    for place, samples in blocks(array, factors):
        out[place] = judge(samples)
    return out


def mean_half_up(samples):
    return (Fraction(sum(samples), len(samples)) + Fraction(1, 2)).__floor__()


def mode_smallest(samples):
    return min(Counter(samples).items(), key=lambda item: (-item[1], item[0]))[0]


@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data(), shape=shapes, factors=steps)
def test_integer_mean_is_exact_and_rounds_half_up(dtype, data, shape, factors):
    array = data.draw(hnp.arrays(dtype, shape))
    assert np.array_equal(reduce_block(array, factors, "mean"), reference(array, factors, mean_half_up))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("end", ["min", "max"])
def test_extremes_do_not_overflow(dtype, end):
    value = getattr(np.iinfo(dtype), end)
    assert (reduce_block(np.full((3, 4, 5), value, dtype), (2, 2, 2), "mean") == value).all()


@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data(), shape=shapes, factors=steps)
def test_mode_takes_the_smallest_of_equals(dtype, data, shape, factors):
    bottom = 0 if dtype.startswith("u") else -2
    array = data.draw(hnp.arrays(dtype, shape, elements=st.integers(bottom, 2)))
    assert np.array_equal(reduce_block(array, factors, "mode"), reference(array, factors, mode_smallest))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@given(data=st.data(), shape=shapes, factors=steps)
def test_float_mean_is_the_mean_in_double_precision(dtype, data, shape, factors):
    array = data.draw(hnp.arrays(dtype, shape, elements=st.floats(-1e6, 1e6, width=32)))
    found = reduce_block(array, factors, "mean")
    expected = reference(array.astype("f8"), factors, lambda samples: sum(samples) / len(samples))
    assert found.dtype == array.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_one_nan_spoils_its_block_only():
    array = np.ones((2, 4, 4), "f4")
    array[1, 0, 0] = np.nan
    found = reduce_block(array, (2, 2, 2), "mean")
    assert np.isnan(found[0, 0, 0])
    assert np.isfinite(found).sum() == found.size - 1


@pytest.mark.parametrize("method", ["mean", "mode"])
@pytest.mark.parametrize(
    ("shape", "factors"), [((3, 701, 900), (2, 2, 2)), ((1, 1500, 777), (1, 2, 2)), ((2, 5, 1), (2, 2, 1))]
)
def test_strips_equal_the_whole(method, shape, factors):
    array = np.random.default_rng(3).integers(0, 9, (2, *shape)).astype("u2")
    found = np.empty((2, *halved_shape(shape, factors)), "u2")
    reduce_strips(array, factors, method, found)
    assert np.array_equal(found, reduce_block(array, (1, *factors), method))


@pytest.mark.parametrize("dtype", [bool, "c8", "f2", "S3", [("a", "u1")]])
def test_types_that_a_store_cannot_hold_are_refused_by_name(dtype):
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        check_dtype(dtype)


def test_big_endian_becomes_little_endian():
    assert check_dtype(">u2") == np.dtype("<u2")


def test_other_factors_are_refused():
    with pytest.raises(ValueError, match="3"):
        reduce_block(np.zeros((2, 2, 2), "u1"), (1, 3, 1), "mean")
