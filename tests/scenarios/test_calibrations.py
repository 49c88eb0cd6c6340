"""Lengths under calibrations, end to end: ingest, segmentation, measurement and conduction of a real volume."""

from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
import pytest
from rest_framework.test import APIClient

from analyses.sdk import omezarr
from analyses.sdk.propagation import UncertainMap, distance_with_error, joint_covariance
from apps.analysis import resolve
from apps.audit import selectors as audit
from apps.core import storage
from apps.core.errors import ConflictError
from apps.imaging.models import Image
from apps.imaging.selectors import describe_image
from apps.provenance.selectors import is_stale, stale_marks
from apps.results.models import Property
from apps.results.selectors import joint_scale_covariance, read_rows
from apps.spatial.models import Transform
from apps.spatial.propagation import uncertain_map
from tests.scenarios.calibrated import FACTOR, STEP, Calibrated, U

pytestmark = pytest.mark.django_db
DRAWS = 20_000
RELATIVE = U / FACTOR


def factors() -> Any:
    """What the factor of the one calibration may be in truth, over the value that was taken."""
    return np.random.default_rng(3).normal(FACTOR, U, DRAWS) / FACTOR


def get(made: Calibrated, url: str) -> Any:
    client = APIClient()
    client.force_authenticate(made.maker)
    return client.get(f"/api/v1/{url}").json()


# ----------------------------------------------------------------------------- two images under one calibration


def test_both_images_came_under_the_calibration_by_themselves(calibrated: Calibrated) -> None:
    frames = set()
    for name in ("one", "two"):
        body = get(calibrated, f"images/{calibrated.images[name].pk}/")
        assert body["calibration"]["id"] == str(calibrated.calibration.pk)
        assert body["calibration"]["spacing"]["x"]["value"] == pytest.approx(FACTOR)
        frames.add(body["calibrated_frame"])
    assert len(frames) == 2


def test_lengths_are_calibrated_and_carry_the_uncertainty_of_the_factor(calibrated: Calibrated) -> None:
    diameter = calibrated.result("measure one", "mean_diameter")
    assert diameter.error["scale"] == pytest.approx(diameter.value * RELATIVE)
    assert "scale" in diameter.interval["contains"]
    (source,) = diameter.facts["scale"]["sources"]
    assert source == {
        "kind": "calibration",
        "id": str(calibrated.calibration.pk),
        "u_relative": pytest.approx(RELATIVE),
    }
    assert diameter.facts["scale"]["calibration"]["flags"] == []
    table = calibrated.result("measure one", "table")
    names = [column["name"] for column in table.columns]
    row = read_rows(table)[0]
    labels = calibrated.images["labels one"]
    found = np.asarray(omezarr.open_store(storage.path(labels.store.key)).level(0)[...])
    voxels = row[names.index("volume_um3")] / FACTOR**3
    assert voxels == pytest.approx(round(voxels))
    assert 0 < voxels <= (found == 1).sum()


def test_a_number_without_a_length_says_that_it_carries_no_scale(calibrated: Calibrated) -> None:
    fractions = calibrated.result("threshold one", "fractions")
    assert fractions.facts["scale"] == {"carried": False, "ratios": False}
    tensor = calibrated.result("conduct before", "tensor")
    assert (tensor.facts["scale"]["carried"], tensor.facts["scale"]["ratios"]) == (False, True)
    assert "scale" not in tensor.error


def test_the_mean_of_two_lengths_is_no_better_known_than_each(calibrated: Calibrated) -> None:
    rows = [calibrated.result(f"measure {name}", "mean_diameter") for name in ("one", "two")]
    covariance = np.array(joint_scale_covariance(rows))
    weights = np.array([0.5, 0.5])
    mean = sum(row.value for row in rows) / 2
    u = float(np.sqrt(weights @ covariance @ weights))
    drawn = np.mean([row.value * factors() for row in rows], axis=0)
    assert u == pytest.approx(drawn.std(), rel=0.1)
    assert u == pytest.approx(mean * RELATIVE, rel=1e-9)
    assert u > 1.3 * mean * RELATIVE / math.sqrt(2)
    for row, variance in zip(rows, np.diag(covariance), strict=True):
        assert math.sqrt(variance) == pytest.approx(row.error["scale"])


