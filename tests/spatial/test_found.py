"""Where a region was found, beside where it was predicted to be."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Event
from apps.spatial.models import Found, Roi, Targeting
from apps.spatial.services import record_found
from apps.spatial.targeting import target_roi
from apps.spatial.targeting_history import history_between, list_found
from tests.factories import InstrumentFactory, MountFactory, UserFactory, member
from tests.spatial.places import join
from tests.spatial.test_targeting import POINT, Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def study(db):
    return Study()


def post(client, study, roi=None, **change):
    body = {"mount": str(study.mount.pk), "position": {"x": 2703.0, "y": -304.0, "z": 470.0}} | change
    return client.post(f"/api/v1/rois/{(roi or study.pit).pk}/found/", body)


def test_found_is_kept_beside_the_prediction(study, as_user):
    client = as_user(study.actor)
    made = post(client, study, note="left of the crack", u_um=0.5)
    assert made.status_code == 201, made.content
    told = made.json()
    assert told == client.get(f"/api/v1/found/{told['id']}/").json()
    assert told["point"] == [2703, 304, 470], "the reading along y falls"
    assert told["predicted"] == pytest.approx(POINT)
    assert told["offset_um"] == pytest.approx([3, 4, 0])
    assert told["distance_um"] == pytest.approx(5)
    assert [step["transform"] for step in told["path"]] == [str(study.first.pk), str(study.second.pk)]
    assert (told["source_instrument"], told["instrument"]) == (str(study.xrm.pk), str(study.fib.pk))
    # 25 / (2.5^2 + 0.5^2) = 3.846 with 3 degrees of freedom
    assert told["p_value"] == pytest.approx(0.2786, abs=1e-3)
    assert client.get(f"/api/v1/rois/{study.pit.pk}/").json()["status"] == "acquired"
    assert [row["id"] for row in client.get(f"/api/v1/rois/{study.pit.pk}/found/").json()["results"]] == [told["id"]]
    row = Found.objects.get()
    assert ledger.assertions([row.pk])[0]["value"]["position"]["x"] == 2703
    activity = Edge.objects.get(relation="wasGeneratedBy", subject=row.pk).object
    assert Edge.objects.filter(relation="used", subject=activity, object=study.pit.pk).exists()


def test_found_where_it_was_predicted_misses_by_nothing(study):
    """The reading that goes out is the reading that comes back."""
    target = target_roi(study.pit, study.mount)
    position = {axis: getattr(target.position, axis) for axis in "xyz"}
    row = record_found(actor=study.actor, roi=study.pit, mount=study.mount, position=position)
    assert row.point == pytest.approx(row.predicted)


def test_the_history_of_a_pair_of_instruments(study, as_user):
    for index, offset in enumerate(([3, 4, 0], [5, 4, 0], [4, 1, 0])):
        roi = study.roi([400.0 + index, 200.0, 30.0])
        x, y, z = np.array(target_roi(roi, study.mount).point) + offset
        record_found(actor=study.actor, roi=roi, mount=study.mount, position={"x": x, "y": -y, "z": z})
    history = history_between(study.xrm.pk, study.fib.pk)
    assert history.count == 3
    assert history.mean_um == pytest.approx([4, 3, 0])
    assert history.rms_um == pytest.approx(np.sqrt((25 + 41 + 17) / 3))
    assert history.correction[:3, 3] == pytest.approx([4, 3, 0])
    assert np.allclose(history.covariance[:2, :2], np.array([[1, 0], [0, 3]]) * 4 / 3)
    # sum of squares / 2.5^2 = 13.28 with 9 degrees of freedom
    assert history.p_value == pytest.approx(0.1502, abs=1e-3)
    assert not history.contradicts
    answer = as_user(study.actor).get("/api/v1/found/history/").json()["results"]
    assert [(row["count"], row["instrument"]) for row in answer] == [(3, str(study.fib.pk))]
    assert answer[0]["mean_um"] == pytest.approx([4, 3, 0])
    other = InstrumentFactory()
    assert as_user(study.actor).get(f"/api/v1/found/history/?instrument={other.pk}").json()["results"] == []
    assert history_between(other.pk, study.fib.pk) is None
    assert as_user(UserFactory()).get("/api/v1/found/history/").json()["results"] == []
    assert history_between(study.xrm.pk, study.fib.pk, list_found(UserFactory())) is None


def test_a_miss_far_beyond_its_error_is_said(study, as_user):
    client = as_user(study.actor)
    post(client, study, position={"x": 2750.0, "y": -300.0, "z": 470.0})
    (row,) = client.get("/api/v1/found/history/").json()["results"]
    assert row["contradicts"] is True
    assert row["covariance"] is None, "no spread of one"


def test_a_region_that_nothing_leads_to_is_found_all_the_same(study, as_user):
    apart = MountFactory(specimen=study.specimen, instrument=study.fib)
    told = post(as_user(study.actor), study, mount=str(apart.pk)).json()
    assert told["predicted"] is told["offset_um"] is told["p_value"] is None
    assert "no accepted transforms" in told["no_prediction_reason"]
    assert as_user(study.actor).get("/api/v1/found/history/").json()["results"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"position": {"x": 1, "y": 2}}, "position.z"),
        ({"position": {"x": 1, "y": 2, "z": "3"}}, "position.z"),
        ({"position": {"x": 1, "y": 2, "z": 3, "q": 1}}, "position"),
        ({"position": [1, 2, 3]}, "position"),
        ({"u_um": 0}, "u_um"),
        ({"mount": "3f0f3f0f-0000-4000-8000-000000000000"}, "mount"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_place_is_named_and_stores_nothing(study, as_user, change, field):
    answer = post(as_user(study.actor), study, **change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Found.objects.exists()
    assert Roi.objects.get(pk=study.pit.pk).status == "proposed"


def test_who_may(study, as_user):
    assert post(as_user(UserFactory()), study).status_code == 404
    viewer = as_user(member(study.specimen.project, "viewer"))
    assert post(viewer, study).status_code == 403
    assert viewer.get(f"/api/v1/rois/{study.pit.pk}/found/").status_code == 200
    assert not Found.objects.exists()


def test_the_database_refuses_what_cannot_be_and_any_change(study, as_user):
    post(as_user(study.actor), study)
    row = Found.objects.get()
    for change in ({"predicted": None, "covariance": None, "no_prediction_reason": ""}, {"u_um": -1.0}):
        copy = Found.objects.get()
        copy.pk = uuid.uuid4()
        for name, value in change.items():
            setattr(copy, name, value)
        with pytest.raises(IntegrityError, match="found_"), transaction.atomic():
            copy.save(force_insert=True)
    for act in (lambda: Found.objects.update(note="moved"), row.delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            act()


def test_a_region_is_sent_to_an_instrument_and_the_choice_is_recorded(study, as_user):
    client = as_user(study.actor)
    body = {"mount": str(study.mount.pk), "reason": "deepest pit at 12 h"}
    answer = client.post(f"/api/v1/rois/{study.pit.pk}/target/", body)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["status"], answer.json()["target_instrument"]) == ("targeted", str(study.fib.pk))
    event = Event.objects.latest("seq")
    assert event.verb == "target_roi"
    used = set(Edge.objects.filter(relation="used", subject=event.activity).values_list("object", flat=True))
    assert {study.pit.pk, study.mount.pk, study.first.pk, study.second.pk} <= used
    post(client, study)
    again = client.post(f"/api/v1/rois/{study.pit.pk}/target/", body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def sent_and_registered_anew(study, client):
    """The pit is sent to the stage; then the transform to the stage frame is replaced by a better one."""
    body = {"mount": str(study.mount.pk), "reason": "deepest"}
    assert client.post(f"/api/v1/rois/{study.pit.pk}/target/", body).status_code == 200
    matrix = np.reshape(study.second.matrix, (4, 4)).copy()
    matrix[:3, 3] += [3.0, 4.0, 0.0]
    join(study.second.source, study.second.target, matrix.ravel().tolist(), 0.5, replaces=study.second)


def test_the_prediction_with_which_a_region_was_sent_is_kept_beside_the_one_of_now(study, as_user):
    client = as_user(study.actor)
    sent_and_registered_anew(study, client)
    (choice,) = client.get(f"/api/v1/rois/{study.pit.pk}/target/").json()["results"]
    assert choice["predicted"] == pytest.approx(POINT)
    assert choice["position"]["y"] == pytest.approx(-POINT[1])
    assert (choice["reason"], choice["created_by"]) == ("deepest", str(study.actor.pk))
    assert [step["transform"] for step in choice["path"]] == [str(study.first.pk), str(study.second.pk)]
    told = post(client, study).json()
    assert told["offset_um"] == pytest.approx([0, 0, 0]), "what was learned since would have put it there"
    assert told["targeted"]["id"] == choice["id"]
    assert told["targeted"]["offset_um"] == pytest.approx([3, 4, 0])
    assert told["targeted"]["distance_um"] == pytest.approx(5)
    # 25 / 2.5^2 = 4 with 3 degrees of freedom
    assert told["targeted"]["p_value"] == pytest.approx(0.2615, abs=1e-3)
    (history,) = client.get("/api/v1/found/history/").json()["results"]
    assert history["mean_um"] == pytest.approx([3, 4, 0]), "the pair is judged by what the stage was driven by"
    assert Edge.objects.filter(relation="wasDerivedFrom", subject=told["id"], object=choice["id"]).exists()


def test_warnings_at_the_time_of_the_choice_are_kept(study, as_user):
    client = as_user(study.actor)
    asked = client.get(f"/api/v1/rois/{study.pit.pk}/targeting/?mount={study.mount.pk}").json()
    client.post(f"/api/v1/rois/{study.pit.pk}/target/", {"mount": str(study.mount.pk)})
    (choice,) = client.get(f"/api/v1/rois/{study.pit.pk}/target/").json()["results"]
    assert choice["warnings"] == asked["warnings"]
    assert (choice["u95_um"], choice["covariance"]) == (asked["u95_um"], asked["covariance"])


def test_a_choice_is_written_once(study, as_user):
    client = as_user(study.actor)
    client.post(f"/api/v1/rois/{study.pit.pk}/target/", {"mount": str(study.mount.pk)})
    row = Targeting.objects.get()
    for act in (lambda: Targeting.objects.update(reason="another"), row.delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            act()
    copy = Targeting.objects.get()
    copy.pk, copy.covariance = uuid.uuid4(), None
    with pytest.raises(IntegrityError, match="targeting_freedom_of_covariance"), transaction.atomic():
        copy.save(force_insert=True)


def test_a_region_found_where_it_was_not_sent_has_no_choice(study, as_user):
    assert post(as_user(study.actor), study).json()["targeted"] is None


def test_a_region_that_cannot_be_targeted_is_not_sent(study, as_user):
    client = as_user(study.actor)
    apart = MountFactory(specimen=study.specimen, instrument=study.fib)
    answer = client.post(f"/api/v1/rois/{study.pit.pk}/target/", {"mount": str(apart.pk)})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_path")
    viewer = as_user(member(study.specimen.project, "viewer"))
    assert viewer.post(f"/api/v1/rois/{study.pit.pk}/target/", {"mount": str(study.mount.pk)}).status_code == 403
    assert Roi.objects.get(pk=study.pit.pk).status == "proposed"
