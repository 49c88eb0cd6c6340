"""The admin of accounts, projects, jobs and results: shows what may be seen, writes through the services alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.urls import reverse

from apps.jobs.models import Job, JobAttempt, JobLogLine
from apps.projects.models import ApiToken, Membership, Project, ProjectGroupPermission, ProjectUserPermission, User
from apps.projects.services import issue_token
from apps.provenance.models import Event
from apps.results.models import Property, Table
from tests.factories import PASSWORD, CalibrationFactory, UserFactory, member
from tests.web.conftest import World

LOOKED_AT = (Project, Membership, User, ProjectUserPermission, Job, JobAttempt, JobLogLine, Property, Table)
WRITTEN = (Project, Membership, User)


def at(model: type[Any], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def chief(world: World) -> User:
    """A superuser who manages the project."""
    return member(world.project, "manager", is_staff=True, is_superuser=True)


@pytest.mark.parametrize("model", [*LOOKED_AT, ApiToken, ProjectGroupPermission])
def test_lists_and_rows_open(model: type[Any], world: World, everything: Any, chief: User, seen_by: Any) -> None:
    issue_token(user=chief)
    client = seen_by(chief)
    assert client.get(at(model, "changelist")).status_code == 200
    row = model.objects.order_by("pk").first()
    assert (row is None) == (model is ProjectGroupPermission)
    if row is not None:
        assert client.get(at(model, "change", row.pk)).status_code == 200
        assert client.post(at(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert client.get(at(model, "add")).status_code == (200 if model in WRITTEN else 403)


@pytest.mark.parametrize("model", [Project, Membership, Job, Property, Table])
def test_a_superuser_who_is_no_member_sees_no_rows(
    model: type[Any], world: World, everything: Any, seen_by: Any
) -> None:
    stranger = UserFactory(is_staff=True, is_superuser=True)
    row = model.objects.order_by("pk").first()
    assert seen_by(stranger).get(at(model, "change", row.pk)).status_code == 302


def test_the_overview_counts_what_is_seen_and_names_what_wants_a_look(
    world: World, everything: Any, chief: User, seen_by: Any
) -> None:
    world.job("failed")
    text = " ".join(seen_by(chief).get("/admin/").content.decode().split())
    assert "Jobs that failed in the last 7 days</span><strong>1</strong>" in text
    assert "Images without scale</span><strong>1</strong>" in text
    assert "Calibrations that are overdue" not in text
    assert f'<a href="{at(Project, "changelist")}">Projects</a><span class="corr-count">1</span>' in text
    assert f'<a class="corr-add" href="{at(Project, "add")}" aria-label="Add to Projects">Add</a>' in text
    assert at(Job, "add") not in text
    assert "The worker gives no sign of life" in text
    stranger = seen_by(UserFactory(is_staff=True)).get("/admin/").content.decode()
    assert "Images without scale" not in stranger


def test_an_overdue_calibration_is_named_on_the_overview(world: World, chief: User, seen_by: Any) -> None:
    first = CalibrationFactory(measured_at=dt.date(2018, 1, 1), due_at=dt.date(2019, 1, 1))
    assert "Calibrations that are overdue</span><strong>1</strong>" in seen_by(chief).get("/admin/").content.decode()
    CalibrationFactory(instrument=first.instrument, supersedes=first)
    assert "Calibrations that are overdue" not in seen_by(chief).get("/admin/").content.decode()


def test_staff_see_their_own_account_only(world: World, chief: User, seen_by: Any) -> None:
    staff = UserFactory(is_staff=True)
    assert seen_by(staff).get(at(User, "change", staff.pk)).status_code == 200
    assert seen_by(staff).get(at(User, "change", chief.pk)).status_code == 302
    form = {"username": "new", "password": PASSWORD}
    assert "accounts are made by superusers" in seen_by(staff).post(at(User, "add"), form).content.decode()
    assert not User.objects.filter(username="new").exists()


def test_account_page_shows_no_secrets(world: World, chief: User, seen_by: Any) -> None:
    token, key = issue_token(user=chief)
    client = seen_by(chief)
    assert chief.password not in client.get(at(User, "change", chief.pk)).content.decode()
    shown = client.get(at(ApiToken, "change", token.pk)).content.decode()
    assert key not in shown
    assert token.key_sha256 not in shown


def test_superuser_makes_an_account(world: World, chief: User, seen_by: Any) -> None:
    client = seen_by(chief)
    weak = client.post(at(User, "add"), {"username": "new", "password": "password"})
    assert "too common" in weak.content.decode()
    assert client.post(at(User, "add"), {"username": "new", "password": PASSWORD}).status_code == 302
    assert User.objects.get(username="new").check_password(PASSWORD)


def test_project_and_member_are_written_with_their_record(world: World, chief: User, seen_by: Any) -> None:
    client = seen_by(chief)
    before = Event.objects.count()
    assert client.post(at(Project, "add"), {"name": "Another"}).status_code == 302
    project = Project.objects.get(name="Another")
    form = {"project": str(project.pk), "user": str(world.outsider.pk), "role": "viewer"}
    assert client.post(at(Membership, "add"), form).status_code == 302
    membership = Membership.objects.get(project=project, user=world.outsider)
    assert client.post(at(Membership, "change", membership.pk), {"role": "contributor"}).status_code == 302
    membership.refresh_from_db()
    assert membership.role == "contributor"
    assert client.post(at(Project, "change", project.pk), {"name": "Renamed"}).status_code == 302
    assert Project.objects.filter(name="Renamed").exists()
    assert Event.objects.count() == before + 4
