"""A slice placed in its volume, on slices cut out of real fibres at known places."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from analyses.registration import slice_in_volume
from analyses.registration.grids import Pixels
from analyses.registration.slice_blocks import Plane
from analyses.registration.slice_in_volume import SPEC, score_gap
from analyses.registration.slice_search import Answer
from analyses.registration.slices import rotations
from analyses.sdk.contract import PluginError
from analyses.sdk.testing import run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.cuts import Cut, cut, strangers
from benchmarks.registration.phantoms import fibres
from tests.analyses.registration.pairs import value

SMALL = {"search_um": 6.0, "search_deg": 5.0, "starts": 6}
EDGE = 36


def placed(made: Cut, params: dict[str, Any] = SMALL, **more: Any) -> TransformValue:
    return run_plugin(SPEC, params, made.inputs() | more)["transform"]


@pytest.fixture(scope="module")
def made() -> Cut:
    return cut(11, fibres(), edge=EDGE, shift=4.0)


@pytest.fixture(scope="module")
def found(made: Cut) -> TransformValue:
    return placed(made, initial=made.start(np.random.default_rng(1), 4.0, 4.0))


def test_a_fine_slice_is_placed_to_a_quarter_of_a_voxel(made: Cut, found: TransformValue) -> None:
    assert made.errors(found.matrix).mean() <= 0.25
    assert found.kind == "rigid"
    assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-12)


def test_its_error_is_stated_and_covers_the_truth(made: Cut, found: TransformValue) -> None:
    assert found.covariance is not None
    assert np.linalg.matrix_rank(found.covariance, tol=1e-12) == 6
    limit = 3 * stats.f.ppf(0.999, 3, found.degrees_of_freedom)
    for point in np.random.default_rng(0).uniform(0, 2, (10, 3)) * made.centre:
        reach = np.kron(np.eye(3), np.append(point, 1.0))
        missed = (found.matrix - made.truth)[:3] @ np.append(point, 1.0)
        assert missed @ np.linalg.solve(reach @ found.covariance @ reach.T, missed) < limit


def test_the_facts_tell_what_else_fits_and_how_it_was_found(found: TransformValue) -> None:
    assert found.facts["score_gap"] > 0.15
    assert found.facts["next_metric"] < found.facts["metric"]
    assert [len(level["metric"]) > 0 for level in found.facts["metric_history"]] == [True, True]
    assert found.facts["start"] == "initial"
    assert found.residual_um is not None
    assert 0 < found.residual_um < 1


def test_a_mirrored_slice_is_found_where_the_handedness_is_not_declared() -> None:
    made = cut(12, fibres(), edge=EDGE, tilt=2.0, shift=2.0, mirror=True)
    inputs = made.inputs(handedness="unknown")
    told = run_plugin(SPEC, {"search_um": 3.0, "search_deg": 4.0, "starts": 4}, inputs)["transform"]
    assert told.kind == "reflection"
    assert told.facts["handedness_tried"] == ["as_given", "mirrored"]
    assert made.errors(told.matrix).mean() <= 0.25


def test_a_slice_of_another_part_is_refused() -> None:
    kind, other = strangers(0, fibres(), {}, EDGE)
    assert kind == "other part"
    start = other.start(np.random.default_rng(0), 2.0, 2.0)
    with pytest.raises(PluginError) as caught:
        placed(other, initial=start)
    assert caught.value.name in ("unrelated", "no_overlap", "ambiguous")


def test_a_volume_that_repeats_itself_is_ambiguous() -> None:
    """Two equal halves: the slice lies in either as well, and the gap between them says so."""
    block = fibres()[40:88, 40:120, 40:120]
    made = cut(
        13, np.concatenate([block[:24], block[:24], block[:24], block[:24]]), edge=34, tilt=0.0, shift=0.0, noise=4.0
    )
    with pytest.raises(PluginError) as caught:
        placed(made, {"search_um": 14.0, "search_deg": 0.0, "starts": 8})
    assert caught.value.name == "ambiguous"
    assert caught.value.facts["next"] == pytest.approx(caught.value.facts["best"], rel=0.15)
    assert SPEC.exit_code("ambiguous").message.format(**caught.value.facts)


def test_the_gap_is_that_between_the_best_and_the_next() -> None:
    class Told:
        def __init__(self, explained: float) -> None:
            self.explained = explained

    rivals = (Answer(Told(0.6), False), Answer(Told(0.45), False))  # type: ignore[arg-type]
    assert score_gap(rivals) == pytest.approx(1 - np.log(0.55) / np.log(0.4))
    assert score_gap(None) is None


def test_large_volumes_are_read_block_by_block(made: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = {name: Pixels(image) for name, image in made.inputs().items()}
    factors = (pixels["moving"].factors_for(1.0), (1, 1, 1))
    held, _ = Plane(pixels["moving"], pixels["fixed"], factors).read(made.truth, cubic=False)
    monkeypatch.setattr("analyses.registration.slice_blocks._WHOLE", 0)
    read, _ = Plane(pixels["moving"], pixels["fixed"], factors).read(made.truth, cubic=False)
    for one, other in zip(held, read, strict=True):
        assert np.allclose(one.mapped, other.mapped, atol=0.05, equal_nan=True)


@pytest.mark.parametrize("degrees", [3.0, 20.0])
def test_rotations_leave_no_gap(degrees: float) -> None:
    """Every turn within the search lies near one that is tried."""
    tried = np.array(rotations(degrees, 20.0))
    assert np.array_equal(tried[0], np.eye(3))
    rng = np.random.default_rng(4)
    for axis in rng.normal(size=(50, 3)):
        wanted = Rotation.from_rotvec(axis / np.linalg.norm(axis) * rng.uniform(0, degrees), degrees=True).as_matrix()
        traces = np.einsum("nij,ij->n", tried, wanted)
        nearest = np.degrees(np.arccos(np.clip((traces.max() - 1) / 2, -1, 1)))
        assert nearest <= np.sqrt(3) / 2 * np.degrees(2 * 1.25 / 20.0) * 1.05


@pytest.mark.parametrize("wrong", ["two volumes", "two planes", "flat", "short", "same frame"])
def test_what_cannot_be_placed_is_refused_by_name(made: Cut, wrong: str) -> None:
    inputs = made.inputs()
    if wrong == "two volumes":
        inputs["moving"] = value(made.fixed, "moving")
    elif wrong == "two planes":
        inputs["fixed"] = value(made.moving, "fixed")
    elif wrong == "flat":
        inputs["moving"] = replace(inputs["moving"], array=np.full(made.moving.shape, 3, np.uint8))
    elif wrong == "short":
        inputs["moving"] = replace(inputs["moving"], array=made.moving[:, :100, :])
    else:
        inputs["moving"] = replace(inputs["moving"], frame=inputs["fixed"].frame)
    with pytest.raises(PluginError) as caught:
        run_plugin(slice_in_volume.SPEC, SMALL, inputs)
    expected = {
        "two volumes": "not_a_slice",
        "two planes": "not_a_slice",
        "flat": "flat_image",
        "short": "too_short",
        "same frame": "same_frame",
    }
    assert caught.value.name == expected[wrong]
    assert SPEC.exit_code(caught.value.name).message.format(**caught.value.facts)