def test_powers_of_length_are_correlated_with_their_sign(calibrated: Calibrated) -> None:
    rows = [calibrated.result("measure one", "mean_diameter"), calibrated.result("measure two", "specific_surface")]
    fraction = calibrated.result("measure one", "mean_diameter")
    covariance = np.array(joint_scale_covariance(rows))
    drawn = np.cov([rows[0].value * factors(), rows[1].value / factors()])
    np.testing.assert_allclose(covariance, drawn, rtol=0.1)
    assert covariance[0, 1] < 0
    # under another source nothing is shared
    apart = [fraction, calibrated.result("measure after", "mean_diameter")]
    assert joint_scale_covariance(apart)[0][1] == 0.0


def test_numbers_that_err_together_are_listed(calibrated: Calibrated) -> None:
    made = calibrated
    diameter = made.result("measure one", "mean_diameter")
    listed = get(made, f"properties/{diameter.pk}/shared-scale/")["results"]
    found = {row["property"]: row["correlation"] for row in listed}
    assert found == {
        str(made.result("measure two", "mean_diameter").pk): pytest.approx(1.0),
        str(made.result("measure one", "specific_surface").pk): pytest.approx(-1.0),
        str(made.result("measure two", "specific_surface").pk): pytest.approx(-1.0),
    }
    typed = made.result("measure after", "mean_diameter")
    late = {row["property"]: row["correlation"] for row in get(made, f"properties/{typed.pk}/shared-scale/")["results"]}
    # the late ones add the error of their calibration to that of the hand
    share = (0.02 / STEP) / math.hypot(0.02 / STEP, 0.002 / 0.97)
    assert late[str(made.result("measure late", "mean_diameter").pk)] == pytest.approx(share)
    fractions = made.result("threshold one", "fractions")
    assert get(made, f"properties/{fractions.pk}/shared-scale/") == {"results": []}


def steps_of(made: Calibrated, name: str, stage: tuple[float, float, float]) -> list[UncertainMap]:
    """From the nominal frame of an image to the stage on which both stood: its calibration, then a known shift."""
    image: Image = made.images[name]
    edge = Transform.objects.get(source_id=image.frame_id, target_id=image.calibrated_frame_id)
    shift = np.eye(4)
    shift[:3, 3] = stage
    return [uncertain_map(edge), UncertainMap(shift, np.zeros((12, 12)), f"stage of {name}")]


def test_a_distance_between_the_two_images_does_not_average_the_scale_away(calibrated: Calibrated) -> None:
    stages = [(500.0, 0.0, 0.0), (500.0, 40.0, 0.0)]
    points = np.array([[30.0, 2.0, 10.0], [1.0, 28.0, 10.0]])
    paths = [steps_of(calibrated, name, stage) for name, stage in zip(("one", "two"), stages, strict=True)]
    mapped, covariance = joint_covariance(points, paths)
    length, u = distance_with_error(mapped[0], mapped[1], covariance)
    scale = factors()[:, None] * FACTOR
    drawn = np.linalg.norm((scale * points[0] + stages[0]) - (scale * points[1] + stages[1]), axis=1)
    assert length == pytest.approx(drawn.mean(), rel=1e-3)
    assert u == pytest.approx(drawn.std(), rel=0.1)
    # taken as two errors it would come out otherwise
    alone = covariance.copy()
    alone[:3, 3:] = alone[3:, :3] = 0.0
    assert abs(distance_with_error(mapped[0], mapped[1], alone)[1] / u - 1) > 0.2


def test_a_length_across_both_images_has_the_error_of_the_factor(calibrated: Calibrated) -> None:
    """One straight line, begun in one image and ended in the other, stages exact: its error grows with its parts."""
    points = np.array([[20.0, 0.0, 0.0], [-20.0, 0.0, 0.0]])
    paths = [steps_of(calibrated, name, (0.0, 0.0, 0.0)) for name in ("one", "two")]
    mapped, covariance = joint_covariance(points, paths)
    length, u = distance_with_error(mapped[0], mapped[1], covariance)
    assert u / length == pytest.approx(RELATIVE, rel=1e-9)


