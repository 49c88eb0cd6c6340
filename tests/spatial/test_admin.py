"""The admin of frames, transforms, regions, mounts and found positions: complete, and through the services."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.catalog.services import record_event
from apps.provenance.models import Event
from apps.spatial.models import (
    Found,
    Frame,
    FrameExtent,
    Landmark,
    Mount,
    Roi,
    Transform,
    TransformDecision,
    TransformOverride,
)
from tests.factories import NOON, InstrumentFactory, MountFactory, RoiFactory, TransformFactory, UserFactory, member
from tests.spatial.places import SENSES, join

ADDED = (Mount, Transform, TransformDecision, TransformOverride, Roi, Found)
SHOWN = (*ADDED, Frame, FrameExtent, Landmark)


def at(model: type[Any], page: str, *args: Any) -> str:
    return reverse(f"admin:spatial_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def mount(db: None) -> Mount:
    made: Mount = MountFactory(instrument=InstrumentFactory(stage_axes=SENSES))
    return made


def browser(mount: Mount, role: str = "contributor") -> Client:
    client = Client()
    staff = member(mount.specimen.project, role, is_staff=True)
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return client


def refusals(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.context["adminform"].form.errors)


@pytest.mark.parametrize("model", SHOWN)
def test_lists_open_and_rows_are_added_where_a_service_adds(model: type[Any], mount: Mount) -> None:
    client = browser(mount)
    assert client.get(at(model, "changelist")).status_code == 200
    assert client.get(at(model, "add")).status_code == (200 if model in ADDED else 403)


def test_a_frame_shows_its_extent_and_transforms(mount: Mount) -> None:
    row = TransformFactory(source=mount.frame)
    text = browser(mount, "auditor").get(at(Frame, "change", mount.frame.pk)).content.decode()
    assert str(row.target) in text
    assert "transforms that begin here" in text.lower()


def test_decisions_move_the_pointer_and_are_recorded(mount: Mount) -> None:
    first, second = (TransformFactory(source=mount.frame, no_residual_reason="made") for _ in range(2))
    client, before = browser(mount), Event.objects.count()
    body = {"transform": first.pk, "status": "accepted", "reason": "measured twice"}
    assert client.post(at(TransformDecision, "add"), body).status_code == 302
    first.refresh_from_db()
    assert first.status == "accepted"
    assert client.post(at(TransformDecision, "add"), body | {"status": "withdrawn"}).status_code == 302
    first.refresh_from_db()
    assert first.status == "withdrawn"
    assert Event.objects.count() == before + 2
    refused = client.post(at(TransformDecision, "add"), body | {"transform": second.pk, "status": "candidate"})
    assert "accepted or withdrawn" in refusals(refused)
    assert TransformDecision.objects.count() == 2


def test_an_acceptance_in_the_way_is_refused_and_named(mount: Mount) -> None:
    standing = join(mount.frame, MountFactory(specimen=mount.specimen).frame)
    other = TransformFactory(source=mount.frame, target=standing.target, no_residual_reason="made")
    client = browser(mount)
    body = {"transform": other.pk, "status": "accepted", "reason": "better"}
    assert str(standing.pk) in refusals(client.post(at(TransformDecision, "add"), body))
    assert client.post(at(TransformDecision, "add"), body | {"other": standing.pk}).status_code == 302
    standing.refresh_from_db()
    assert standing.status == "candidate"


def test_an_override_needs_a_state_in_which_it_does_not_hold(mount: Mount) -> None:
    row = join(mount.frame, MountFactory(specimen=mount.specimen).frame)
    client = browser(mount)
    body = {"transform": row.pk, "state": mount.state.pk, "reason": "far away"}
    assert "holds for state" in refusals(client.post(at(TransformOverride, "add"), body))
    event = record_event(actor=mount.created_by, specimen=mount.specimen, kind="mill", occurred_at=NOON)
    assert client.post(at(TransformOverride, "add"), body | {"state": event.opens.pk}).status_code == 302
    assert TransformOverride.objects.get().reason == "far away"


def test_a_mount_ends_once(mount: Mount) -> None:
    client = browser(mount)
    body = {"unmounted_at_0": "2031-05-02", "unmounted_at_1": "12:00:00"}
    assert client.post(at(Mount, "change", mount.pk), body).status_code == 302
    mount.refresh_from_db()
    assert mount.unmounted_at is not None
    again = client.post(at(Mount, "change", mount.pk), body | {"unmounted_at_0": "2031-05-03"})
    assert "has an end already" in refusals(again)


def test_found_positions_are_kept_beside_the_prediction(mount: Mount) -> None:
    row = RoiFactory(frame=mount.frame)
    client = browser(mount)
    body = {"roi": row.pk, "mount": mount.pk, "position": '{"x": 1.5, "y": -2.0, "z": 3.0}', "u_um": "0.5"}
    assert "y, z" in refusals(client.post(at(Found, "add"), body | {"position": '{"x": 1.5}'}))
    assert client.post(at(Found, "add"), body).status_code == 302
    made = Found.objects.get()
    assert made.predicted == [1.0, 2.0, 3.0]
    assert str(made.mount) in client.get(at(Roi, "change", row.pk)).content.decode()


def test_rows_of_others_are_not_seen_and_viewers_change_nothing(mount: Mount) -> None:
    row = TransformFactory(source=mount.frame, no_residual_reason="made")
    stranger = Client()
    stranger.force_login(
        UserFactory(is_staff=True, is_superuser=True), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert stranger.get(at(Transform, "change", row.pk)).status_code == 302
    body = {"transform": row.pk, "status": "accepted", "reason": "r"}
    assert not TransformDecision.objects.exists()
    answer = browser(mount, "viewer").post(at(TransformDecision, "add"), body)
    assert answer.status_code in (200, 403)
    assert not TransformDecision.objects.exists()
