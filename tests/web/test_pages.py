"""Every page: whom it opens for, and that its cost does not grow with what there is."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.provenance import record
from apps.results.services import review_result
from tests.web.conftest import World, spacing

PAGES = ("project", "specimen", "image", "image-slice", "job", "job-live", "property", "table", "table-csv")
BUTTONS = ("job-cancel", "job-retry", "image-calibrate")


def address(name: str, world: World, everything: Any) -> str:
    things = {
        "project": world.project,
        "specimen": world.specimen,
        "property": everything.number,
        "image": everything.image,
        "job": everything.job,
        "table": everything.table,
    }
    return reverse(name, args=[things[name.split("-")[0]].pk])


@pytest.mark.parametrize("name", PAGES)
def test_page_opens_for_every_member_and_nobody_else(name: str, world: World, everything: Any, seen_by: Any) -> None:
    url = address(name, world, everything)
    for user in (world.viewer, world.contributor, world.manager):
        assert seen_by(user).get(url).status_code == 200
    assert seen_by(world.outsider).get(url).status_code == 404
    anonymous = Client().get(url)
    assert anonymous.status_code == 302
    assert anonymous["Location"].startswith(reverse("login"))


@pytest.mark.parametrize("name", PAGES)
def test_page_of_an_unknown_id_is_a_404_page(name: str, world: World, seen_by: Any) -> None:
    answer = seen_by(world.viewer).get(reverse(name, args=[uuid.uuid4()]))
    assert answer.status_code == 404
    assert "Back to your projects" in answer.content.decode()


@pytest.mark.parametrize("name", BUTTONS)
def test_buttons_take_a_post_from_who_may_contribute(name: str, world: World, everything: Any, seen_by: Any) -> None:
    url = address(name, world, everything)
    assert seen_by(world.contributor).get(url).status_code == 405
    assert seen_by(world.viewer).post(url, {"x": "1", "y": "1", "z": "1", "u": "1", "reason": "r"}).status_code == 403
    assert seen_by(world.outsider).post(url).status_code == 404
    assert Client().post(url).status_code == 302
    assert Client(enforce_csrf_checks=True).post(url).status_code == 403


def test_home_shows_my_things_and_no_others(world: World, everything: Any, seen_by: Any) -> None:
    mine = seen_by(world.viewer).get(reverse("home")).content.decode()
    assert "Coupon" in mine
    assert "viewer" in mine
    assert reverse("property", args=[everything.number.pk]) in mine
    others = seen_by(world.outsider).get(reverse("home")).content.decode()
    assert "Coupon" not in others
    assert "You are in no project yet" in others


def test_home_asks_the_manager_to_review_what_others_computed(world: World, everything: Any, seen_by: Any) -> None:
    words = "Numbers that nobody has reviewed"
    assert words not in seen_by(world.manager).get("/").content.decode()  # of the manager's own job
    job = world.job(created_by=world.contributor)
    row = world.number("tensor", 4.2, job=job)
    assert reverse("property", args=[row.pk]) in _waiting(seen_by(world.manager), words)
    for other in (world.contributor, world.viewer, world.outsider):
        assert words not in seen_by(other).get("/").content.decode()
    review_result(actor=world.manager, row=row, verdict="approved")
    text = seen_by(world.manager).get("/").content.decode()
    assert words not in text
    assert "Approved numbers to release" in text


def test_home_does_not_ask_for_a_review_of_what_is_stale(world: World, everything: Any, seen_by: Any) -> None:
    row = world.number("tensor", 4.2, job=world.job(created_by=world.contributor))
    with record.act("withdraw", actor=world.manager, project=world.project.pk) as act:
        act.stale([row.pk], cause=world.project.pk, reason="the scale was wrong")
    assert "Numbers that nobody has reviewed" not in seen_by(world.manager).get("/").content.decode()


def _waiting(client: Any, title: str) -> str:
    """The part of the home page that waits under a title."""
    text = client.get("/").content.decode()
    return str(text[text.index(title) :].split("</ul>")[0])


def test_login_page_logs_in_and_refuses(world: World) -> None:
    client = Client()
    assert client.get(reverse("login")).status_code == 200
    refused = client.post(reverse("login"), {"username": world.viewer.username, "password": "wrong"})
    assert "do not fit together" in refused.content.decode()
    taken = client.post(
        reverse("login"), {"username": world.viewer.username, "password": "correct-horse-battery-staple"}
    )
    assert taken["Location"] == reverse("home")
    assert client.post(reverse("logout")).status_code == 302
    assert client.get(reverse("home")).status_code == 302


def queries(client: Client, url: str) -> int:
    client.get(url)  # what is asked once a process is not counted
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


@pytest.mark.parametrize("name", ["home", "project", "specimen", "image", "job", "property"])
def test_number_of_queries_does_not_grow(name: str, world: World, everything: Any, seen_by: Any) -> None:
    client = seen_by(world.viewer)
    url = reverse("home") if name == "home" else address(name, world, everything)
    before = queries(client, url)
    for _ in range(4):
        world.image(scale=spacing(2.0))
        job = world.job(inputs={"image": str(everything.image.pk)}, plugin="segmentation.threshold")
        world.number("fractions", [0.3, 0.7], job=job, image=everything.labels)
        world.image(scale=spacing(2.0), kind="labels", job=job)
        world.table(job=job)
    assert queries(client, url) == before


def test_pages_carry_no_inline_script_and_a_policy(world: World, everything: Any, seen_by: Any) -> None:
    client = seen_by(world.viewer)
    for name in ("project", "specimen", "image", "job", "property", "table"):
        answer = client.get(address(name, world, everything))
        text = answer.content.decode()
        assert "<script>" not in text
        assert " onclick" not in text
        assert "'self'" in answer["Content-Security-Policy"]


def test_stale_number_says_so(world: World, everything: Any, seen_by: Any) -> None:
    url = address("property", world, everything)
    assert "Stale:" not in seen_by(world.viewer).get(url).content.decode()
    with record.act("withdraw", actor=world.manager, project=world.project.pk) as act:
        act.stale([everything.number.pk], cause=world.project.pk, reason="the scale was wrong")
    text = seen_by(world.viewer).get(url).content.decode()
    assert "Stale:" in text
    assert "the scale was wrong" in text
