"""The published conformance cases of OME-Zarr 0.4 and 0.5 get their verdict from the validator that the reader uses."""

from __future__ import annotations

import pytest

from analyses.sdk.omezarr import validate_attributes, validate_group
from tests.sdk.ngff import cases

CASES = cases()


def test_all_published_cases_are_there():
    if not CASES:
        pytest.skip("shared data: the folder ngff-cases does not exist")
    versions = [case["version"] for case in CASES]
    assert (versions.count("0.4"), versions.count("0.5")) == (54, 53)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_verdict(case):
    verdict = validate_attributes(case["data"], case["version"], case["schema"])
    if case["schema"].startswith("strict_"):
        recommended = [warning for warning in verdict.warnings if "(strict_" in warning]
        assert verdict.valid, "a recommendation that is not followed is no reason to refuse"
        assert bool(recommended) is not case["expected"]
    else:
        assert verdict.valid is case["expected"], verdict


@pytest.mark.parametrize("case", [c for c in CASES if "strict" not in c["schema"]], ids=lambda c: c["id"])
def test_the_reader_finds_the_schema_by_itself(case):
    verdict = validate_group(case["data"], case["version"])
    assert verdict.valid is case["expected"], verdict


def test_verdicts_name_the_place():
    attributes = {"ome": {"version": "0.5", "multiscales": [{"axes": [], "datasets": []}]}}
    verdict = validate_attributes(attributes, "0.5", "image")
    assert any(error.startswith("$.ome.multiscales[0].axes") for error in verdict.errors)


def test_unknown_versions_and_schemas_are_refused():
    with pytest.raises(ValueError, match=r"0\.3"):
        validate_attributes({}, "0.3", "image")
    with pytest.raises(ValueError, match="pancake"):
        validate_attributes({}, "0.5", "pancake")


@pytest.mark.parametrize(
    "attributes", [{}, {"ome": None}, {"ome": []}, {"ome": {"version": "0.5"}}, {"multiscales": 1}]
)
def test_attributes_of_nothing_are_invalid(attributes):
    assert not validate_group(attributes, "0.5").valid


@pytest.mark.parametrize("scale", [[0.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
def test_a_scale_that_is_no_distance_is_a_doubt(scale):
    multiscale = {
        "axes": [{"name": name, "type": "space"} for name in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    verdict = validate_attributes({"ome": {"version": "0.5", "multiscales": [multiscale]}}, "0.5", "image")
    assert verdict.valid
    assert any("not positive" in warning for warning in verdict.warnings)
