"""Events that place a piece, mounts, and the frames that both open."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import IntegrityError, transaction

from analyses.sdk.propagation import UncertainMap, propagate
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
PAIRS = [
    {"source": p, "target": [10.0 - p[1], 20.0 + p[0], p[2] - 30.0], "u_um": 0.5}
    for p in ([0.0, 0.0, 0.0], [8.0, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 4.0])
]


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


def lifted(as_user, **geometry):
    """The transform of a lamella that was lifted out."""
    specimen = SpecimenFactory()
    made = as_user(specimen.created_by).post(EVENTS, event(specimen, child={"name": "lamella"}, geometry=geometry))
    assert made.status_code == 201, made.content
    return Transform.objects.get(pk=made.json()["transform"])


def test_the_error_of_a_pose_is_that_of_its_shift_and_of_turns_about_the_cut(as_user):
    cut = {"type": "box", "coordinates": [[0, 10, -40], [10, 20, -20]]}
    transform = lifted(as_user, **cut, pose=POSE, u_um=2.0, u_deg=3.0)
    step = UncertainMap(np.reshape(transform.matrix, (4, 4)), np.array(transform.covariance), "pose")
    # the middle of the cut, (5, 15, -30) in the parent, is (-5, 5, 0) in the piece: no turn moves it
    middle, away = propagate([[-5.0, 5.0, 0.0], [35.0, 5.0, 0.0]], [step]).covariances
    assert np.allclose(middle, 4.0 * np.eye(3))
    moved_by = (40.0 * np.radians(3.0)) ** 2
    assert np.allclose(away, np.diag([4.0 + moved_by, 4.0, 4.0 + moved_by]))


def test_a_cut_alone_gives_the_piece_its_middle_and_the_axes_of_its_parent(as_user):
    transform = lifted(as_user, type="box", coordinates=[[0, 10, -40], [10, 20, -20]], u_um=1.5)
    assert np.allclose(np.reshape(transform.matrix, (4, 4))[:3, 3], [5, 15, -30])
    assert (transform.method, transform.kind) == ("geometry", "rigid")
    assert "middle of the cut" in transform.no_residual_reason
    assert transform.covariance[3][3] == pytest.approx(2.25)
    assert lifted(as_user, type="point", coordinates=[1, 2, 3]).covariance is None, "no error was stated"


def test_landmarks_of_a_lift_out_are_fitted_and_stay(as_user):
    transform = lifted(as_user, landmarks=PAIRS)
    assert np.allclose(np.reshape(transform.matrix, (4, 4)), POSE)
    assert (transform.method, transform.landmarks.count()) == ("landmarks", 4)
    assert transform.residual_um == pytest.approx(0, abs=1e-9)
    assert transform.covariance is not None


def test_landmarks_beside_a_pose_tell_its_residual(as_user):
    off = [{**pair, "target": [pair["target"][0] + 1.0, *pair["target"][1:]]} for pair in PAIRS]
    transform = lifted(as_user, pose=POSE, landmarks=off, u_um=1.0)
    assert transform.matrix == [number for row in POSE for number in row]
    assert transform.residual_um == pytest.approx(1.0)
    assert (transform.method, transform.no_residual_reason) == ("geometry", "")


def test_a_cut_off_piece_of_an_unknown_pose_has_no_transform(as_user):
    specimen = SpecimenFactory()
    body = event(specimen, kind="cut", child={"name": "half"}, geometry=CUT)
    assert as_user(specimen.created_by).post(EVENTS, body).json()["transform"] is None


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
        ({"geometry": {"pose": POSE, "u_um": -1}, "child": {"name": "a"}}, "geometry.u_um"),
        ({"geometry": {"pose": POSE, "u_deg": 181}, "child": {"name": "a"}}, "geometry.u_deg"),
        ({"geometry": {"pose": POSE, "u_um": "2"}, "child": {"name": "a"}}, "geometry.u_um"),
        ({"geometry": {"u_um": 2}, "child": {"name": "a"}}, "geometry.u_um"),
        (
            {"geometry": {"pose": POSE, "pose_covariance": np.eye(12).tolist(), "u_um": 2}, "child": {"name": "a"}},
            "geometry.u_um",
        ),
        ({"geometry": {"landmarks": PAIRS}}, "geometry.landmarks"),
        ({"geometry": {"landmarks": PAIRS, "u_um": 2}, "child": {"name": "a"}}, "geometry.u_um"),
        ({"geometry": {"landmarks": PAIRS[:2]}, "child": {"name": "a"}}, "geometry.landmarks"),
        (
            {"geometry": {"landmarks": [{"source": [1, 2], "target": [1, 2, 3]}]}, "child": {"name": "a"}},
            "geometry.landmarks.0.source",
        ),
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
