"""A time series laid on its reference: known drift comes back, the loop closes, and what changes can be left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analyses.registration import series
from analyses.registration.drift import Laid, chained
from analyses.sdk.contract import Outputs, PluginError
from analyses.sdk.testing import image_value, run_plugin
from analyses.sdk.values import ImageValue
from benchmarks.registration.phantoms import about, rotation
from benchmarks.registration.times import drifting, grown

EDGE = 72


def images(samples: list[np.ndarray]) -> list[ImageValue]:
    made = [image_value(part, identifier=f"t{k}") for k, part in enumerate(samples)]
    return [replace(image, frame=f"frame {k}") for k, image in enumerate(made)]


def missed(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance between found and true places of the corners, um."""
    corners = np.array([[x, y, 0, 1] for x in (0, EDGE - 1) for y in (0, EDGE - 1)], float)
    return float(np.linalg.norm(corners @ (found - truth)[:3].T, axis=1).mean())


@pytest.fixture(scope="module")
def made() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return drifting(1, count=3, edge=EDGE, planar=True)


@pytest.fixture(scope="module")
def found(made: tuple[list[np.ndarray], list[np.ndarray]]) -> Outputs:
    return run_plugin(series.SPEC, {}, {"images": images(made[0])})


def columns(outputs: Outputs) -> dict[str, np.ndarray]:
    return {column.name: np.asarray(column.values, float) for column in outputs["drift"].columns}


def test_known_drift_comes_back_with_one_transform_an_image(made: Any, found: Outputs) -> None:
    assert [(t.source, t.target) for t in found["transforms"]] == [("t1", "t0"), ("t2", "t0")]
    for transform, truth in zip(found["transforms"], made[1][1:], strict=True):
        assert missed(transform.matrix, truth) <= 0.1
        assert transform.covariance is not None
        assert transform.facts["way"] == "direct"
    drift = columns(found)
    middle = np.array([(EDGE - 1) / 2, (EDGE - 1) / 2, 0, 1])
    wanted = np.array([middle[:3] - (truth @ middle)[:3] for truth in made[1]])
    assert np.abs(np.stack([drift[f"drift_{a}"] for a in "xyz"], 1) - wanted).max() <= 0.1
    assert (drift["u_drift"][1:] > 0).all()


def test_the_loop_there_and_back_closes(found: Outputs) -> None:
    closure = found["closure"]
    assert closure.unit == "um"
    assert 0 < closure.value <= 0.15
    assert closure.facts["furthest"] == 2
    assert columns(found)["loop"][2] <= 0.1


def test_times_of_one_image_lie_in_one_frame(made: Any) -> None:
    """Their maps are in the table; no transform leads from a frame to itself."""
    stack = np.stack(made[0][:2])
    image = replace(image_value(stack, axes=("t", "z", "y", "x"), identifier="all"), frame="one frame")
    told = run_plugin(series.SPEC, {"reference": 1}, {"images": [image]})
    assert told["transforms"] == []
    table = columns(told)
    matrix = np.eye(4)
    matrix[:3] = [[table[f"m{i}{j}"][0] for j in range(4)] for i in range(3)]
    assert missed(matrix, np.linalg.inv(made[1][1])) <= 0.1


def test_what_changes_is_left_out_by_a_mask(made: Any) -> None:
    """Something bright grows and moves the other way: with the mask of what stays, the drift is that of the rest."""
    samples, mask = grown(made[0][:2], reach=0.4)
    labels = replace(image_value(mask, kind="labels", identifier="mask"), frame="frame 0")
    told = run_plugin(series.SPEC, {}, {"images": images(samples), "mask": labels})
    assert missed(told["transforms"][0].matrix, made[1][1]) <= 0.15
    assert told["transforms"][0].facts["masked"] is True


def test_errors_of_a_chain_add_up() -> None:
    """The covariance of one map after the other, against a draw of 20,000."""
    rng = np.random.default_rng(0)
    one = about(rotation(np.array([0.0, 0.0, 20.0])), np.zeros(3), np.array([3.0, 1.0, 0.0]))
    two = about(rotation(np.array([10.0, 0.0, -5.0])), np.zeros(3), np.array([0.0, 2.0, 1.0]))
    roots = [rng.normal(size=(12, 12)) * 1e-4 for _ in range(2)]
    laid = [Laid(m, r @ r.T, 9, 0.1, 0.9, 10, 1.0, []) for m, r in zip((one, two), roots, strict=True)]
    told = chained(*laid)
    drawn = []
    for _ in range(20_000):
        pair = [m.copy() for m in (one, two)]
        for matrix, root in zip(pair, roots, strict=True):
            matrix[:3] += (root @ rng.normal(size=12)).reshape(3, 4)
        drawn.append((pair[1] @ pair[0])[:3].ravel())
    assert told.covariance is not None
    assert np.allclose(told.matrix, two @ one)
    assert np.abs(np.cov(np.array(drawn).T) - told.covariance).max() <= 0.05 * np.abs(told.covariance).max()


@pytest.mark.parametrize(
    "wrong", ["one time", "two of many", "one frame", "reference", "noise", "mask", "no mask", "kinds"]
)
def test_what_is_no_series_is_refused_by_name(made: Any, wrong: str) -> None:
    given: dict[str, Any] = {"images": images(made[0][:2])}
    params: dict[str, Any] = {}
    if wrong == "one time":
        given["images"] = given["images"][:1]
    elif wrong == "two of many":
        many = image_value(np.stack(made[0]), axes=("t", "z", "y", "x"), identifier="many")
        given["images"] = [many, given["images"][1]]
    elif wrong == "one frame":
        given["images"][1] = replace(given["images"][1], frame="frame 0")
    elif wrong == "reference":
        params = {"reference": 2}
    elif wrong == "noise":
        noise = np.random.default_rng(0).normal(100, 20, made[0][0].shape).astype(np.float32)
        given["images"] = images([made[0][0], noise])
    elif wrong == "kinds":
        given["images"] = images([made[0][0], np.repeat(made[0][0], 16, axis=0)])
    else:
        mask = np.zeros((1, EDGE, EDGE if wrong == "no mask" else 9), np.uint8)
        given["mask"] = replace(image_value(mask, kind="labels", identifier="mask"), frame="frame 0")
    with pytest.raises(PluginError) as caught:
        run_plugin(series.SPEC, params, given)
    expected = {
        "one time": "no_series",
        "two of many": "mixed",
        "one frame": "same_frame",
        "reference": "no_such_index",
        "noise": "unrelated",
        "mask": "other_mask",
        "no mask": "empty_mask",
        "kinds": "mixed_dimensions",
    }
    assert caught.value.name == expected[wrong]
    assert series.SPEC.exit_code(caught.value.name).message.format(**caught.value.facts)