def test_what_decides_a_result_names_the_calibration(calibrated: Calibrated) -> None:
    spec = resolve.get_spec("segmentation.measure")
    labels = calibrated.images["labels one"]

    def key() -> str:
        resolved = resolve.resolve(
            actor=calibrated.maker,
            project=calibrated.project,
            plugin=spec.name,
            params={},
            inputs={"labels": str(labels.pk)},
        )
        return resolve.content_key(resolved, calibrated.project, 0)

    assert key() == calibrated.jobs["measure one"].content_key
    under = describe_image(labels)["calibration"]
    assert under == {"id": str(calibrated.calibration.pk), "version": 1}
    calibrated.calibration.__class__.objects.filter(pk=calibrated.calibration.pk).update(version=7)
    assert key() != calibrated.jobs["measure one"].content_key


def test_stores_keep_the_nominal_spacing(calibrated: Calibrated) -> None:
    labels = calibrated.images["labels one"]
    info = omezarr.open_store(storage.path(labels.store.key))
    assert {axis: info.spacing_um[axis] for axis in "xyz"} == {"x": 1.0, "y": 1.0, "z": 1.0}
    assert labels.spacing == calibrated.images["one"].spacing


# ------------------------------------------------------------------------------------------ a spacing typed anew


def pair(made: Calibrated, run: str, port: str) -> tuple[Property, Property]:
    return made.result(f"{run} before", port), made.result(f"{run} after", port)


@pytest.mark.parametrize(("port", "power"), [("mean_diameter", 1), ("specific_surface", -1)])
def test_a_typed_change_moves_what_carries_a_length_as_its_formula_says(
    calibrated: Calibrated, port: str, power: int
) -> None:
    before, after = pair(calibrated, "measure", port)
    assert (before.scale_exponent, after.scale_exponent) == (power, power)
    assert after.value == pytest.approx(before.value * STEP**power, rel=1e-9)
    assert after.error["scale"] == pytest.approx(after.value * abs(power) * 0.02 / STEP)
    assert before.facts["scale_uncertainty"] == "not stated"
    (source,) = after.facts["scale"]["sources"]
    assert (source["kind"], source["id"]) == ("spacing", str(calibrated.images["after"].frame_id))


def test_columns_of_tables_move_by_their_powers(calibrated: Calibrated) -> None:
    before, after = pair(calibrated, "measure", "table")
    rows = [np.array(read_rows(table), dtype=np.float64) for table in (before, after)]
    powers = {column["name"]: column["scale_exponent"] for column in after.columns}
    assert (powers["surface_um2"], powers["volume_um3"], powers["equivalent_diameter_um"]) == (2, 3, 1)
    assert rows[0].shape == rows[1].shape
    for index, column in enumerate(after.columns):
        np.testing.assert_allclose(rows[1][:, index], rows[0][:, index] * STEP ** column["scale_exponent"], rtol=1e-9)


def test_the_conductivity_does_not_move_at_all(calibrated: Calibrated) -> None:
    before, after = pair(calibrated, "conduct", "tensor")
    solved = [np.array(row.value, dtype=np.float64) for row in (before, after)]  # what was not solved for is null
    np.testing.assert_allclose(solved[1], solved[0], rtol=1e-9)
    assert np.diag(solved[0]).min() > 0.2
    assert after.scale_exponent == 0


def test_exactly_what_moved_is_stale(calibrated: Calibrated) -> None:
    made = calibrated
    rows = {
        "image": made.images["before"],
        "labels": made.images["labels before"],
        "fractions": made.result("threshold before", "fractions"),
        "diameter": made.result("measure before", "mean_diameter"),
        "surface": made.result("measure before", "specific_surface"),
        "table": made.result("measure before", "table"),
        "tensor": made.result("conduct before", "tensor"),
    }
    stale = is_stale([row.pk for row in rows.values()])
    assert {name for name, row in rows.items() if row.pk in stale} == {
        "image",
        "labels",
        "diameter",
        "surface",
        "table",
    }


