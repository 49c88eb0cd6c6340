"""Events that place a piece, mounts, and the frames that both open."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from apps.catalog.models import Specimen, SpecimenEvent
from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Event
from apps.spatial.models import Frame, FrameExtent, Mount, Transform
from tests.factories import (
    InstrumentFactory,
    MountFactory,
    ProjectFactory,
    SpecimenEventFactory,
    SpecimenFactory,
    UserFactory,
    member,
)

pytestmark = pytest.mark.django_db
EVENTS, MOUNTS, FRAMES = "/api/v1/specimen-events/", "/api/v1/mounts/", "/api/v1/frames/"
POSE = [[0.0, -1.0, 0.0, 10.0], [1.0, 0.0, 0.0, 20.0], [0.0, 0.0, 1.0, -30.0], [0.0, 0.0, 0.0, 1.0]]
CUT = {"type": "box", "coordinates": [[0, 0, 0], [5, 5, 10]]}
NOON = "2024-05-01T12:00:00Z"


def event(specimen, /, **changes):
    return {"specimen": str(specimen.pk), "kind": "lift_out", "occurred_at": NOON} | changes


# -------------------------------------------------------------------------------------------------------------- events


def test_a_lift_out_makes_child_frames_and_the_first_transform(as_user):
    specimen = SpecimenFactory()
    received = specimen.current_state
    client = as_user(specimen.created_by)
    covariance = np.eye(12).tolist()
    place = CUT | {"pose": POSE, "pose_covariance": covariance}
    made = client.post(
        EVENTS,
        event(
            specimen,
            child={"name": "lamella"},
            geometry=place,
            performed_by="Jane Doe",
            conditions={"voltage": {"value": 30, "unit": "kV"}},
        ),
    )
    assert made.status_code == 201, made.content
    assert made.json() == client.get(f"{EVENTS}{made.json()['id']}/").json()
    child = Specimen.objects.get(name="lamella")
    assert made.json()["child"] == str(child.pk)
    assert made.json()["geometry"]["coordinates"] == [[0, 0, 0], [5, 5, 10]]
    transform = Transform.objects.get()
    assert made.json()["transform"] == str(transform.pk)
    assert (transform.method, transform.kind, transform.status) == ("geometry", "rigid", "candidate")
    assert transform.matrix == [number for row in POSE for number in row]
    assert transform.covariance == covariance
    assert (transform.source.state, transform.target.state) == (child.current_state, received)
    assert set(transform.valid_states.all()) == {child.current_state, received}
    assert transform.no_residual_reason
    informed = Edge.objects.get(relation="wasInformedBy", object=made.json()["id"]).subject_id
    assert Edge.objects.filter(relation="wasGeneratedBy", subject=transform.pk, object=informed).exists()
    assert not Event.objects.filter(payload__contains="Jane").exists()
    assert client.post(f"/api/v1/transforms/{transform.pk}/accept/", {}).status_code == 200


def test_a_state_has_one_frame(as_user):
    specimen = SpecimenFactory()
    client = as_user(specimen.created_by)
    for name in ("a", "b"):
        body = event(specimen, child={"name": name}, geometry={"pose": POSE})
        assert client.post(EVENTS, body).status_code == 201
    frames = Frame.objects.filter(specimen=specimen, kind="state")
    assert frames.count() == 2  # of the two states that the lift-outs ended
    row = frames.first()
    with pytest.raises(IntegrityError), transaction.atomic():
        Frame.objects.create(project=row.project, kind="state", name="a", description="b", state=row.state)


def test_a_known_piece_is_placed_by_id(as_user):
    specimen = SpecimenFactory()
    piece = SpecimenFactory(project=specimen.project)
    body = event(specimen, kind="cut", child=str(piece.pk), geometry={"pose": POSE})
    made = as_user(specimen.created_by).post(EVENTS, body)
    assert made.status_code == 201, made.content
    assert Transform.objects.get().source.specimen == piece
    piece.refresh_from_db()
    assert piece.parent == specimen


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "burn"}, "kind"),
        ({"occurred_at": "2024-05-01T12:00:00"}, "occurred_at"),
        ({"occurred_at": "2024-02-31T12:00:00Z"}, "occurred_at"),
        ({"occurred_at": 20240501}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at"),
        ({"conditions": {"t": {"value": 22, "unit": "degC"}}}, "conditions.t.unit"),
        ({"conditions": [22]}, "conditions"),
        ({"geometry": {"pose": POSE}}, "geometry.pose"),
        ({"geometry": {"pose": [[2, 0, 0, 0], *POSE[1:]]}, "child": {"name": "a"}}, "geometry.pose"),
        ({"geometry": {"pose": POSE, "angle": 3}, "child": {"name": "a"}}, "geometry"),
        ({"geometry": {}, "child": {"name": "a"}}, "geometry"),
        ({"geometry": {"pose_covariance": []}, "child": {"name": "a"}}, "geometry.pose_covariance"),
        ({"geometry": {"type": "box", "coordinates": [[0, 0, 0]]}}, "geometry.coordinates"),
        ({"kind": "polish", "geometry": CUT}, "geometry"),
        ({"kind": "polish", "child": {"name": "a"}}, "child"),
        ({"child": {"name": ""}}, "child.name"),
        ({"child": {"name": "a", "colour": "red"}}, "child.colour"),
        ({"child": "lamella"}, "child"),
        ({"child": 3}, "child"),
        ({"child": "3f0f3f0f-0000-4000-8000-000000000000"}, "child"),
        ({"specimen": "3f0f3f0f-0000-4000-8000-000000000000"}, "specimen"),
        ({"opens": 3}, "opens"),
    ],
)
def test_a_bad_event_is_named_and_changes_nothing(as_user, change, field):
    specimen = SpecimenFactory()
    events = Event.objects.count()
    answer = as_user(specimen.created_by).post(EVENTS, event(specimen, **change))
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["errors"], answer.json()
    assert (SpecimenEvent.objects.count(), Specimen.objects.count(), Frame.objects.count()) == (0, 1, 0)
    assert Event.objects.count() == events


def test_a_child_of_another_project_is_refused(as_user):
    specimen, hidden = SpecimenFactory(), SpecimenFactory()
    both = SpecimenFactory(project=ProjectFactory(actor=specimen.created_by))
    for child in (hidden, both):
        answer = as_user(specimen.created_by).post(EVENTS, event(specimen, child=str(child.pk)))
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["child"])


def test_who_records_and_sees_events(as_user):
    made = SpecimenEventFactory()
    for user, status, sight in (
        (None, 401, 401),
        (UserFactory(is_staff=True, is_superuser=True), 400, 404),
        (member(made.specimen.project, "viewer"), 403, 200),
        (member(made.specimen.project, "contributor"), 201, 200),
    ):
        assert as_user(user).post(EVENTS, event(made.specimen)).status_code == status
        assert as_user(user).get(f"{EVENTS}{made.pk}/").status_code == sight


# -------------------------------------------------------------------------------------------------------------- mounts


def test_a_mount_opens_its_stage_frame(as_user):
    specimen, instrument = SpecimenFactory(), InstrumentFactory()
    client = as_user(specimen.created_by)
    body = {"specimen": str(specimen.pk), "instrument": str(instrument.pk), "mounted_at": NOON, "holder": "stub 3"}
    made = client.post(MOUNTS, body)
    assert made.status_code == 201, made.content
    assert made.json() == client.get(f"{MOUNTS}{made.json()['id']}/").json()
    assert made.json()["state"] == str(specimen.current_state_id)
    frame = client.get(f"{FRAMES}{made.json()['frame']}/").json()
    assert (frame["kind"], frame["mount"], frame["unit"]) == ("stage", made.json()["id"], "um")
    assert "not known" in frame["description"]
    mount = Mount.objects.get()
    used = set(Edge.objects.filter(relation="used").values_list("object_id", flat=True))
    assert {specimen.pk, instrument.pk, specimen.current_state_id} <= used
    assert ledger.assertions([mount.pk])[0]["what"] == "times"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"unmounted_at": "2024-04-01T12:00:00Z"}, "unmounted_at"),
        ({"mounted_at": "2024-05-01T12:00:00"}, "mounted_at"),
        ({"instrument": "3f0f3f0f-0000-4000-8000-000000000000"}, "instrument"),
        ({"frame": "3f0f3f0f-0000-4000-8000-000000000000"}, "frame"),
        ({"holder": "x" * 201}, "holder"),
    ],
)
def test_a_bad_mount_is_named(as_user, change, field):
    specimen = SpecimenFactory()
    body = {"specimen": str(specimen.pk), "instrument": str(InstrumentFactory().pk), "mounted_at": NOON}
    answer = as_user(specimen.created_by).post(MOUNTS, body | change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Frame.objects.exists()


def test_a_state_of_another_specimen_is_refused(as_user):
    specimen = SpecimenFactory()
    other = SpecimenFactory(project=specimen.project)
    body = {"specimen": str(specimen.pk), "instrument": str(InstrumentFactory().pk), "mounted_at": NOON}
    answer = as_user(specimen.created_by).post(MOUNTS, body | {"state": str(other.current_state_id)})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["state"])


def test_a_mount_ends_once(as_user):
    mount = MountFactory()
    client = as_user(mount.created_by)
    early = client.post(f"{MOUNTS}{mount.pk}/end/", {"unmounted_at": "2024-01-01T00:00:00Z"})
    assert early.status_code == 400
    answer = client.post(f"{MOUNTS}{mount.pk}/end/", {"unmounted_at": "2024-05-02T00:00:00Z"})
    assert (answer.status_code, answer.json()["unmounted_at"]) == (200, "2024-05-02T00:00:00Z")
    assert client.post(f"{MOUNTS}{mount.pk}/end/", {"unmounted_at": "2024-05-03T00:00:00Z"}).status_code == 409
    assert client.get(f"{MOUNTS}?open=true").json()["results"] == []
    viewer = as_user(member(mount.specimen.project, "viewer"))
    assert viewer.post(f"{MOUNTS}{mount.pk}/end/", {"unmounted_at": NOON}).status_code == 403


def test_the_database_refuses_a_mount_that_ends_before_it_begins():
    mount = MountFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Mount.objects.filter(pk=mount.pk).update(unmounted_at="2000-01-01T00:00:00Z")


# -------------------------------------------------------------------------------------------------------------- frames


def test_frames_are_listed_by_specimen_with_their_extent(as_user, django_assert_max_num_queries):
    mount = MountFactory()
    box = {"x_min": -0.5, "x_max": 9.5, "y_min": -0.5, "y_max": 4.5, "z_min": -0.5, "z_max": 0.5}
    FrameExtent.objects.create(frame=mount.frame, **box)
    for _ in range(4):
        MountFactory(specimen=mount.specimen)
    MountFactory(specimen=SpecimenFactory(project=mount.specimen.project))
    client = as_user(mount.created_by)
    with django_assert_max_num_queries(2):
        listed = client.get(f"{FRAMES}?specimen={mount.specimen_id}").json()["results"]
    assert len(listed) == 5
    extents = {row["id"]: row["extent"] for row in listed}
    assert extents.pop(str(mount.frame_id)) == {"x": [-0.5, 9.5], "y": [-0.5, 4.5], "z": [-0.5, 0.5]}
    assert set(extents.values()) == {None}
    assert as_user(UserFactory()).get(FRAMES).json()["results"] == []
    assert client.post(FRAMES, {}).status_code == 405


def test_the_database_refuses_an_extent_inside_out():
    mount = MountFactory()
    box = {"x_min": 1, "x_max": 0, "y_min": 0, "y_max": 0, "z_min": 0, "z_max": 0}
    with pytest.raises(IntegrityError), transaction.atomic():
        FrameExtent.objects.create(frame=mount.frame, **box)


def test_event_and_mount_lists_take_a_constant_number_of_queries(as_user, django_assert_max_num_queries):
    specimen = SpecimenFactory()
    for _ in range(5):
        SpecimenEventFactory(specimen=specimen)
        MountFactory(specimen=specimen)
    client = as_user(specimen.created_by)
    for url in (EVENTS, MOUNTS):
        with django_assert_max_num_queries(2):
            assert len(client.get(f"{url}?specimen={specimen.pk}").json()["results"]) == 5
