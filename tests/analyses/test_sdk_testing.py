"""The check of the contract finds what it is there to find."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from pydantic import Field

from analyses.sdk.contract import Cancelled, ExitCode, Params, PluginError, PluginSpec, Port
from analyses.sdk.testing import MemoryContext, check_contract, expect_failure, image_value
from analyses.sdk.values import Column, Interval, OutputImage, PropertyValue, TableValue


class Good(Params):
    """One number."""

    factor: float = Field(default=1.0, description="what the mean is multiplied by")


class Bare(Params):
    """A field without a word."""

    factor: float = 1.0


def good(ctx, params, inputs):
    value = params.factor * float(np.mean(inputs["image"].array[...])) + float(ctx.rng.random())
    return {"mean": PropertyValue("mean", value, "1")}


SPEC = PluginSpec(
    name="bulk.mean",
    version="1.0.0",
    title="Mean",
    summary="Mean",
    params=Good,
    inputs=(Port("image", "image"),),
    outputs=(Port("mean", "property"),),
    run=good,
    exit_codes=(ExitCode(100, "bad", "bad {what}"),),
)
INPUTS = {"image": image_value(np.arange(24.0).reshape(2, 3, 4))}


def giving(**outputs):
    return dataclasses.replace(SPEC, run=lambda ctx, params, inputs: outputs)


def test_a_good_plugin_passes():
    assert check_contract(SPEC, {"factor": 2.0}, INPUTS)["mean"].value > 23


def test_a_plugin_that_differs_between_runs_fails():
    counter = itertools.count()
    broken = dataclasses.replace(SPEC, run=lambda *_: {"mean": PropertyValue("mean", next(counter), "1")})
    with pytest.raises(AssertionError, match="differs between two equal runs"):
        check_contract(broken, {}, INPUTS)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "outputs missing"),
        ({"mean": PropertyValue("m", 1, "1"), "x": PropertyValue("m", 1, "1")}, "undeclared outputs"),
        ({"mean": TableValue((Column("a", [1], description="a"),))}, "is not a property"),
        ({"mean": PropertyValue("m", 1, "")}, "no unit"),
        ({"mean": PropertyValue("m", float("nan"), "1")}, "not JSON"),
        ({"mean": PropertyValue("m", 1, "1", facts={"n": np.int64(1)})}, "not JSON"),
        ({"mean": PropertyValue("m", 1, "1", Interval(0, 2, None, ("luck",)))}, "interval contains"),
        ({"mean": PropertyValue("m", 3, "1", Interval(0, 2, None, ("voxel",)))}, "outside its interval"),
        ({"mean": PropertyValue("m", [1, 1], "1", Interval([0], [2], None, ("voxel",)))}, "differ in shape"),
    ],
)
def test_broken_outputs_are_named(outputs, message):
    with pytest.raises(AssertionError, match=message):
        check_contract(giving(**outputs), {}, INPUTS)


def test_image_must_be_like_an_input():
    array = MemoryContext().create_array("labels", shape=(1, 2, 2), dtype=np.uint8, axes=("z", "y", "x"))
    labels = OutputImage("labels", array, ("z", "y", "x"), "elsewhere")
    spec = dataclasses.replace(giving(labels=labels), outputs=(Port("labels", "labels"),))
    with pytest.raises(AssertionError, match="is no input image"):
        check_contract(spec, {}, INPUTS)


def test_fields_need_descriptions_and_inputs_a_port():
    with pytest.raises(AssertionError, match="without a description"):
        check_contract(dataclasses.replace(SPEC, params=Bare), {}, INPUTS)
    with pytest.raises(AssertionError, match="have no port"):
        check_contract(SPEC, {}, {**INPUTS, "other": INPUTS["image"]})
    with pytest.raises(AssertionError, match="inputs missing"):
        check_contract(SPEC, {}, {})


def fail(name):
    def run(ctx, params, inputs):
        raise PluginError(name, what="luck")

    return dataclasses.replace(SPEC, run=run)


def test_failures_must_be_declared():
    assert expect_failure(fail("bad"), {}, INPUTS) == ("bad", {"what": "luck"})
    with pytest.raises(KeyError, match="declares no exit code"):
        expect_failure(fail("worse"), {}, INPUTS)
    with pytest.raises(AssertionError, match="succeeded where it had to fail"):
        expect_failure(SPEC, {}, INPUTS)


def test_context_keeps_what_it_is_told():
    context = MemoryContext(seed=3)
    context.progress(0.5, "half")
    context.log("line")
    assert context.progress_calls == [(0.5, "half")]
    assert context.lines == ["line"]
    with pytest.raises(AssertionError, match="outside"):
        context.progress(1.5)
    context.check_cancelled()
    context.cancelled = True
    with pytest.raises(Cancelled):
        context.check_cancelled()
    with pytest.raises(ValueError, match="differ in length"):
        context.create_array("a", shape=(2, 2), dtype=float, axes=("x",))
