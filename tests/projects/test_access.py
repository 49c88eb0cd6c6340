"""Roles and what follows from them; guardian's rows follow memberships."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.core.management import call_command

from apps.core.errors import ConflictError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.projects import access, services
from apps.projects.access import Action
from apps.projects.models import Membership, Project, ProjectUserPermission, User
from apps.provenance.models import Event
from tests.factories import ProjectFactory, StaffFactory, UserFactory, member

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        ("viewer", {Action.VIEW}),
        ("contributor", {Action.VIEW, Action.CONTRIBUTE}),
        ("auditor", {Action.VIEW, Action.AUDIT}),
        ("manager", set(Action)),
    ],
)
def test_a_role_allows_its_actions_and_no_other(role: str, actions: set[Action]) -> None:
    project = ProjectFactory()
    user = member(project, role)
    assert {action for action in Action if access.allowed(user, action, project)} == actions
    assert access.permission_findings() == []


def test_not_visible_is_404_and_not_allowed_is_403() -> None:
    project = ProjectFactory()
    with pytest.raises(NotFoundError):
        access.require(UserFactory(), Action.CONTRIBUTE, project)
    with pytest.raises(PermissionRefusedError, match="contributor or manager"):
        access.require(member(project, "viewer"), Action.CONTRIBUTE, project)


@pytest.mark.parametrize("kind", ["anonymous", "inactive", "staff", "superuser"])
def test_who_is_no_member_sees_nothing(kind: str) -> None:
    ProjectFactory()
    user: access.Caller = {
        "anonymous": AnonymousUser,
        "inactive": lambda: User.objects.create(username="gone", is_active=False),
        "staff": StaffFactory,
        "superuser": lambda: UserFactory(is_superuser=True),
    }[kind]()
    assert not access.visible(Project.objects.all(), user).exists()


def test_the_site_auditor_reads_every_project_and_writes_none() -> None:
    project = ProjectFactory()
    user = UserFactory()
    user.groups.add(Group.objects.create(name=access.AUDITOR_GROUP))
    assert access.allowed(user, Action.VIEW, project)
    assert access.allowed(user, Action.AUDIT, project)
    assert not access.allowed(user, Action.CONTRIBUTE, project)
    assert not access.allowed(user, Action.MANAGE, project)


def test_a_change_of_role_replaces_the_former_rights() -> None:
    project = ProjectFactory()
    user = member(project, "manager")
    services.set_member(actor=project.created_by, project=project, username=user.username, role="viewer")
    assert not access.allowed(user, Action.CONTRIBUTE, project)
    assert access.permission_findings() == []


def test_a_project_keeps_its_last_manager() -> None:
    project = ProjectFactory()
    maker = project.created_by
    with pytest.raises(ConflictError, match="at least one manager"):
        services.set_member(actor=maker, project=project, username=maker.username, role="viewer")
    with pytest.raises(ConflictError, match="at least one manager"):
        services.remove_member(actor=maker, membership=Membership.objects.get(project=project, user=maker))
    assert access.allowed(maker, Action.MANAGE, project)


def test_who_is_removed_sees_nothing_and_the_record_stays() -> None:
    project = ProjectFactory()
    user = member(project, "contributor")
    events = Event.objects.count()
    services.remove_member(actor=project.created_by, membership=Membership.objects.get(project=project, user=user))
    assert not access.allowed(user, Action.VIEW, project)
    assert not ProjectUserPermission.objects.filter(user=user).exists()
    assert Event.objects.count() == events + 1


def test_only_managers_change_members() -> None:
    project = ProjectFactory()
    contributor, other = member(project, "contributor"), UserFactory()
    with pytest.raises(PermissionRefusedError):
        services.set_member(actor=contributor, project=project, username=other.username, role="viewer")


@pytest.mark.parametrize(("username", "role", "field"), [("nobody", "viewer", "username"), (None, "king", "role")])
def test_a_wrong_member_is_named(username: str | None, role: str, field: str) -> None:
    project = ProjectFactory()
    with pytest.raises(InvalidValueError) as caught:
        services.set_member(
            actor=project.created_by, project=project, username=username or UserFactory().username, role=role
        )
    assert field in caught.value.errors


def test_an_id_in_a_request_that_cannot_be_seen_is_a_wrong_value() -> None:
    with pytest.raises(NotFoundError) as caught:
        access.get_visible(Project.objects.all(), UserFactory(), uuid.uuid4(), field="project")
    assert caught.value.status == 400
    assert "project" in caught.value.errors


def test_visible_is_one_statement(django_assert_num_queries: object) -> None:
    project = ProjectFactory()
    user = User.objects.get(pk=member(project, "viewer").pk)
    user.is_site_auditor = False
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert list(access.visible(Project.objects.all(), user)) == [project]


def test_who_audits_the_site_is_set_by_a_recorded_act() -> None:
    project, user = ProjectFactory(), UserFactory()
    call_command("site_auditor", user.username, reason="yearly audit")
    assert access.allowed(User.objects.get(pk=user.pk), Action.AUDIT, project)
    assert Event.objects.latest("seq").verb == "add_site_auditor"
    call_command("site_auditor", user.username, reason="done", remove=True)
    assert not access.allowed(User.objects.get(pk=user.pk), Action.VIEW, project)
