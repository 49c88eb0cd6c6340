"""The story in sentences: plain, true, and honest about what rests on somebody's word."""

from __future__ import annotations

from typing import Any

import pytest

from apps.audit import selectors
from apps.imaging.models import Image
from apps.imaging.services import calibrate_image
from apps.provenance.selectors import is_stale
from tests.study import Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(study: Study) -> dict[str, Any]:
    return selectors.derivation(study.result("conductivity", "tensor"), study.maker)


def test_it_names_file_operator_plugins_parameters_and_person(study: Study, told: dict[str, Any]) -> None:
    story = " ".join(sentence["text"] for sentence in told["sentences"])
    for word in ("rods.tif", "Otto Perator", "segmentation.threshold 1.", "method = otsu", study.maker.username):
        assert word in story


def test_it_says_that_the_spacing_was_typed_and_what_it_was(told: dict[str, Any]) -> None:
    (spacing,) = [entry for entry in told["asserted"] if entry["what"] == "spacing"]
    assert "2 ± 0.1 µm along every axis" in spacing["text"]
    assert "asserted by maker" in spacing["text"]


def test_values_of_phases_typed_by_hand_are_listed_with_their_source(told: dict[str, Any]) -> None:
    phases = {entry["what"]: entry for entry in told["asserted"] if entry["what"].startswith("value of phase")}
    assert phases["value of phase 0"]["value"]["source"] == "handbook"
    assert phases["value of phase 1"]["value"]["source"] is None


def test_completeness_names_what_is_missing(told: dict[str, Any]) -> None:
    missing = {check["question"]: check["note"] for check in told["completeness"]["checks"] if not check["satisfied"]}
    assert "The instrument of every acquisition is stated." in missing
    assert missing["Every material value names its source."] == "without source: phase 1 of bulk.conductivity"
    assert "It reaches the raw files." not in missing
    assert "It reaches a specimen in a state." not in missing
    assert 0 < told["completeness"]["score"] < 1


def test_a_length_depends_on_the_spacing_and_a_conductivity_does_not(study: Study) -> None:
    tensor = selectors.derivation(study.result("conductivity", "tensor"), study.maker)["scale"]
    diameter = selectors.derivation(study.result("measure", "mean_diameter"), study.maker)["scale"]
    assert {entry["name"]: entry["scale_exponent"] for entry in tensor} == {"tensor": 0}
    assert {entry["name"]: entry["scale_exponent"] for entry in diameter} == {
        "mean_diameter": 1,
        "specific_surface": -1,
    }


def test_a_viewer_reads_the_same_story(study: Study, told: dict[str, Any]) -> None:
    again = selectors.derivation(study.result("conductivity", "tensor"), study.viewer)
    assert [s["text"] for s in again["sentences"]] == [s["text"] for s in told["sentences"]]


def test_a_new_spacing_makes_lengths_stale_and_leaves_the_conductivity(study: Study) -> None:
    new = calibrate_image(
        actor=study.maker,
        image=study.image,
        spacing_um={"x": 2.1, "y": 2.1, "z": 2.1},
        spacing_u_um=0.01,
        reason="measured against a grid",
    )
    moved = [study.result("measure", port).pk for port in ("mean_diameter", "specific_surface", "table")]
    unmoved = [
        study.result("conductivity", "tensor").pk,
        study.result("threshold", "fractions").pk,
        study.result("bounds", "wiener").pk,
    ]
    assert is_stale([*moved, *unmoved]) == set(moved)
    follower = Image.objects.get(supersedes=study.labels)
    assert follower.frame_id == new.frame_id
    assert follower.spacing["x"]["value"] == 2.1
    assert follower.store_id == study.labels.store_id


def test_an_unequal_change_of_spacing_moves_the_conductivity_too(study: Study) -> None:
    calibrate_image(
        actor=study.maker,
        image=study.image,
        spacing_um={"x": 2.0, "y": 2.0, "z": 2.5},
        spacing_u_um=0.01,
        reason="the stage along z was measured",
    )
    assert is_stale([study.result("conductivity", "tensor").pk])
    assert not is_stale([study.result("threshold", "fractions").pk])


def test_a_second_change_is_judged_from_the_spacing_that_a_number_was_computed_with(study: Study) -> None:
    tensor = study.result("conductivity", "tensor").pk
    typed = {"x": 2.1, "y": 2.1, "z": 2.1}
    second = calibrate_image(
        actor=study.maker, image=study.image, spacing_um=typed, spacing_u_um=0.01, reason="measured against a grid"
    )
    assert not is_stale([tensor]), "one factor along every axis leaves a conductivity"
    calibrate_image(
        actor=study.maker, image=second, spacing_um=typed | {"z": 6.3}, spacing_u_um=0.01, reason="z was counted twice"
    )
    assert is_stale([tensor]), "computed from the first version, it moves with the second change"


def test_stale_answers_with_what_rests_on_a_thing(study: Study) -> None:
    answer = selectors.stale(study.labels, study.viewer)
    assert not answer["stale"]
    assert str(study.result("conductivity", "tensor").pk) in {node["id"] for node in answer["dependents"]}
