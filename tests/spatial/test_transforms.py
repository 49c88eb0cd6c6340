"""Transforms as rows: made as candidates, accepted and withdrawn by recorded decisions."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from apps.core.errors import InvalidValueError
from apps.provenance import record
from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Event
from apps.spatial.models import Landmark, Transform, TransformDecision
from tests.factories import FrameFactory, ProjectFactory, SpecimenFactory, TransformFactory, UserFactory, member

pytestmark = pytest.mark.django_db
URL = "/api/v1/transforms/"
NESTED = [[1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
NOWHERE = "3f0f3f0f-0000-4000-8000-000000000000"


@pytest.fixture
def frames():
    """Two frames of one specimen."""
    source = FrameFactory()
    return source, FrameFactory(specimen=source.specimen)


def body(frames, **changes):
    source, target = frames
    ends = {"source": str(source.pk), "target": str(target.pk)}
    return ends | {"kind": "translation", "method": "manual", "matrix": NESTED} | changes


def test_post_answers_as_get_does(as_user, frames):
    client = as_user(frames[0].project.created_by)
    covariance = np.eye(12).tolist()
    made = client.post(URL, body(frames, covariance=covariance, degrees_of_freedom=7, reason="measured by Jane Doe"))
    assert made.status_code == 201, made.content
    assert made.json() == client.get(f"{URL}{made.json()['id']}/").json()
    assert made.json()["matrix"] == NESTED
    assert made.json()["covariance"] == covariance
    assert (made.json()["status"], made.json()["residual_um"]) == ("candidate", None)
    assert made.json()["valid_states"] == [str(frames[0].state_id)]
    row = Transform.objects.get()
    assert ledger.assertions([row.pk])[0]["what"] == "matrix"
    assert not Event.objects.filter(payload__contains="Jane").exists()


def test_landmarks_stay_with_it_and_give_the_residual(as_user, frames):
    pairs = [
        {"source": [0, 0, 0], "target": [5, 0, 0], "u_um": 0.5},
        {"source": [1, 0, 0], "target": [6, 2, 0]},
        {"source": [9, 9, 9], "target": [0, 0, 0], "state": "rejected", "reason": "dust"},
        {"source": [9, 9, 9], "target": [0, 0, 0], "state": "held_out"},
    ]
    made = as_user(frames[0].project.created_by).post(URL, body(frames, method="landmarks", landmarks=pairs))
    assert made.status_code == 201, made.content
    assert made.json()["residual_um"] == pytest.approx(np.sqrt(2.0))
    assert [pair["state"] for pair in made.json()["landmarks"]] == ["active", "active", "rejected", "held_out"]
    assert made.json()["landmarks"][1]["target"] == [6, 2, 0]
    said = {entry["what"]: entry["value"] for entry in ledger.assertions([Transform.objects.get().pk])}
    assert len(said["landmarks"]["pairs"]) == 4


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "warp"}, "kind"),
        ({"kind": "displacement"}, "kind"),
        ({"kind": "rigid", "matrix": [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "matrix"),
        ({"kind": "affine", "matrix": [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "matrix"),
        ({"kind": "affine", "matrix": [[1, 1, 0, 0], [0, 1e-8, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "matrix"),
        ({"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "matrix"),
        ({"matrix": "identity"}, "matrix"),
        ({"matrix": None}, "matrix"),
        ({"kind": "rigid", "matrix": None, "landmarks": [{"source": [0, 0, 0], "target": [0, 0, 0]}]}, "landmarks"),
        ({"store": NOWHERE}, "store"),
        ({"method": "calibration"}, "method"),
        ({"method": "landmarks"}, "landmarks"),
        ({"landmarks": [{"source": [0, 0], "target": [0, 0, 0]}]}, "landmarks.0.source"),
        ({"landmarks": [{"source": [0, 0, 0], "target": [0, 0, 0], "u_um": 0}]}, "landmarks.0.u_um"),
        ({"landmarks": [{"source": [0, 0, 0], "target": [0, 0, 0], "state": "rejected"}]}, "landmarks.0.reason"),
        ({"landmarks": [{"source": [0, 0, 0], "target": [0, 0, 0], "colour": 1}]}, "landmarks.0.colour"),
        ({"covariance": [[1.0]]}, "covariance"),
        ({"degrees_of_freedom": 3}, "degrees_of_freedom"),
        ({"source": NOWHERE}, "source"),
        ({"supersedes": NOWHERE}, "supersedes"),
        ({"valid_states": [NOWHERE]}, "valid_states"),
        ({"status": "accepted"}, "status"),
        ({"residual_um": 0.1}, "residual_um"),
    ],
)
def test_a_bad_body_is_named_and_stores_nothing(as_user, frames, change, field):
    answer = as_user(frames[0].project.created_by).post(URL, body(frames, **change))
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["errors"], answer.json()
    assert not Transform.objects.exists()


def test_frames_are_two_of_one_project(as_user, frames):
    actor = frames[0].project.created_by
    client = as_user(actor)
    answer = client.post(URL, body((frames[0], frames[0])))
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["target"])
    answer = client.post(URL, body((frames[0], FrameFactory())))
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["target"])
    both = FrameFactory(specimen=SpecimenFactory(project=ProjectFactory(actor=actor)))
    answer = client.post(URL, body((frames[0], both)))
    assert "another project" in answer.json()["errors"]["target"][0]
    answer = client.post(URL, body(frames, valid_states=[str(both.state_id)]))
    assert "another project" in answer.json()["errors"]["valid_states"][0]


def test_a_transform_supersedes_one_between_the_same_frames_once(as_user):
    first = TransformFactory()
    client = as_user(first.created_by)
    answer = client.post(URL, body((first.source, first.target), supersedes=str(first.pk)))
    assert answer.status_code == 201
    assert client.get(f"{URL}{first.pk}/").json()["superseded_by"] == answer.json()["id"]
    assert client.post(URL, body((first.source, first.target), supersedes=str(first.pk))).status_code == 409
    answer = client.post(URL, body((first.target, first.source), supersedes=answer.json()["id"]))
    assert list(answer.json()["errors"]) == ["supersedes"]


def test_accepting_is_a_recorded_decision(as_user):
    transform = TransformFactory(no_residual_reason="typed from the log book")
    client = as_user(member(transform.project, "contributor"))
    answer = client.post(f"{URL}{transform.pk}/accept/", {"reason": "agrees by eye, says Jane Doe"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["status"] == "accepted"
    assert answer.json()["no_residual_reason"] == "typed from the log book"
    (decision,) = answer.json()["decisions"]
    assert (decision["status"], decision["reason"]) == ("accepted", "agrees by eye, says Jane Doe")
    row = TransformDecision.objects.get()
    activity = Edge.objects.get(relation="wasGeneratedBy", subject=row.pk).object
    assert Edge.objects.filter(relation="used", subject=activity, object=transform.pk).exists()
    assert not Event.objects.filter(payload__contains="Jane").exists()
    assert client.post(f"{URL}{transform.pk}/accept/", {}).status_code == 409


def test_without_a_residual_a_reason_is_demanded(as_user):
    transform = TransformFactory()
    client = as_user(transform.created_by)
    answer = client.post(f"{URL}{transform.pk}/accept/", {})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["no_residual_reason"])
    transform.refresh_from_db()
    assert transform.status == "candidate"
    answer = client.post(f"{URL}{transform.pk}/accept/", {"reason": "typed by the vendor"})
    assert answer.json()["no_residual_reason"] == "typed by the vendor"


def test_withdrawing_marks_what_rests_on_it(as_user):
    transform = TransformFactory()
    client = as_user(transform.created_by)
    client.post(f"{URL}{transform.pk}/accept/", {"reason": "by eye"})
    successor = TransformFactory(source=transform.source, target=transform.target, supersedes=transform)
    with record.act("map", actor=transform.created_by, project=transform.project_id) as act:
        act.used(transform)
        thing = act.entity("corr:Mapped")
    answer = client.post(f"{URL}{transform.pk}/withdraw/", {"reason": "the stage had slipped"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["stale"] == [{"type": "corr:Mapped", "id": str(thing)}]
    assert answer.json()["status"] == "withdrawn"
    assert {row["status"] for row in answer.json()["decisions"]} == {"accepted", "withdrawn"}
    assert ledger.is_stale([thing, successor.pk, transform.source_id]) == {thing}
    assert client.post(f"{URL}{transform.pk}/withdraw/", {"reason": "again"}).status_code == 409
    assert client.post(f"{URL}{transform.pk}/accept/", {"reason": "again"}).status_code == 409


@pytest.mark.parametrize("wrong", [{}, {"reason": " "}, {"reason": "a", "why": "b"}])
def test_a_withdrawal_needs_a_reason(as_user, wrong):
    transform = TransformFactory()
    assert as_user(transform.created_by).post(f"{URL}{transform.pk}/withdraw/", wrong).status_code == 400


def test_who_may_do_what(as_user):
    transform = TransformFactory()
    ends = (transform.source, transform.target)
    for user, status in (
        (None, 401),
        (UserFactory(is_staff=True, is_superuser=True), 404),
        (member(transform.project, "viewer"), 403),
        (member(transform.project, "auditor"), 403),
    ):
        client = as_user(user)
        assert client.post(f"{URL}{transform.pk}/accept/", {"reason": "a"}).status_code == status
        assert client.post(f"{URL}{transform.pk}/withdraw/", {"reason": "a"}).status_code == status
        assert client.post(URL, body(ends)).status_code == (400 if status == 404 else status)
    assert as_user(transform.created_by).patch(f"{URL}{transform.pk}/", {"reason": "a"}).status_code == 405


@pytest.mark.parametrize(
    "change",
    [
        {"status": "accepted"},
        {"matrix": None},
        {"kind": "displacement"},
        {"residual_um": -1.0},
    ],
)
def test_the_database_refuses_what_cannot_be(change):
    transform = TransformFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Transform.objects.filter(pk=transform.pk).update(**change)


def test_the_database_refuses_a_loop_and_wordless_decisions():
    transform = TransformFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Transform.objects.filter(pk=transform.pk).update(target=transform.source)
    with pytest.raises(IntegrityError), transaction.atomic():
        TransformDecision.objects.create(transform=transform, status="withdrawn", decided_by=transform.created_by)
    places = {f"{end}_{axis}": 0.0 for end in ("source", "target") for axis in "xyz"}
    for change in ({"state": "rejected"}, {"u_um": 0.0}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Landmark.objects.create(transform=transform, number=0, **places, **change)


def test_a_landmark_list_that_is_none_is_refused_by_the_service(frames):
    with pytest.raises(InvalidValueError) as refused:
        TransformFactory(source=frames[0], target=frames[1], landmarks="ab")
    assert refused.value.field == "landmarks"


def test_the_list_takes_a_constant_number_of_queries(as_user, django_assert_max_num_queries):
    pairs = [{"source": [0, 0, 0], "target": [0, 0, 0]}] * 3
    first = TransformFactory(landmarks=pairs)
    for _ in range(4):
        TransformFactory(source=first.source, target=first.target, landmarks=pairs)
    client = as_user(first.created_by)
    with django_assert_max_num_queries(6):
        assert len(client.get(f"{URL}?source={first.source_id}").json()["results"]) == 5
    assert client.get(f"{URL}?status=accepted").json()["results"] == []
    assert client.get(f"{URL}?colour=red").status_code == 400
