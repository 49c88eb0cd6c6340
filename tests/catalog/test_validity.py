"""Which calibration holds: dates, range, versions that supersede each other."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from apps.catalog.models import Calibration
from apps.catalog.selectors import calibrations_for
from apps.catalog.services import withdraw_calibration
from apps.catalog.validity import Conditions, judge, local_date
from tests.factories import CalibrationFactory, InstrumentFactory, StaffFactory

MEASURED, DUE = dt.date(2024, 5, 1), dt.date(2025, 5, 1)
RANGE = {"magnification": [500.0, 2000.0], "kv": [5.0, 30.0], "wd_mm": [4.0, 10.0]}
STATED = {"magnification": (1000.0, "1"), "accelerating_voltage": (15.0, "kV"), "working_distance": (8.2, "mm")}


def calibration(**change: Any) -> Calibration:
    return Calibration(
        pk="3f0f3f0f-0000-4000-8000-000000000001",
        factor=1.01,
        u_factor=0.002,
        **{"measured_at": MEASURED, "due_at": DUE, "valid_range": RANGE} | change,
    )


def found(conditions: Conditions, **change: Any) -> dict[str, str]:
    return {flag.code: flag.words for flag in judge(calibration(**change), conditions)}


def conditions(date: dt.date | None = dt.date(2024, 8, 1), **settings: Any) -> Conditions:
    stated = {**STATED, **settings}
    known = {name: value for name, value in stated.items() if value is not None}
    return Conditions(calibration().pk, date, known)


def test_a_calibration_holds_within_its_dates_and_its_range() -> None:
    assert found(conditions()) == {}
    assert found(conditions(MEASURED)) == {}
    assert found(conditions(DUE)) == {}
    assert found(conditions(dt.date(2090, 1, 1)), due_at=None) == {}


def test_after_its_due_date_it_is_overdue_by_so_many_days() -> None:
    assert found(conditions(dt.date(2025, 5, 13))) == {"overdue": "acquired 12 days after the calibration was due"}
    assert found(conditions(dt.date(2025, 5, 2)))["overdue"] == "acquired 1 day after the calibration was due"


def test_before_it_was_measured_it_is_flagged() -> None:
    words = found(conditions(dt.date(2024, 4, 28)))
    assert words == {"before_measured": "acquired 3 days before the calibration was measured"}


def test_a_setting_out_of_range_is_named_with_its_value() -> None:
    flags = found(conditions(magnification=(5000.0, "1")))
    assert flags == {"out_of_range:magnification": "magnification 5000 lies outside the calibrated range 500 to 2000"}
    assert list(found(conditions(accelerating_voltage=(2.0, "kV")))) == ["out_of_range:kv"]
    assert found(conditions(magnification=(2000.0, "1"))) == {}


def test_what_the_image_does_not_state_cannot_be_judged() -> None:
    assert list(found(conditions(working_distance=None))) == ["not_judged:wd_mm"]
    assert list(found(conditions(None))) == ["not_judged:acquired_at"]
    assert list(found(Conditions(None, MEASURED, STATED))) == ["not_judged:instrument"]


@pytest.mark.parametrize(
    ("name", "stated", "codes"),
    [
        ("wd_mm", {"working_distance": (8200.0, "um")}, []),
        ("working_distance", {"working_distance": (0.0082, "m")}, []),
        ("wd", {"working_distance": (82.0, "mm")}, ["out_of_range:wd"]),
        ("wd_um", {"working_distance": (0.0082, "mm")}, []),
        ("working_distance_mm", {"working_distance": (8.2, "furlong")}, ["not_judged:working_distance_mm"]),
        ("kv", {"accelerating_voltage": (8200.0, "V")}, []),
        ("accelerating_voltage_kv", {"accelerating_voltage": (8.2, "kV")}, []),
        ("hfw", {"field_width": (8.2, "um")}, []),
        ("pixel_size", {"pixel_size": (8200.0, "nm")}, []),
        ("camera_length_mm", {"camera_length": (8.2, "mm")}, []),
        ("spot", {"spot": (8.2, "1")}, []),
        ("spot", {}, ["not_judged:spot"]),
    ],
)
def test_names_and_units_of_ranges_meet_those_of_facts(name: str, stated: Any, codes: list[str]) -> None:
    known = Conditions(calibration().pk, MEASURED, stated)
    assert list(found(known, valid_range={name: [4.0, 10.0]})) == codes


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-05-01T23:59:59", MEASURED),
        ("2024-05-01T23:59:59.5-11:00", MEASURED),
        ("2024-05-01", MEASURED),
        ("", None),
        ("05/01/2024", None),
        (None, None),
        (20240501, None),
    ],
)
def test_the_date_is_the_instruments_own(text: object, date: dt.date | None) -> None:
    assert local_date(text) == date


# ------------------------------------------------------------------------------------------------------------ versions


def versions(instrument: Any, *dates: tuple[int, int]) -> list[Calibration]:
    made: list[Calibration] = []
    for year, month in dates:
        former = made[-1] if made else None
        date = dt.date(year, month, 1)
        made.append(CalibrationFactory(instrument=instrument, measured_at=date, supersedes=former))
    return made


def chosen(instrument: Any, year: int, month: int) -> list[int]:
    return [row.version for row in calibrations_for(instrument.pk, dt.date(year, month, 15))]


@pytest.mark.django_db
def test_of_several_versions_the_last_measured_before_the_acquisition_counts() -> None:
    instrument = InstrumentFactory()
    versions(instrument, (2022, 1), (2023, 1), (2024, 1))
    assert chosen(instrument, 2022, 6) == [1]
    assert chosen(instrument, 2023, 6) == [2]
    assert chosen(instrument, 2030, 6) == [3]
    assert chosen(instrument, 2020, 6) == [1]
    assert [row.version for row in calibrations_for(instrument.pk, None)] == [3]
    assert calibrations_for(InstrumentFactory().pk, None) == []


@pytest.mark.django_db
def test_a_successor_dated_before_its_predecessor_corrects_it() -> None:
    instrument = InstrumentFactory()
    versions(instrument, (2024, 5), (2023, 5))
    assert chosen(instrument, 2024, 6) == [2]
    assert chosen(instrument, 2023, 6) == [2]


@pytest.mark.django_db
def test_a_withdrawn_version_leaves_its_time_to_the_one_before() -> None:
    instrument = InstrumentFactory()
    _, second, _ = versions(instrument, (2022, 1), (2023, 1), (2024, 1))
    withdraw_calibration(actor=StaffFactory(), calibration=second, reason="damaged")
    assert chosen(instrument, 2023, 6) == [1]
    assert chosen(instrument, 2024, 6) == [3]


@pytest.mark.django_db
def test_calibrations_that_do_not_supersede_each_other_all_come_into_question() -> None:
    instrument = InstrumentFactory()
    versions(instrument, (2022, 1), (2023, 1))
    versions(instrument, (2022, 6))
    CalibrationFactory(instrument=InstrumentFactory())
    assert chosen(instrument, 2024, 1) == [1, 2]
