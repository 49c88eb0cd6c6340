"""Materials, instruments and calibrations: read by every account, written by staff."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, transaction

from apps.catalog import services
from apps.catalog.models import Calibration, Instrument, Material, MaterialProperty
from apps.core.errors import ConflictError, InvalidValueError, PermissionRefusedError
from apps.provenance import record
from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Event, Node
from tests.factories import (
    CalibrationFactory,
    InstrumentFactory,
    MaterialFactory,
    SpecimenFactory,
    StaffFactory,
    UserFactory,
    member,
)

pytestmark = pytest.mark.django_db
MATERIALS, INSTRUMENTS, CALIBRATIONS = "/api/v1/materials/", "/api/v1/instruments/", "/api/v1/calibrations/"
CONDUCTIVITY = {"quantity": "thermal_conductivity", "value": 0.2, "unit": "W/(m.K)", "u": 0.01, "source": "handbook"}


def calibration_body(instrument, changes=None):
    body = {
        "instrument": str(instrument.pk),
        "factor": 1.01,
        "u_factor": 0.002,
        "standard": "grating",
        "measured_at": "2024-05-01",
    }
    return body | (changes or {})


# ----------------------------------------------------------------------------------------------------------- materials


def test_a_material_comes_with_sourced_values(as_user):
    staff = as_user(StaffFactory())
    made = staff.post(MATERIALS, {"name": "epoxy", "properties": [CONDUCTIVITY]})
    assert made.status_code == 201, made.content
    assert made.json() == as_user(UserFactory()).get(f"{MATERIALS}{made.json()['id']}/").json()
    (value,) = made.json()["properties"]
    assert {key: value[key] for key in CONDUCTIVITY} == CONDUCTIVITY
    row = MaterialProperty.objects.get()
    source = Edge.objects.get(relation="hadPrimarySource", subject=row.pk).object
    assert ledger.texts_of([source.pk])[source.pk] == {"citation": "handbook"}
    assert Edge.objects.filter(relation="hadMember", subject=row.material_id, object=row.pk).exists()
    assert ledger.assertions([row.pk])[0]["value"]["sourced"] is True


def test_a_bare_number_is_taken_as_unsourced(as_user):
    material = MaterialFactory()
    body = {"quantity": "density", "value": 1.2, "unit": "g/cm3"}
    answer = as_user(StaffFactory()).post(f"{MATERIALS}{material.pk}/properties/", body)
    assert answer.status_code == 201
    assert (answer.json()["u"], answer.json()["source"]) == (None, "")
    assert ledger.assertions([MaterialProperty.objects.get().pk])[0]["value"]["sourced"] is False


def test_a_value_supersedes_another_once(as_user):
    material = MaterialFactory(properties=[CONDUCTIVITY])
    old = material.properties.get()
    staff = as_user(StaffFactory())
    body = CONDUCTIVITY | {"value": 0.21, "supersedes": str(old.pk)}
    answer = staff.post(f"{MATERIALS}{material.pk}/properties/", body)
    assert answer.status_code == 201
    listed = staff.get(f"{MATERIALS}{material.pk}/").json()["properties"]
    assert {row["id"]: row["superseded_by"] for row in listed} == {
        str(old.pk): answer.json()["id"],
        answer.json()["id"]: None,
    }
    assert staff.post(f"{MATERIALS}{material.pk}/properties/", body).status_code == 409
    other = MaterialFactory()
    assert staff.post(f"{MATERIALS}{other.pk}/properties/", body).status_code == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unit": "kV"}, "unit"),
        ({"unit": "W/m K"}, "unit"),
        ({"value": "0.2"}, "value"),
        ({"value": None}, "value"),
        ({"u": -1}, "u"),
        ({"quantity": "Thermal conductivity"}, "quantity"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_value_names_its_field_and_stores_nothing(as_user, change, field):
    staff, material = as_user(StaffFactory()), MaterialFactory()
    answer = staff.post(f"{MATERIALS}{material.pk}/properties/", CONDUCTIVITY | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    answer = staff.post(MATERIALS, {"name": "new", "properties": [CONDUCTIVITY, CONDUCTIVITY | change]})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [f"properties.1.{field}"])
    assert not MaterialProperty.objects.exists()
    assert Material.objects.count() == 1


def test_site_wide_things_are_written_by_staff_only(as_user):
    instrument, material, calibration = InstrumentFactory(), MaterialFactory(), CalibrationFactory()
    client = as_user(UserFactory())
    for url, body in (
        (MATERIALS, {"name": "a"}),
        (INSTRUMENTS, {"name": "a"}),
        (CALIBRATIONS, calibration_body(instrument)),
        (f"{MATERIALS}{material.pk}/properties/", CONDUCTIVITY),
        (f"{CALIBRATIONS}{calibration.pk}/withdraw/", {"reason": "wrong"}),
    ):
        assert as_user(None).post(url, body).status_code == 401
        assert client.post(url, body).status_code == 403, url
    for url in (MATERIALS, INSTRUMENTS, CALIBRATIONS):
        assert as_user(None).get(url).status_code == 401
        assert client.get(url).status_code == 200


def test_names_stand_once(as_user):
    staff = as_user(StaffFactory())
    for url, name in ((MATERIALS, MaterialFactory().name), (INSTRUMENTS, InstrumentFactory().name)):
        answer = staff.post(url, {"name": name})
        assert (answer.status_code, list(answer.json()["errors"])) == (409, ["name"])


# --------------------------------------------------------------------------------------------------------- instruments


def test_an_instrument_names_who_answers_for_it(as_user):
    body = {
        "name": "Xradia 520",
        "modality": "xrm",
        "manufacturer": "ZEISS",
        "detectors": ["4x", {"name": "20x", "na": 0.4}],
        "responsible": "X-ray facility",
        "stage_axes": {"x": 1, "y": -1},
    }
    made = as_user(StaffFactory()).post(INSTRUMENTS, body)
    assert made.status_code == 201, made.content
    assert {key: made.json()[key] for key in body} == body
    edge = Edge.objects.get(relation="wasAttributedTo", subject=Instrument.objects.get().pk, role="responsible")
    assert edge.object.type == "prov:Organization"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"detectors": [1]}, "detectors.0"),
        ({"detectors": "SE"}, "detectors"),
        ({"stage_axes": [1]}, "stage_axes"),
        ({"stage_axes": {"x": [1]}}, "stage_axes.x"),
        ({"modality": "x" * 17}, "modality"),
    ],
)
def test_a_bad_instrument_names_its_field(as_user, change, field):
    answer = as_user(StaffFactory()).post(INSTRUMENTS, {"name": "a"} | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


# -------------------------------------------------------------------------------------------------------- calibrations


def test_versions_go_on_and_each_is_superseded_once(as_user):
    staff, instrument = as_user(StaffFactory()), InstrumentFactory()
    first = staff.post(CALIBRATIONS, calibration_body(instrument, {"valid_range": {"kv": [5, 30]}, "axes": "yx"}))
    assert first.status_code == 201, first.content
    assert (first.json()["version"], first.json()["axes"], first.json()["valid_range"]) == (
        1,
        "xy",
        {"kv": [5.0, 30.0]},
    )
    body = calibration_body(instrument, {"supersedes": first.json()["id"]})
    second = staff.post(CALIBRATIONS, body)
    assert second.json()["version"] == 2
    assert staff.get(f"{CALIBRATIONS}{first.json()['id']}/").json()["superseded_by"] == second.json()["id"]
    assert staff.post(CALIBRATIONS, body).status_code == 409
    body = calibration_body(InstrumentFactory(), {"supersedes": second.json()["id"]})
    assert list(staff.post(CALIBRATIONS, body).json()["errors"]) == ["supersedes"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"factor": 0}, "factor"),
        ({"factor": "1"}, "factor"),
        ({"u_factor": -0.1}, "u_factor"),
        ({"axes": "xx"}, "axes"),
        ({"axes": "abc"}, "axes"),
        ({"due_at": "2020-01-01"}, "due_at"),
        ({"measured_at": "yesterday"}, "measured_at"),
        ({"valid_range": {"kv": [30, 5]}}, "valid_range.kv"),
        ({"standard": " "}, "standard"),
        ({"instrument": "3f0f3f0f-0000-4000-8000-000000000000"}, "instrument"),
    ],
)
def test_a_bad_calibration_names_its_field(as_user, change, field):
    answer = as_user(StaffFactory()).post(CALIBRATIONS, calibration_body(InstrumentFactory(), change))
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Calibration.objects.exists()


def dependant(calibration):
    """Make a specimen whose record rests on a calibration."""
    specimen = SpecimenFactory()
    with record.act("measure", actor=specimen.created_by, project=specimen.project_id) as act:
        act.used(calibration)
        thing = act.entity("corr:Measurement")
    return specimen.project, thing


def test_withdrawing_tells_what_goes_stale_as_far_as_the_caller_sees_it(as_user):
    calibration = CalibrationFactory()
    successor = CalibrationFactory(instrument=calibration.instrument, supersedes=calibration)
    (mine, visible), (_, hidden) = dependant(calibration), dependant(calibration)
    staff = member(mine, "viewer", is_staff=True)
    answer = as_user(staff).post(f"{CALIBRATIONS}{calibration.pk}/withdraw/", {"reason": "standard was damaged"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["stale"] == [{"type": "corr:Measurement", "id": str(visible)}]
    assert answer.json()["status"] == "withdrawn"
    assert answer.json()["withdrawn_reason"] == "standard was damaged"
    assert ledger.is_stale([visible, hidden, successor.pk, calibration.instrument_id]) == {visible, hidden}
    assert calibration.pk in ledger.invalidated([calibration.pk])
    assert not Event.objects.filter(payload__contains="damaged").exists()
    again = as_user(staff).post(f"{CALIBRATIONS}{calibration.pk}/withdraw/", {"reason": "again"})
    assert again.status_code == 409


@pytest.mark.parametrize("body", [{}, {"reason": "  "}, {"reason": None}, {"reason": "a", "why": "b"}])
def test_a_withdrawal_needs_a_reason(as_user, body):
    calibration = CalibrationFactory()
    assert as_user(StaffFactory()).post(f"{CALIBRATIONS}{calibration.pk}/withdraw/", body).status_code == 400
    calibration.refresh_from_db()
    assert calibration.status == "active"


def test_services_refuse_too():
    calibration = CalibrationFactory()
    with pytest.raises(PermissionRefusedError):
        services.withdraw_calibration(actor=UserFactory(), calibration=calibration, reason="a")
    with pytest.raises(InvalidValueError):
        services.withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason=" ")
    services.withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason="a")
    with pytest.raises(ConflictError):
        services.withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason="a")
    assert Node.objects.get(id=calibration.pk).attributes["corr:factor"] == 1.01


@pytest.mark.parametrize(
    "change",
    [
        {"factor": 0.0},
        {"u_factor": -1.0},
        {"status": "withdrawn"},
        {"withdrawn_reason": "a", "withdrawn_at": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)},
        {"due_at": dt.date(2000, 1, 1)},
    ],
)
def test_the_database_refuses_what_cannot_be(change):
    calibration = CalibrationFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Calibration.objects.filter(pk=calibration.pk).update(**change)


@pytest.mark.parametrize("change", [{"u": -1.0}, {"quantity": ""}, {"unit": ""}])
def test_the_database_refuses_a_value_that_cannot_be(change):
    row = MaterialFactory(properties=[CONDUCTIVITY]).properties.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        MaterialProperty.objects.filter(pk=row.pk).update(**change)


def test_lists_take_a_constant_number_of_queries(as_user, django_assert_max_num_queries):
    for _ in range(5):
        MaterialFactory(properties=[CONDUCTIVITY, CONDUCTIVITY])
        CalibrationFactory()
    client = as_user(UserFactory())
    for url, queries in ((MATERIALS, 3), (INSTRUMENTS, 2), (CALIBRATIONS, 2)):
        with django_assert_max_num_queries(queries):
            assert len(client.get(url).json()["results"]) == 5
