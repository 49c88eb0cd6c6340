"""Regions of interest."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.provenance import selectors as ledger
from apps.provenance.models import Edge
from apps.spatial.models import Roi
from tests.factories import FrameFactory, InstrumentFactory, RoiFactory, UserFactory, member

pytestmark = pytest.mark.django_db
URL = "/api/v1/rois/"
POLYGON = {"type": "polygon", "coordinates": [[0, 0, 1], [2, 0, 1], [2, 3, 1]]}


def body(frame, /, **changes):
    return {"frame": str(frame.pk), "name": "attack", "geometry": POLYGON} | changes


def test_post_answers_as_get_does(as_user):
    frame, instrument = FrameFactory(), InstrumentFactory()
    client = as_user(frame.project.created_by)
    made = client.post(URL, body(frame, purpose="lift out here", target_instrument=str(instrument.pk)))
    assert made.status_code == 201, made.content
    assert made.json() == client.get(f"{URL}{made.json()['id']}/").json()
    assert made.json()["geometry"] == POLYGON
    assert made.json()["bounding_box"] == {"min": [0, 0, 1], "max": [2, 3, 1]}
    assert (made.json()["status"], made.json()["version"]) == ("proposed", 1)
    roi = Roi.objects.get()
    assert ledger.assertions([roi.pk])[0]["value"]["geometry"] == POLYGON
    activity = Edge.objects.get(relation="wasGeneratedBy", subject=roi.pk).object
    assert Edge.objects.filter(relation="used", subject=activity, object=frame.pk).exists()


def test_a_correction_is_a_new_version(as_user):
    first = RoiFactory()
    client = as_user(first.created_by)
    second = client.post(URL, body(first.frame, supersedes=str(first.pk)))
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert client.get(f"{URL}{first.pk}/").json()["superseded_by"] == second.json()["id"]
    assert [row["id"] for row in client.get(f"{URL}?current=true").json()["results"]] == [second.json()["id"]]
    assert client.post(URL, body(first.frame, supersedes=str(first.pk))).status_code == 409
    elsewhere = FrameFactory(specimen=first.frame.specimen)
    answer = client.post(URL, body(elsewhere, supersedes=second.json()["id"]))
    assert list(answer.json()["errors"]) == ["supersedes"]
    assert client.patch(f"{URL}{first.pk}/", {"geometry": POLYGON}).status_code == 405


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"geometry": {"type": "mask", "image": "3f0f3f0f-0000-4000-8000-000000000000", "value": 1}}, "geometry.type"),
        ({"geometry": {"type": "polygon", "coordinates": [[0, 0, 0], [1, 0, 0]]}}, "geometry.coordinates"),
        ({"geometry": {"type": "point", "coordinates": [0, 0, "1"]}}, "geometry.coordinates.z"),
        ({"geometry": [1, 2, 3]}, "geometry"),
        ({"name": " "}, "name"),
        ({"frame": "3f0f3f0f-0000-4000-8000-000000000000"}, "frame"),
        ({"status": "acquired"}, "status"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_region_is_named_and_stores_nothing(as_user, change, field):
    frame = FrameFactory()
    answer = as_user(frame.project.created_by).post(URL, body(frame, **change))
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not Roi.objects.exists()


def test_who_marks_and_sees(as_user):
    roi = RoiFactory()
    hidden = as_user(UserFactory(is_staff=True, is_superuser=True))
    assert hidden.get(f"{URL}{roi.pk}/").status_code == 404
    assert list(hidden.post(URL, body(roi.frame)).json()["errors"]) == ["frame"]
    viewer = as_user(member(roi.project, "viewer"))
    assert viewer.get(f"{URL}{roi.pk}/").status_code == 200
    assert viewer.post(URL, body(roi.frame)).status_code == 403


@pytest.mark.parametrize("change", [{"name": ""}, {"x_min": 1e3}])
def test_the_database_refuses_what_cannot_be(change):
    roi = RoiFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        Roi.objects.filter(pk=roi.pk).update(**change)


def test_the_list_takes_a_constant_number_of_queries(as_user, django_assert_max_num_queries):
    first = RoiFactory()
    for _ in range(4):
        RoiFactory(frame=first.frame)
    with django_assert_max_num_queries(2):
        listed = as_user(first.created_by).get(f"{URL}?frame={first.frame_id}").json()["results"]
    assert len(listed) == 5
