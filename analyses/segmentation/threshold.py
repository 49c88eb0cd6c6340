"""Phases by grey value: fixed thresholds, Otsu, multi-level Otsu.

Works on volumes larger than memory: one global histogram, then labels slab by slab.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from analyses.sdk.contract import Context, Cost, ExitCode, Inputs, Outputs, Params, PluginError, PluginSpec, Port
from analyses.sdk.values import ImageValue, Interval, OutputImage, PropertyValue
from analyses.sdk.volumes import SLAB_BYTES, Volume, slabs
from analyses.segmentation.histogram import Histogram, NotFiniteError, histogram, otsu

MAX_CLASSES = 16


class ThresholdParams(Params):
    """How grey values become phases."""

    method: Literal["fixed", "otsu", "multi_otsu"] = Field(
        default="otsu", description="how the thresholds are found: given, by Otsu (two phases), by multi-level Otsu"
    )
    thresholds: tuple[float, ...] | None = Field(
        default=None,
        max_length=MAX_CLASSES - 1,
        description=(
            "with `fixed`: ascending grey values; a sample is brighter if its value is greater than the threshold"
        ),
    )
    classes: int | None = Field(
        default=None, ge=2, le=MAX_CLASSES, description="with `multi_otsu`: number of phases (default 3)"
    )
    channel: int = Field(default=0, ge=0, description="index of the channel that is segmented")
    time: int = Field(default=0, ge=0, description="index of the time point that is segmented")

    @model_validator(mode="after")
    def _consistent(self) -> ThresholdParams:
        if (self.method == "fixed") != bool(self.thresholds):
            raise ValueError("`thresholds` is needed with method `fixed`, and only with it")
        if self.classes is not None and self.method != "multi_otsu":
            raise ValueError("`classes` belongs to method `multi_otsu`")
        given = self.thresholds or ()
        if any(b <= a for a, b in itertools.pairwise(given)):
            raise ValueError(f"`thresholds` must ascend strictly; given {list(given)}")
        return self

    @property
    def class_count(self) -> int:
        """Number of phases that come out."""
        return (
            len(self.thresholds) + 1 if self.thresholds else (self.classes or 3 if self.method == "multi_otsu" else 2)
        )


def run(ctx: Context, params: ThresholdParams, inputs: Inputs) -> Outputs:
    """Label every voxel of one channel at one time with its phase, 0 .. n-1 from dark to bright.

    ``fractions`` lists the volume fraction of each phase in that order.  Its interval is what a shift of every
    threshold by one 256th of the grey range (0.5% to 99.5% of the samples; at least one grey step) does at worst: phase
    i at (t_i + step, t_i+1 - step) and at (t_i - step, t_i+1 + step); no probability is
    claimed for it.
    """
    image: ImageValue = inputs["image"]
    volume = _volume(image, params)
    try:
        hist = histogram(volume)
    except NotFiniteError as error:
        raise PluginError("not_finite", count=error.count) from error
    ctx.progress(0.4, "histogram")
    thresholds = _thresholds(hist, params)
    step = hist.sensitivity_step or 1.0
    array = ctx.create_array("labels", shape=volume.shape, dtype=np.uint8, axes=("z", "y", "x"))
    exceed = np.zeros((3, len(thresholds)), np.int64)
    levels = np.array([thresholds, np.subtract(thresholds, step), np.add(thresholds, step)])
    for start, stop in slabs(volume.shape, volume.dtype.itemsize, array.chunks[0]):
        ctx.check_cancelled()
        block = volume.read(start, stop)
        array[start:stop] = _label(block, thresholds)
        exceed += _count_above(block, levels)
        ctx.progress(0.4 + 0.6 * stop / volume.shape[0], "labels")
    facts = {
        "thresholds": thresholds,
        "method": params.method,
        "grey_step": hist.step,
        "threshold_shift": step,
        "interval": "every threshold shifted by one 256th of the grey range (0.5% to 99.5%), at least one grey step",
        "histogram_exact": hist.exact,
        "channel": params.channel,
        "time": params.time,
    }
    labels = OutputImage("labels", array, ("z", "y", "x"), image.id, name="phases", facts=facts)
    return {"labels": labels, "fractions": _fractions(exceed, int(np.prod(volume.shape)), facts)}


def _volume(image: ImageValue, params: ThresholdParams) -> Volume:
    sizes = dict(zip(image.axes, image.shape, strict=True))
    for axis, index, name in (("c", params.channel, "channel"), ("t", params.time, "time")):
        if index >= sizes.get(axis, 1):
            raise PluginError("no_such_index", axis=name, index=index, count=sizes.get(axis, 1))
    return Volume(image, params.time, params.channel)


def _thresholds(hist: Histogram, params: ThresholdParams) -> list[float]:
    occupied = np.flatnonzero(hist.counts)
    low, high = float(hist.values[occupied[0]]), float(hist.values[occupied[-1]])
    if params.thresholds:
        return list(params.thresholds)
    try:
        return otsu(hist, params.class_count)
    except ValueError as error:
        raise PluginError(
            "no_contrast", values=int(occupied.size), classes=params.class_count, low=low, high=high
        ) from error


def _label(block: npt.NDArray[Any], thresholds: list[float]) -> npt.NDArray[np.uint8]:
    labels = np.zeros(block.shape, np.uint8)
    for threshold in thresholds:
        labels += block > threshold
    return labels


def _count_above(block: npt.NDArray[Any], levels: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.array([[np.count_nonzero(block > level) for level in row] for row in levels], np.int64)


def _fractions(exceed: npt.NDArray[np.int64], total: int, facts: Mapping[str, Any]) -> PropertyValue:
    """Fractions from the numbers of samples above the thresholds themselves, shifted down and shifted up."""
    at, lower, upper = ([total, *row, 0] for row in exceed.tolist())
    count = len(at) - 1
    value = [(at[i] - at[i + 1]) / total for i in range(count)]
    low = [max(0, upper[i] - lower[i + 1]) / total for i in range(count)]
    high = [(lower[i] - upper[i + 1]) / total for i in range(count)]
    interval = Interval(low, high, None, ("segmentation",))
    return PropertyValue("phase_fractions", value, "1", interval, facts=dict(facts), scale_exponent=0)


def cost(params: ThresholdParams, inputs: Mapping[str, Any]) -> Cost:
    """Time goes with the samples; memory is a few slabs whatever the size."""
    image: ImageValue = inputs["image"]
    shape = Volume(image, 0, 0).shape
    samples = float(np.prod(shape))
    memory = min(6 * SLAB_BYTES, int(samples) * 12) + 64 * 2**20
    seconds = 0.2 + 1.2e-8 * samples * (1 + params.class_count)
    return Cost(memory, seconds, {"labels": shape, "fractions": (params.class_count,)})


SPEC = PluginSpec(
    name="segmentation.threshold",
    version="1.0.0",
    title="Phases by threshold",
    summary=(
        "Labels phases 0 .. n-1 from dark to bright by fixed, Otsu or multi-level Otsu thresholds, and their fractions."
    ),
    params=ThresholdParams,
    inputs=(Port("image", "image", "image to segment; one channel at one time is read", dims=(1, 2, 3)),),
    outputs=(
        Port("labels", "labels", "phase of every voxel, 0 .. n-1 from dark to bright"),
        Port("fractions", "property", "volume fraction of every phase, in the order of the labels"),
    ),
    run=run,
    cost=cost,
    exit_codes=(
        ExitCode(
            100, "no_contrast", "{values} distinct grey values between {low} and {high} do not make {classes} phases"
        ),
        ExitCode(101, "not_finite", "{count} samples are NaN or infinite; mask or replace them first"),
        ExitCode(102, "no_such_index", "{axis} {index} does not exist; the image has {count}"),
    ),
    references=(
        (
            "Otsu, N. (1979). A threshold selection method from gray-level histograms. IEEE Trans. Syst. Man "
            "Cybern. 9, 62-66."
        ),
        (
            "Liao, P.-S., Chen, T.-S., Chung, P.-C. (2001). A fast algorithm for multilevel thresholding. J. Inf. "
            "Sci. Eng. 17, 713-727."
        ),
    ),
)
