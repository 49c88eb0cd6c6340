"""A calibration applied to all images of its instrument, and what rests on it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.catalog.models import Calibration, Instrument
from apps.catalog.services import withdraw_calibration
from apps.imaging.models import Acquisition, Image
from apps.imaging.services import (
    apply_calibration,
    calibrate_image,
)
from apps.projects.models import Project, User
from apps.provenance import graph
from apps.provenance.models import Edge
from apps.provenance.selectors import is_stale
from apps.spatial.models import Transform
from tests.factories import InstrumentFactory, StaffFactory
from tests.imaging.calibrations.conftest import (
    calibration_of,
    shown,
)
from tests.imaging.conftest import client_of, ramp
from tests.imaging.test_images import labels_like
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db


def apply_all(client: APIClient, calibration: Calibration, **body: Any) -> Any:
    return client.post(f"/api/v1/calibrations/{calibration.pk}/apply/", {"reason": "measured since"} | body, "json")


def test_a_calibration_is_applied_to_all_that_it_holds_for(
    client: APIClient, instrument: Instrument, measured: Callable[..., Image], outsider: User
) -> None:
    good, late, bare = measured(instrument), measured(instrument, "2026-01-01T00:00:00"), measured(instrument)
    measured(InstrumentFactory())
    calibration = calibration_of(instrument)
    before = Image.objects.count()
    assert apply_all(client_of(outsider), calibration).json() == {"images": [], "left": [], "more": False}
    assert Image.objects.count() == before
    body = apply_all(client, calibration).json()
    made = Image.objects.filter(pk__in=body["images"])
    assert {row.supersedes_id for row in made} == {good.pk, bare.pk}
    assert {row.calibration_id for row in made} == {calibration.pk}
    assert [row["image"] for row in body["left"]] == [str(late.pk)]
    assert "after the calibration was due" in body["left"][0]["why"][0]
    again = apply_all(client, calibration).json()
    assert (again["images"], len(again["left"])) == ([], 1)


def test_a_new_version_takes_over_what_falls_to_it(
    client: APIClient, instrument: Instrument, measured: Callable[..., Image]
) -> None:
    first = calibration_of(instrument)
    early, later = measured(instrument, "2024-06-01T00:00:00"), measured(instrument, "2024-12-01T00:00:00")
    second = calibration_of(instrument, measured_at=dt.date(2024, 11, 1), factor=1.03, supersedes=first)
    flags = shown(client, early)["calibration"]["flags"]
    assert flags == ["newer_version:2"]
    body = apply_all(client, second).json()
    (new,) = Image.objects.filter(pk__in=body["images"])
    assert new.supersedes_id == later.pk
    (left,) = body["left"]
    assert (left["image"], left["why"]) == (str(early.pk), ["another version of the calibration holds for its date"])
    assert not shown(client, early)["stale"]


def test_an_image_under_another_calibration_is_left_to_its_choice(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument)
    other = calibration_of(calibration.instrument)
    body = apply_all(client, other).json()
    assert body["images"] == []
    assert str(calibration.pk) in body["left"][0]["why"][0]
    withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason="damaged")
    (pk,) = apply_all(client, other).json()["images"]
    new = Image.objects.get(pk=pk)
    assert (new.supersedes_id, new.calibration_id) == (image.pk, other.pk)
    assert is_stale([image.pk, new.pk]) == {image.pk}


def test_applying_to_all_names_what_is_wrong(
    client: APIClient, calibration: Calibration, project: Project, viewer: User, outsider: User
) -> None:
    problem(apply_all(client, calibration, reason=" "), 400, "reason")
    problem(apply_all(client, calibration, project=str(uuid.uuid4())), 400, "project")
    problem(apply_all(client_of(outsider), calibration, project=str(project.pk)), 400, "project")
    problem(apply_all(client_of(viewer), calibration, project=str(project.pk)), 403)
    problem(apply_all(client_of(None), calibration), 401)
    assert client.post(f"/api/v1/calibrations/{uuid.uuid4()}/apply/", {"reason": "a"}, "json").status_code == 404
    withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason="damaged")
    problem(apply_all(client, calibration), 409)


# ------------------------------------------------------------------------------------------------------------- lineage


def test_withdrawing_marks_what_is_under_it_and_nothing_that_left_it(
    client: APIClient, ada: User, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    under, typed, moved = (measured(calibration.instrument) for _ in range(3))
    labels = labels_like(under, (ramp() % 3).astype("uint8"))
    free = calibrate_image(actor=ada, image=typed, spacing_um={"x": 1, "y": 1, "z": 1}, spacing_u_um=0.1, reason="a")
    other = calibration_of(calibration.instrument)
    away = apply_calibration(actor=ada, image=moved, calibration=other, reason="the better grating")
    nominal = [row.frame_id for row in (under, free, away)]
    withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason="damaged")
    marked = is_stale([under.pk, labels.pk, under.calibrated_frame_id, free.pk, away.pk, other.pk, *nominal])
    assert marked == {under.pk, labels.pk, under.calibrated_frame_id}
    body = shown(client, under)
    assert (body["stale"], body["calibration"]["status"], body["calibration"]["flags"]) == (
        True,
        "withdrawn",
        ["withdrawn"],
    )
    assert body["spacing"]["x"]["value"] == 0.5
    edge = Transform.objects.get(source=under.frame)
    assert is_stale([edge.pk, edge.decisions.get().pk]) == {edge.pk}


def test_the_lineage_of_an_image_reaches_its_calibration_and_not_that_of_its_neighbour(
    calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image, bare = measured(calibration.instrument), measured(calibration.instrument, "2026-01-01T00:00:00")
    edge = Transform.objects.get()
    above = set(graph.ancestors([image.pk], limit=1000))
    assert {calibration.pk, edge.pk, image.frame_id} <= above
    assert calibration.pk not in graph.ancestors([bare.pk], limit=1000)
    assert Edge.objects.filter(relation="used", object=calibration.pk).exists()
    assert calibration.pk not in graph.ancestors([image.frame_id], limit=1000)


def test_the_record_of_a_version_does_not_rest_on_the_calibration_it_left(
    ada: User, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument)
    new = apply_calibration(actor=ada, image=image, calibration=None, reason="not trusted")
    source = Acquisition.objects.get().files.get()
    above = set(graph.ancestors([new.pk], limit=1000, relations=["wasDerivedFrom", "wasGeneratedBy", "used"]))
    assert source.pk in above
    assert calibration.pk not in above
