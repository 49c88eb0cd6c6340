"""Writing one image on the grid of another: the right sample, no half-voxel slip, nothing lost on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyses.registration import resample
from analyses.sdk.contract import PluginError
from analyses.sdk.pyramid import reduce_block
from analyses.sdk.spatial import apply, invert
from analyses.sdk.testing import image_value, run_plugin
from analyses.sdk.values import Channel, ImageValue, OutputImage, TransformValue
from benchmarks.registration.phantoms import about, rotation
from tests.analyses.registration.pairs import value


def joined(matrix: np.ndarray, moving: str = "moving", kind: str = "rigid") -> TransformValue:
    return TransformValue(kind, matrix, f"frame of {moving}", "frame of fixed", residual_um=0.0)  # type: ignore[arg-type]


def written(fixed: ImageValue, matrix: np.ndarray, params: dict[str, Any] | None = None, **given: Any) -> OutputImage:
    found = run_plugin(resample.SPEC, params or {}, {"fixed": fixed, "transform": joined(matrix), **given})
    return found["labels" if "labels" in given else "image"]


def dot(shape: tuple[int, int, int], index_xyz: tuple[int, int, int], dtype: Any = np.uint16) -> np.ndarray:
    made = np.zeros(shape, dtype)
    made[index_xyz[::-1]] = 1000
    return made


def centroid_um(samples: np.ndarray, spacing: float) -> np.ndarray:
    places = np.stack(np.nonzero(samples), -1)[:, ::-1]
    weights = samples[np.nonzero(samples)].astype(float)
    return spacing * (places * weights[:, None]).sum(axis=0) / weights.sum()


@pytest.mark.parametrize(("fine", "coarse"), [(1.0, 1.0), (0.5, 2.0), (0.25, 1.0), (2.0, 0.5)])
def test_one_voxel_lands_where_the_transform_says(fine: float, coarse: float) -> None:
    """The centre of a lone voxel, oblique and at two scales, to a tenth of the grid it is written on."""
    turn = about(rotation(np.array([20.0, -15.0, 30.0])), np.full(3, 12.0), np.array([1.3, -0.7, 2.1]))
    moving = value(dot((int(24 / fine),) * 3, (int(11 / fine), int(13 / fine), int(12 / fine))), "moving", fine)
    if coarse > fine:  # a level, as a store keeps it: the mean of two samples along each axis, here not rounded
        moving = replace(moving, array=np.asarray(moving.array, np.float32) * 1000)
        levels = [moving.array]
        while levels[-1].shape[0] > 8:
            levels.append(reduce_block(np.asarray(levels[-1]), (2, 2, 2), "mean"))
        moving = replace(moving, levels=tuple(levels[1:]))
    fixed = value(np.zeros((int(28 / coarse),) * 3, np.uint8), "fixed", coarse)
    found = written(fixed, turn, moving=moving)
    place = apply(turn, np.array([int(11 / fine), int(13 / fine), int(12 / fine)]) * fine)
    if (
        coarse > fine
    ):  # the sample of the level that holds the voxel is as wide as the grid: its centre, not the voxel's
        factor = 2 ** found.facts["level_read"]
        index = np.array([int(11 / fine), int(13 / fine), int(12 / fine)])
        place = apply(turn, ((index // factor) * factor + (factor - 1) / 2) * fine)
        assert factor == coarse / fine
    assert np.linalg.norm(centroid_um(np.asarray(found.array[...]), coarse) - place) <= 0.1 * max(fine, coarse)


def test_whole_shifts_copy_every_sample_exactly() -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 60000, (9, 10, 11)).astype(np.uint16)
    shift = np.eye(4)
    shift[:3, 3] = [2.0, 1.0, -3.0]
    found = written(
        value(np.zeros((9, 10, 11), np.uint8), "fixed"), shift, {"fill": 7}, moving=value(samples, "moving")
    )
    there = np.asarray(found.array[...])
    assert there.dtype == np.uint16
    assert np.array_equal(there[:6, 1:, 2:], samples[3:, :-1, :-2])
    assert (there[6:] == 7).all()
    assert (there[:, 0] == 7).all()
    assert (there[:, :, :2] == 7).all()
    assert found.facts["fill"] == 7
    assert found.facts["fraction_filled"] == pytest.approx(1 - 6 * 9 * 9 / 990)


def test_either_direction_of_the_transform_gives_the_same() -> None:
    turn = about(rotation(np.array([5.0, 8.0, -20.0])), np.full(3, 10.0), np.array([1.0, 2.0, 0.5]))
    moving = value(np.random.default_rng(1).normal(size=(20, 20, 20)).astype(np.float32), "moving")
    fixed = value(np.zeros((20, 20, 20), np.uint8), "fixed")
    back = TransformValue("rigid", invert(turn), "frame of fixed", "frame of moving", residual_um=0.0)
    one = written(fixed, turn, moving=moving)
    two = run_plugin(resample.SPEC, {}, {"fixed": fixed, "transform": back, "moving": moving})["image"]
    assert np.allclose(one.array[...], two.array[...], atol=1e-6)


def test_labels_are_never_averaged() -> None:
    samples = np.zeros((16, 16, 16), np.uint32)
    samples[4:12, 4:12, 4:12] = 2**31 + 7
    samples[8:, :, :] += 5
    turn = about(rotation(np.array([13.0, 21.0, 34.0])), np.full(3, 7.5), np.zeros(3))
    labels = replace(
        image_value(samples, kind="labels", identifier="labels"), frame="frame of moving", facts={"thresholds": [3.0]}
    )
    found = written(value(np.zeros((16, 16, 16), np.uint8), "fixed"), turn, labels=labels)
    assert set(np.unique(found.array[...])) <= set(np.unique(samples)) | {0}
    assert (found.kind, found.facts["interpolation"], found.facts["thresholds"]) == ("labels", "nearest", [3.0])


def test_times_channels_and_what_they_are_called_stay() -> None:
    samples = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.int16).reshape(2, 3, 4, 5, 6)
    moving = replace(
        image_value(samples, axes=("t", "c", "z", "y", "x"), identifier="moving"),
        frame="frame of moving",
        channels=(Channel("SE", "ETD", "V"), Channel("BSE"), Channel("CL")),
        handedness="left",
    )
    fixed = replace(value(np.zeros((4, 5, 6), np.uint8), "fixed"), handedness="unknown")
    found = written(fixed, np.eye(4), moving=moving)
    assert np.array_equal(found.array[...], samples)
    assert (found.axes, found.channels) == (moving.axes, moving.channels)
    assert (found.like, found.of, found.handedness) == ("fixed", "moving", "left")


def test_a_volume_is_cut_along_a_plane_and_a_plane_lies_in_a_volume() -> None:
    volume = np.random.default_rng(2).integers(0, 255, (12, 12, 12)).astype(np.uint8)
    deep = np.eye(4)
    deep[2, 3] = -5.0  # moving -> fixed: the plane at z = 5 of the volume becomes z = 0
    plane = replace(value(np.zeros((1, 12, 12), np.uint8), "fixed"), spacing_um={"x": 1.0, "y": 1.0, "z": None})
    cut = written(plane, deep, moving=value(volume, "moving"))
    assert np.array_equal(cut.array[...][0], volume[5])
    lone = replace(value(volume[5][None], "moving"), spacing_um={"x": 1.0, "y": 1.0, "z": None})
    up = np.eye(4)
    up[2, 3] = 5.2
    laid = np.asarray(written(value(volume, "fixed"), up, moving=lone).array[...])
    assert np.array_equal(laid[5], volume[5])
    assert not laid[[4, 6]].any()


def test_large_samples_are_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = about(rotation(np.array([10.0, 20.0, 30.0])), np.full(3, 15.0), np.array([0.4, 0.3, 0.2]))
    samples = np.random.default_rng(3).integers(0, 255, (30, 30, 30)).astype(np.uint8)
    inputs = {"fixed": value(np.zeros((30, 30, 30), np.uint8), "fixed"), "moving": value(samples, "moving")}
    whole = run_plugin(resample.SPEC, {}, inputs | {"transform": joined(turn)})["image"].array[...]
    monkeypatch.setattr("analyses.registration.lattice._PIECE_SAMPLES", 500)
    monkeypatch.setattr("analyses.registration.lattice._BLOCK_BYTES", 20_000)
    pieces = run_plugin(resample.SPEC, {}, inputs | {"transform": joined(turn)})["image"].array[...]
    assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("wrong", ["nothing", "far", "frames", "spectrum", "fill", "hand"])
def test_what_cannot_be_written_is_refused_by_name(wrong: str) -> None:
    moving = value(np.ones((8, 8, 8), np.uint8), "moving")
    inputs: dict[str, Any] = {"fixed": value(np.zeros((8, 8, 8), np.uint8), "fixed"), "moving": moving}
    matrix, params = np.eye(4), {}
    if wrong == "nothing":
        del inputs["moving"]
    elif wrong == "far":
        matrix[0, 3] = 100.0
    elif wrong == "frames":
        inputs["moving"] = replace(moving, frame="another")
    elif wrong == "spectrum":
        inputs["moving"] = replace(moving, kind="spectrum")
    elif wrong == "fill":
        params = {"fill": -1.0}
    else:
        inputs["moving"] = replace(moving, handedness="left")
    with pytest.raises(PluginError) as caught:
        run_plugin(resample.SPEC, params, inputs | {"transform": joined(matrix)})
    expected = {
        "nothing": "nothing_given",
        "far": "no_overlap",
        "frames": "other_frames",
        "spectrum": "kind",
        "fill": "fill",
        "hand": "handedness",
    }
    assert caught.value.name == expected[wrong]
    assert resample.SPEC.exit_code(caught.value.name).message.format(**caught.value.facts)
