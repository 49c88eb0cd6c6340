"""Thresholds against scikit-image and against hand-made images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.filters import threshold_multiotsu, threshold_otsu

from analyses.sdk.testing import expect_failure, image_value, run_plugin
from analyses.sdk.volumes import Volume
from analyses.segmentation.histogram import Histogram, histogram, otsu
from analyses.segmentation.threshold import SPEC, ThresholdParams


def grey(seed=0, dtype=np.uint8, shape=(6, 20, 24)):
    rng = np.random.default_rng(seed)
    modes = rng.choice([40, 110, 190], size=shape, p=[0.5, 0.3, 0.2])
    values = np.clip(modes + rng.normal(0, 12, shape), 0, 255)
    return (values * 200 if dtype == np.uint16 else values).astype(dtype)


def labels_of(out):
    return np.asarray(out["labels"].array[...])


def test_fixed_thresholds_count_brighter_as_strictly_greater():
    image = np.array([[[0, 9, 10, 11], [19, 20, 21, 255]]], np.uint8)
    out = run_plugin(SPEC, {"method": "fixed", "thresholds": [10, 20]}, {"image": image_value(image)})
    assert labels_of(out).tolist() == [[[0, 0, 0, 1], [1, 1, 2, 2]]]
    assert out["fractions"].value == [3 / 8, 3 / 8, 2 / 8]
    assert out["labels"].facts["thresholds"] == [10.0, 20.0]
    assert labels_of(out).dtype == np.uint8


def test_interval_is_one_grey_step_of_every_threshold():
    image = np.array([[[0, 9, 10, 11], [19, 20, 21, 255]]], np.uint8)
    fractions = run_plugin(SPEC, {"method": "fixed", "thresholds": [10, 20]}, {"image": image_value(image)})[
        "fractions"
    ]
    assert fractions.interval.contains == ("segmentation",)
    assert fractions.interval.level is None
    # dark: value <= 9 .. value <= 11; middle: 12 .. 19 at worst, 10 .. 21 at best; bright: > 21 .. > 19
    assert fractions.interval.low == [2 / 8, 1 / 8, 1 / 8]
    assert fractions.interval.high == [4 / 8, 5 / 8, 3 / 8]
    assert (fractions.unit, fractions.scale_exponent) == ("1", 0)


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint16, 256), (np.int32, 65536), (np.float32, 1e-3)])
def test_the_interval_does_not_vanish_with_finer_grey_steps(dtype, factor):
    """The same image in more grey values is no better known: a threshold moves by one 256th of the range."""
    image = grey(5, np.float32, (12, 40, 40))
    coarse, fine = (
        run_plugin(SPEC, {}, {"image": image_value(samples)})["fractions"]
        for samples in (image.astype(np.uint8), (image * factor).astype(dtype))
    )
    low, high = (np.percentile(image, q) * factor for q in (0.5, 99.5))
    assert fine.facts["threshold_shift"] == pytest.approx((high - low) / 256, rel=0.01)
    assert fine.facts["grey_step"] < 0.01 * fine.facts["threshold_shift"]
    assert (coarse.facts["threshold_shift"], coarse.facts["grey_step"]) == (1.0, 1.0)
    reach = [one.interval.high[1] - one.interval.low[1] for one in (coarse, fine)]
    assert 0 < 0.4 * reach[0] < reach[1] < 1.5 * reach[0]


@pytest.mark.parametrize("seed", range(4))
def test_otsu_equals_scikit_image(seed):
    image = grey(seed)
    out = run_plugin(SPEC, {}, {"image": image_value(image)})
    assert out["fractions"].facts["thresholds"] == [float(threshold_otsu(image))]
    assert np.array_equal(labels_of(out), image > threshold_otsu(image))


@pytest.mark.parametrize("classes", [3, 4])
def test_multi_otsu_equals_scikit_image(classes):
    image = grey(1)
    out = run_plugin(SPEC, {"method": "multi_otsu", "classes": classes}, {"image": image_value(image)})
    assert out["fractions"].facts["thresholds"] == [float(t) for t in threshold_multiotsu(image, classes)]
    assert sum(out["fractions"].value) == pytest.approx(1)


def test_multi_otsu_of_many_grey_values_is_the_exhaustive_maximum():
    """More values than the coarse search holds: the refinement must find the best pair among all."""
    rng = np.random.default_rng(2)
    values = np.sort(rng.choice(5000, 700, replace=False)).astype(float)
    counts = rng.integers(1, 50, values.size)
    hist = Histogram(values, counts, 1.0, exact=True)
    weight, total = np.cumsum(counts), np.cumsum(counts * values)

    def gain(low, high):
        w = weight[high] - (weight[low] if low >= 0 else 0)
        return (total[high] - (total[low] if low >= 0 else 0)) ** 2 / w

    last = values.size - 1
    pairs = itertools.combinations(range(last), 2)
    best = max(pairs, key=lambda cut: gain(-1, cut[0]) + gain(cut[0], cut[1]) + gain(cut[1], last))
    assert otsu(hist, 3) == [values[best[0]], values[best[1]]]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32, np.int32])
def test_every_sample_type(dtype):
    image = grey(3, dtype)
    if dtype == np.int16:
        image -= 100
    out = run_plugin(SPEC, {}, {"image": image_value(image)})
    threshold = out["fractions"].facts["thresholds"][0]
    step = out["fractions"].facts["grey_step"]
    assert out["fractions"].facts["histogram_exact"] == (dtype not in (np.float32, np.int32))
    assert threshold == pytest.approx(float(threshold_otsu(image, nbins=65536)), abs=2 * step)
    assert out["fractions"].value[1] == pytest.approx(np.mean(image > threshold))


def test_slabs_change_nothing(monkeypatch):
    image = grey(4, np.float32, (9, 16, 16))
    whole = run_plugin(SPEC, {"method": "multi_otsu"}, {"image": image_value(image)})
    planes = [(z, z + 1) for z in range(9)]
    monkeypatch.setattr("analyses.segmentation.histogram.slabs", lambda *_: planes)
    monkeypatch.setattr("analyses.segmentation.threshold.slabs", lambda *_: planes)
    assert histogram(Volume(image_value(image))).counts.sum() == image.size
    parts = run_plugin(SPEC, {"method": "multi_otsu"}, {"image": image_value(image)})
    assert np.array_equal(labels_of(whole), labels_of(parts))
    assert whole["fractions"] == parts["fractions"]


def test_channel_and_time_are_chosen():
    image = np.stack([np.stack([grey(5), grey(6)]), np.stack([grey(7), grey(8)])])
    value = image_value(image, axes=("t", "c", "z", "y", "x"))
    out = run_plugin(SPEC, {"channel": 1, "time": 1}, {"image": value})
    assert out["labels"].axes == ("z", "y", "x")
    assert np.array_equal(labels_of(out), image[1, 1] > threshold_otsu(image[1, 1]))
    assert expect_failure(SPEC, {"channel": 2}, {"image": value})[0] == "no_such_index"
    assert expect_failure(SPEC, {"time": 2}, {"image": value})[0] == "no_such_index"


def test_a_plane_stays_a_plane():
    out = run_plugin(SPEC, {}, {"image": image_value(grey()[0])})
    assert out["labels"].array.shape == (1, 20, 24)


def test_constant_and_broken_images_are_refused():
    name, facts = expect_failure(SPEC, {}, {"image": image_value(np.full((2, 3, 4), 7, np.uint8))})
    assert name == "no_contrast"
    assert facts["low"] == facts["high"] == 7
    broken = np.zeros((2, 3, 4), np.float32)
    broken[0, 0, :2] = np.nan
    assert expect_failure(SPEC, {}, {"image": image_value(broken)}) == ("not_finite", {"count": 2})


def test_fixed_threshold_on_a_constant_image_is_allowed():
    out = run_plugin(SPEC, {"method": "fixed", "thresholds": [3]}, {"image": image_value(np.full((1, 2, 2), 7.0))})
    assert out["fractions"].value == [0.0, 1.0]


@pytest.mark.parametrize(
    "params",
    [
        {"method": "fixed"},
        {"method": "otsu", "thresholds": [1]},
        {"method": "otsu", "classes": 2},
        {"method": "fixed", "thresholds": [3, 3]},
        {"method": "multi_otsu", "classes": 1},
        {"method": "fixed", "thresholds": [float("nan")]},
        {"method": "otsu", "sed": 1},
    ],
)
def test_contradictory_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        ThresholdParams(**params)
