"""What the pages call things: jobs and why they failed, times, columns, the scale of an image under a calibration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from apps.web.present import numbers, scale, times, works
from apps.web.templatetags import corr
from tests.web.test_present import image


@pytest.mark.parametrize(
    ("text", "zone", "shown"),
    [
        (None, None, ""),
        ("2017-12-18T13:04:14", None, "18 Dec 2017 13:04:14 (zone not stated)"),
        ("2017-12-18T13:04:14", "Europe/Berlin", "18 Dec 2017 13:04:14 Europe/Berlin"),
        ("2017-03-06T09:57:56Z", None, "6 Mar 2017 09:57:56 UTC"),
        ("2017-03-06T09:57:56+01:00", None, "6 Mar 2017 09:57:56 UTC+01:00"),
        ("2017-03-06T09:57:56-03:30", None, "6 Mar 2017 09:57:56 UTC-03:30"),
        ("2017-03-06", None, "6 Mar 2017"),
        ("last spring", None, "last spring (zone not stated)"),
    ],
)
def test_a_time_of_measurement_has_the_zone_that_was_stated(text: str | None, zone: str | None, shown: str) -> None:
    assert times.stated(text, zone) == shown


def job(**more: Any) -> Any:
    row = {"plugin": "segmentation.threshold", "kind": "analysis", "exit_code": "", "message": "as it was", "facts": {}}
    return SimpleNamespace(**row | more)


def test_a_job_is_called_by_what_it_does() -> None:
    assert works.job_title(job()) == "Phases by threshold"
    assert works.job_title(job(plugin="gone.plugin")) == "gone.plugin"
    assert works.job_title(job(plugin="", kind="ingest")) == "Ingest"
    assert works.job_title(job(plugin="", kind="of_another_kind")) == "Of another kind"


def test_a_declared_failure_is_said_in_the_words_of_its_plugin() -> None:
    facts = {"axis": "channel", "index": 7, "count": 1}
    said = works.why_it_failed(job(exit_code="no_such_index", facts=facts))
    assert said == "Channel 7 does not exist; the image has 1."


@pytest.mark.parametrize(
    "more",
    [
        {"exit_code": "no_such_index"},
        {"exit_code": "worker_lost"},
        {"plugin": "gone.plugin", "exit_code": "no_such_index"},
        {"plugin": "", "exit_code": "unreadable"},
    ],
)
def test_any_other_failure_is_said_as_it_was_recorded(more: dict[str, Any]) -> None:
    assert works.why_it_failed(job(**more)) == "as it was"


@pytest.mark.parametrize(
    ("name", "title"),
    [("id", "ID"), ("area_um2", "Area"), ("centroid_x_um", "Centroid x"), ("touches_border", "Touches border")],
)
def test_a_column_is_called_by_words_and_its_unit_stands_apart(name: str, title: str) -> None:
    assert numbers.column_title(name) == title


def test_abbreviations_and_axes_are_written_as_usual() -> None:
    assert corr.words("eds_detectors") == "EDS detectors"
    assert corr.words("cpu") == "CPU"
    assert [corr.axes_words(axes) for axes in ("x", "xy", "xyz")] == ["x", "x and y", "x, y and z"]


def test_a_calibrated_image_states_its_true_spacing_and_the_nominal() -> None:
    row = image(0.5)
    row.calibration = SimpleNamespace(axes="xy", factor=1.02, u_factor=0.004)
    assert scale.spacing_sentence(row) == (
        "The spacing is 510 ± 2 nm by calibration (nominally 500 nm, read from the file); ± is one standard "
        "uncertainty, that of the calibration."
    )
    assert {(item.text, item.nominal) for item in scale.spacings(row)} == {("510 ± 2 nm", "500 nm")}


def test_a_calibration_of_one_axis_leaves_the_other_as_it_is() -> None:
    row = image(0.5)
    row.calibration = SimpleNamespace(axes="x", factor=1.02, u_factor=0.004)
    said = scale.spacing_sentence(row)
    assert "x 510 ± 2 nm; y 500 nm by calibration" in said
    assert "the uncertainty is not stated" in said