# --------------------------------------------------------------------------- out of date, and withdrawn under a run


def test_an_overdue_calibration_is_told_with_the_number(calibrated: Calibrated) -> None:
    diameter = calibrated.result("measure late", "mean_diameter")
    assert diameter.value == pytest.approx(0.97 * calibrated.result("measure after", "mean_diameter").value)
    assert diameter.facts["scale"]["calibration"]["flags"] == ["overdue", "typed_spacing"]
    kinds = {source["kind"]: source["u_relative"] for source in diameter.facts["scale"]["sources"]}
    assert kinds == {"spacing": pytest.approx(0.02 / STEP), "calibration": pytest.approx(0.002 / 0.97)}
    assert diameter.error["scale"] == pytest.approx(diameter.value * math.hypot(*kinds.values()))
    told = audit.derivation(diameter, calibrated.maker)
    story = " ".join(sentence["text"] for sentence in told["sentences"])
    assert "under calibration v1 of Xradia of the neighbours (lengths along x, y and z × 0.97 ± 0.002)" in story
    assert "acquired 12 days after the calibration was due" in story
    assert "applied a calibration, which gave" in story
    (check,) = [item for item in told["completeness"]["checks"] if item["question"].startswith("Every calibration")]
    assert not check["satisfied"]
    assert "12 days" in check["note"]
    listed = {entry["image"]: entry["flags"] for entry in told["calibrations"]}
    assert listed[str(calibrated.images["labels late"].pk)] == ["overdue", "typed_spacing", "withdrawn"]
    (said,) = [item for item in told["asserted"] if item["what"] == "use of a calibration"]
    assert "12 days" in said["text"]


def test_a_calibration_that_holds_is_told_without_doubts(calibrated: Calibrated) -> None:
    told = audit.derivation(calibrated.result("measure one", "mean_diameter"), calibrated.maker)
    (check,) = [item for item in told["completeness"]["checks"] if item["question"].startswith("Every calibration")]
    assert check["satisfied"]
    assert {tuple(entry["flags"]) for entry in told["calibrations"]} == {()}
    (scale,) = [item for item in told["completeness"]["checks"] if item["question"].startswith("The scale comes")]
    assert scale["satisfied"]
    free = audit.derivation(calibrated.result("threshold one", "fractions"), calibrated.maker)
    assert not [item for item in free["completeness"]["checks"] if item["question"].startswith("Every calibration")]


def test_what_stood_under_the_withdrawn_calibration_is_stale_and_overwritten_by_nothing(
    calibrated: Calibrated,
) -> None:
    made = calibrated
    under = {
        made.images["late"].pk,
        made.images["labels late"].pk,
        made.result("measure late", "mean_diameter").pk,
        made.result("measure late", "table").pk,
    }
    others = {made.images["one"].pk, made.result("measure one", "mean_diameter").pk}
    assert is_stale(under | others) == under
    causes = [mark["cause"] for mark in stale_marks([made.result("measure late", "table").pk])]
    assert causes == [made.late.pk]
    body = get(made, f"images/{made.images['late'].pk}/")
    assert (body["stale"], body["calibration"]["flags"]) == (True, ["overdue", "typed_spacing", "withdrawn"])


def test_a_run_whose_input_went_stale_meanwhile_is_born_stale(calibrated: Calibrated) -> None:
    job = calibrated.jobs["measure waiting"]
    born = {uuid.UUID(output["id"]) for output in job.outputs.values()}
    assert is_stale(born) == born
    (mark,) = stale_marks([calibrated.result("measure waiting", "mean_diameter").pk])
    assert mark["reason"] == "an input was stale when the job finished"


def test_a_number_that_says_nothing_of_its_scale_is_not_combined(calibrated: Calibrated) -> None:
    good = calibrated.result("measure one", "mean_diameter")
    for run, port in (("measure before", "mean_diameter"), ("threshold one", "fractions")):
        with pytest.raises(ConflictError):
            joint_scale_covariance([good, calibrated.result(run, port)])
