"""Acquisitions: what belongs together, who stood at the instrument, and moves that keep their history."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.catalog.models import Instrument, Specimen
from apps.catalog.services import create_specimen
from apps.core.errors import InvalidValueError
from apps.imaging.models import Acquisition, AcquisitionMove, Image
from apps.imaging.services import create_acquisition, create_series, move_acquisition
from apps.imaging.services.acquisitions import check_local_time
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project
from apps.provenance.models import Annotation, Edge, ErasableText, Node
from tests.factories import SpecimenEventFactory
from tests.imaging.conftest import calibrated_tiff, client_of, ramp
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db
URL = "/api/v1/acquisitions/"


def body_of(specimen: Specimen, **more: Any) -> dict[str, Any]:
    return {"project": str(specimen.project_id), "specimen": str(specimen.pk), "modality": "sem", **more}


def test_answer_is_the_thing(client: APIClient, specimen: Specimen, ada: User) -> None:
    given = body_of(
        specimen,
        operator="ada",
        acquired_at="2024-05-03T14:07:09+02:00",
        clock_uncertainty_s=90,
        settings={"voltage": {"value": 15, "unit": "kV"}, "detector": {"value": "SE2"}},
        position={"x": 1200.5, "tilt": 36},
    )
    response = client.post(URL, given, format="json")
    assert response.status_code == 201, response.content
    found = response.json()
    assert found == client.get(f"{URL}{found['id']}/").json()
    assert found["state"] == str(specimen.current_state_id)
    assert (found["status"], found["images"], found["files"], found["job"]) == ("empty", [], [], None)
    assert (found["operator"], found["acquired_zone"]) == ("ada", "+02:00")
    assert found["acquired_at"] == "2024-05-03T14:07:09+02:00"
    assert found["settings"]["voltage"] == {"value": 15.0, "unit": "kV"}
    assert found["position"] == {"x": 1200.5, "tilt": 36.0}
    assert (found["header"], found["facts"], found["moves"]) == ({}, {}, [])


def associates(acquisition_id: Any) -> list[uuid.UUID]:
    edges = Edge.objects.filter(subject_id=acquisition_id, relation="wasAssociatedWith")
    return list(edges.values_list("object_id", flat=True))


def test_operator_is_never_the_uploader(client: APIClient, specimen: Specimen, ada: User, viewer: User) -> None:
    silent = client.post(URL, body_of(specimen), format="json").json()
    assert silent["operator"] is None
    assert associates(silent["id"]) == []
    account = client.post(URL, body_of(specimen, operator="vera"), format="json").json()
    assert associates(account["id"]) == [viewer.pk]
    person = client.post(URL, body_of(specimen, operator={"name": "Grete Berger"}), format="json").json()
    assert person["operator"] == {"name": "Grete Berger"}
    (agent,) = associates(person["id"])
    assert Node.objects.get(pk=agent).type == "prov:Person"
    assert ErasableText.objects.get(node_id=agent).text == "Grete Berger"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modality": "sonar"}, "modality"),
        ({"colour": 1}, "colour"),
        ({"operator": "nobody"}, "operator"),
        ({"operator": {"name": ""}}, "operator"),
        ({"operator": {"id": 3}}, "operator"),
        ({"acquired_at": "yesterday"}, "acquired_at"),
        ({"acquired_at": "2024-05-03T14:07:09", "acquired_zone": "Mars/Olympus"}, "acquired_zone"),
        ({"acquired_zone": "Europe/Vienna"}, "acquired_zone"),
        ({"settings": {"voltage": {"value": 15, "unit": "kVolt"}}}, "settings.voltage.unit"),
        ({"settings": {"voltage": 15}}, "settings.voltage"),
        ({"settings": [1]}, "settings"),
        ({"position": {"q": 1}}, "position.q"),
        ({"position": {"x": "1"}}, "position.x"),
        ({"series_index": 3}, "series_index"),
        ({"specimen": str(uuid.uuid4())}, "specimen"),
        ({"instrument": str(uuid.uuid4())}, "instrument"),
        ({"clock_uncertainty_s": -1}, "clock_uncertainty_s"),
    ],
)
def test_bad_value_is_named(client: APIClient, specimen: Specimen, change: dict[str, Any], field: str) -> None:
    body = body_of(specimen) | change
    problem(client.post(URL, body, format="json"), 400, field)
    assert not Acquisition.objects.exists()


def test_things_of_others_are_refused(client: APIClient, ada: User, specimen: Specimen, outsider: User) -> None:
    hidden = create_project(actor=outsider, name="hidden")
    theirs = create_specimen(actor=outsider, project=hidden, name="theirs")
    other = create_specimen(actor=ada, project=create_project(actor=ada, name="second"), name="mine too")
    second = create_specimen(actor=ada, project=specimen.project, name="panel 8")
    problem(client.post(URL, body_of(specimen) | {"specimen": str(theirs.pk)}, format="json"), 400, "specimen")
    problem(client.post(URL, body_of(specimen) | {"specimen": str(other.pk)}, format="json"), 400, "specimen")
    problem(client.post(URL, body_of(specimen) | {"project": str(hidden.pk)}, format="json"), 400, "project")
    problem(client.post(URL, body_of(specimen, state=str(second.current_state_id)), format="json"), 400, "state")
    assert not Acquisition.objects.exists()


def test_who_may_record(specimen: Specimen, viewer: User, outsider: User) -> None:
    problem(client_of(None).post(URL, body_of(specimen), format="json"), 401)
    problem(client_of(viewer).post(URL, body_of(specimen), format="json"), 403)
    problem(client_of(outsider).post(URL, body_of(specimen), format="json"), 400, "project")


def test_unseen_is_not_found(acquisition: Acquisition, outsider: User, viewer: User) -> None:
    for path in ("", "ingest/", "move/", "files/"):
        method = client_of(outsider).get if path == "" else client_of(outsider).post
        problem(method(f"{URL}{acquisition.pk}/{path}"), 404)
    assert client_of(viewer).get(f"{URL}{acquisition.pk}/").status_code == 200
    assert client_of(outsider).get(URL).json()["results"] == []


def test_local_time_keeps_what_was_given() -> None:
    assert check_local_time("2024-05-03 14:07:09") == ("2024-05-03 14:07:09", "")
    assert check_local_time("2024-07-03T14:07:09", "Europe/Vienna") == ("2024-07-03T14:07:09", "Europe/Vienna")
    assert check_local_time("2024-07-03T14:07:09Z") == ("2024-07-03T14:07:09Z", "+00:00")
    assert check_local_time("2024-07-03T14:07:09-03:30")[1] == "-03:30"
    assert check_local_time("2024-07-03T14:07:09+02:00", "Europe/Vienna")[1] == "Europe/Vienna"
    with pytest.raises(InvalidValueError) as caught:
        check_local_time("2024-01-03T14:07:09+02:00", "Europe/Vienna")
    assert caught.value.field == "acquired_zone"


def test_series_puts_acquisitions_in_order(client: APIClient, ada: User, specimen: Specimen) -> None:
    made = client.post(
        "/api/v1/series/",
        {"project": str(specimen.project_id), "specimen": str(specimen.pk), "kind": "time", "name": "corrosion"},
        format="json",
    )
    assert made.status_code == 201, made.content
    series = made.json()["id"]
    ids = [
        client.post(URL, body_of(specimen, series=series, elapsed_h=float(n)), format="json").json()["id"]
        for n in range(3)
    ]
    assert client.get(f"/api/v1/series/{series}/").json()["acquisitions"] == ids
    taken = client.post(URL, body_of(specimen, series=series, series_index=1), format="json")
    problem(taken, 409, "series_index")
    other = create_specimen(actor=ada, project=specimen.project, name="panel 8")
    problem(client.post(URL, body_of(other, series=series), format="json"), 400, "series")


def test_move_takes_everything_along_and_keeps_history(
    client: APIClient, ada: User, acquisition: Acquisition, image: Image
) -> None:
    right = create_specimen(actor=ada, project=acquisition.project, name="the right one")
    series = create_series(actor=ada, project=acquisition.project, specimen=acquisition.specimen, kind="time", name="t")
    Acquisition.objects.filter(pk=acquisition.pk).update(series=series, series_index=0)
    url = f"{URL}{acquisition.pk}/move/"
    problem(client.post(url, {"specimen": str(right.pk), "reason": " "}, format="json"), 400, "reason")
    problem(client.post(url, {"specimen": str(right.pk)}, format="json"), 400, "reason")
    response = client.post(url, {"specimen": str(right.pk), "reason": "labels were swapped"}, format="json")
    assert response.status_code == 200, response.content
    found = response.json()
    assert (found["specimen"], found["state"]) == (str(right.pk), str(right.current_state_id))
    assert (found["series"], found["series_index"]) == (None, None)
    assert [move["reason"] for move in found["moves"]] == ["labels were swapped"]
    image.refresh_from_db()
    assert (image.specimen_id, image.state_id) == (right.pk, right.current_state_id)
    assert image.frame is not None
    assert (image.frame.specimen_id, image.frame.state_id) == (right.pk, right.current_state_id)
    said = Annotation.objects.filter(node_id=acquisition.pk, attributes__has_key="corr:changed").get()
    change = said.attributes["corr:changed"][0]
    assert change["corr:after"]["specimen"] == str(right.pk)
    assert "swapped" not in str(said.attributes)
    assert Node.objects.filter(type="corr:Image").count() == 2  # the image and its version at the other specimen
    problem(client.post(url, {"specimen": str(right.pk), "reason": "again"}, format="json"), 409, "specimen")
    assert AcquisitionMove.objects.count() == 1


def test_a_move_that_cannot_take_everything_along_moves_nothing(
    client: APIClient, acquisition: Acquisition, image: Image, settings: Any
) -> None:
    right = create_specimen(actor=image.created_by, project=acquisition.project, name="the right one")
    url, body = f"{URL}{acquisition.pk}/move/", {"specimen": str(right.pk), "reason": "labels were swapped"}
    settings.CORR_LINEAGE_LIMIT = 0
    assert "more than 0 images" in client.post(url, body, format="json").json()["detail"]
    image.refresh_from_db()
    assert Acquisition.objects.get(pk=acquisition.pk).specimen_id == image.specimen_id == acquisition.specimen_id
    assert not AcquisitionMove.objects.exists()
    settings.CORR_LINEAGE_LIMIT = 1
    assert client.post(url, body, format="json").status_code == 200


def test_move_to_another_state_of_the_same_specimen_keeps_mount_and_series(ada: User, acquisition: Acquisition) -> None:
    later = SpecimenEventFactory(actor=ada, specimen=acquisition.specimen).opens
    series = create_series(actor=ada, project=acquisition.project, specimen=acquisition.specimen, kind="time", name="t")
    Acquisition.objects.filter(pk=acquisition.pk).update(series=series, series_index=0)
    moved = move_acquisition(
        actor=ada, acquisition=acquisition, specimen=acquisition.specimen, state=later, reason="after polishing"
    )
    assert (moved.state_id, moved.series_id) == (later.pk, series.pk)


def test_move_into_another_project_is_refused(client: APIClient, ada: User, acquisition: Acquisition) -> None:
    other = create_specimen(actor=ada, project=create_project(actor=ada, name="second"), name="s")
    url = f"{URL}{acquisition.pk}/move/"
    problem(client.post(url, {"specimen": str(other.pk), "reason": "wrong"}, format="json"), 400, "specimen")
    acquisition.refresh_from_db()
    assert acquisition.specimen_id != other.pk


def test_mount_and_instrument_must_fit(ada: User, specimen: Specimen, project: Project) -> None:
    from apps.spatial.models import Frame, Mount

    machine = Instrument.objects.create(name="XRM 1", created_by=ada)
    other = Instrument.objects.create(name="SEM 2", created_by=ada)
    frame = Frame.objects.create(project=project, kind="stage", name="stage", description="x to the right")
    mount = Mount.objects.create(
        specimen=specimen,
        state=specimen.current_state,
        instrument=machine,
        frame=frame,
        mounted_at="2024-05-01T10:00:00Z",
        created_by=ada,
    )
    with pytest.raises(InvalidValueError, match="another instrument") as caught:
        create_acquisition(actor=ada, project=project, specimen=specimen, modality="xrm", mount=mount, instrument=other)
    assert caught.value.field == "mount"
    second = create_specimen(actor=ada, project=project, name="second")
    with pytest.raises(InvalidValueError, match="another specimen"):
        create_acquisition(actor=ada, project=project, specimen=second, modality="xrm", mount=mount)


def test_lists_take_the_same_number_of_queries(
    client: APIClient, ada: User, acquisition: Acquisition, ingested: Callable[..., Job]
) -> None:
    def count(url: str) -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(url).status_code == 200
        return len(found)

    ingested(acquisition, ("a.tif", calibrated_tiff(ramp())))
    before = [count(URL), count("/api/v1/images/"), count("/api/v1/series/")]
    for number in range(3):
        series = create_series(
            actor=ada, project=acquisition.project, specimen=acquisition.specimen, kind="time", name=f"s{number}"
        )
        more = create_acquisition(
            actor=ada,
            project=acquisition.project,
            specimen=acquisition.specimen,
            modality="xrm",
            operator=ada,
            series=series,
        )
        ingested(more, (f"{number}.tif", calibrated_tiff(ramp() + number)))
    after = [count(URL), count("/api/v1/images/"), count("/api/v1/series/")]
    assert len(client.get("/api/v1/images/").json()["results"]) == 4
    assert all(b <= a + 1 for a, b in zip(before, after, strict=True)), (before, after)
    assert "header" not in client.get(URL).json()["results"][0]
