"""Registration by grey values, on pairs made from real fibres with a known map between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analyses.registration import affine, rigid
from analyses.sdk.contract import PluginError
from analyses.sdk.spatial import invert
from analyses.sdk.testing import run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.phantoms import Pair, errors, fibres, pair
from tests.analyses.registration.pairs import inputs_of, value

NEAR = {"search_deg": 5.0, "starts": 3}


def registered(spec, made: Pair, params=NEAR, **more) -> TransformValue:
    return run_plugin(spec, params, inputs_of(made) | more)["transform"]


@pytest.fixture(scope="module")
def made() -> Pair:
    return pair(21, edge=64, degrees=6, shift=5)


@pytest.fixture(scope="module")
def found(made: Pair) -> TransformValue:
    return registered(rigid.SPEC, made)


def test_rigid_recovers_a_known_turn_and_shift(made: Pair, found: TransformValue) -> None:
    assert found.kind == "rigid"
    assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert errors(found.matrix, made).mean() <= 0.1


def test_the_stated_error_covers_the_truth(made: Pair, found: TransformValue) -> None:
    assert found.covariance is not None
    limit = 3 * stats.f.ppf(0.999, 3, found.degrees_of_freedom)
    for point in np.random.default_rng(0).uniform(0, 63, (20, 3)):
        reach = np.kron(np.eye(3), np.append(point, 1.0))
        missed = (found.matrix - made.truth)[:3] @ np.append(point, 1.0)
        assert missed @ np.linalg.solve(reach @ found.covariance @ reach.T, missed) < limit
    assert found.residual_um is not None
    assert found.residual_um < 0.1


def test_affine_recovers_scales_and_shears() -> None:
    made = pair(22, edge=64, degrees=4, shift=3, affine=True)
    found = registered(affine.SPEC, made)
    assert found.kind == "affine"
    assert errors(found.matrix, made).mean() <= 0.2


def test_a_mirrored_image_comes_out_as_a_reflection() -> None:
    made = pair(23, edge=64, degrees=4, shift=3, mirror=True)
    found = registered(rigid.SPEC, made, NEAR | {"handedness": "either", "starts": 6})
    assert found.kind == "reflection"
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(-1.0)
    assert errors(found.matrix, made).mean() <= 0.1


def test_a_start_is_taken_either_way_round(made: Pair) -> None:
    off = np.eye(4)
    off[:3, 3] = [3.0, -4.0, 2.0]
    start = TransformValue("rigid", invert(made.truth @ off), "frame of fixed", "frame of moving", residual_um=0.0)
    found = registered(rigid.SPEC, made, {"starts": 4}, initial=start)
    assert found.facts["start"] == "initial"
    assert errors(found.matrix, made).mean() <= 0.1


def test_a_plane_on_a_plane_stays_in_the_plane() -> None:
    volume = fibres()
    made = pair(5, edge=140, degrees=0, shift=0, noise=4, volume=volume)
    angle = np.radians(7.0)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[:2, 3] = [12.0, -6.0]
    y, x = np.mgrid[0:100, 0:100]
    there = np.stack([x, y, 0 * x, 0 * x + 1], -1).reshape(-1, 4) @ turn.T
    from scipy import ndimage

    moving = 255 - ndimage.map_coordinates(made.fixed[70], [there[:, 1], there[:, 0]], order=3, mode="mirror")
    inputs = {"fixed": value(made.fixed[70], "fixed"), "moving": value(moving.reshape(100, 100), "moving")}
    found = run_plugin(rigid.SPEC, {"search_deg": 15.0}, inputs)["transform"]
    assert np.array_equal(found.matrix[2], [0, 0, 1, 0])
    assert np.array_equal(found.matrix[:2, 2], [0, 0])
    corners = np.array([[0, 0, 0, 1], [99, 0, 0, 1], [0, 99, 0, 1], [99, 99, 0, 1.0]])
    assert np.linalg.norm(corners @ (found.matrix - turn).T, axis=1).max() <= 0.2


@pytest.mark.parametrize("hopeless", ["noise", "flat", "same frame", "plane and volume"])
def test_what_cannot_be_registered_is_refused_with_the_reason(made: Pair, hopeless: str) -> None:
    inputs = inputs_of(made)
    if hopeless == "noise":
        noise = np.random.default_rng(0).normal(100, 20, made.moving.shape).astype(np.float32)
        inputs["moving"] = value(noise, "moving")
    elif hopeless == "flat":
        inputs["moving"] = value(np.full((64, 64, 64), 7, np.uint8), "moving")
    elif hopeless == "same frame":
        inputs["moving"] = replace(inputs["moving"], frame=inputs["fixed"].frame)
    else:
        inputs["moving"] = value(made.moving[30], "moving")
    with pytest.raises(PluginError) as caught:
        run_plugin(rigid.SPEC, NEAR, inputs)
    expected = {
        "noise": {"unrelated", "no_overlap"},
        "flat": {"flat_image"},
        "same frame": {"same_frame"},
        "plane and volume": {"mixed_dimensions"},
    }
    assert caught.value.name in expected[hopeless]
    assert rigid.SPEC.exit_code(caught.value.name).message.format(**caught.value.facts)
