"""A superuser reads project data as a member, or by an act that is recorded with its reason."""

from __future__ import annotations

import uuid

import pytest

from apps.core.errors import ConflictError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.projects import access, services
from apps.projects.access import Action
from apps.provenance.models import ErasableText, Event
from tests.factories import ProjectFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_breaking_the_glass_gives_reading_and_leaves_a_record() -> None:
    project, root = ProjectFactory(), UserFactory(is_superuser=True)
    services.break_glass(actor=root, project_id=project.pk, reason="a court order")
    assert {a for a in Action if access.allowed(root, a, project)} == {Action.VIEW, Action.AUDIT}
    event = Event.objects.latest("seq")
    assert (event.verb, event.project) == ("break_glass", project.pk)
    assert ErasableText.objects.get(node=event.activity, name="reason").text == "a court order"


@pytest.mark.parametrize("maker", [UserFactory, StaffFactory])
def test_nobody_else_can(maker: type[UserFactory]) -> None:
    project = ProjectFactory()
    with pytest.raises(PermissionRefusedError):
        services.break_glass(actor=maker(), project_id=project.pk, reason="curious")


def test_a_reason_a_project_and_no_membership_are_needed() -> None:
    project, root = ProjectFactory(), UserFactory(is_superuser=True)
    with pytest.raises(InvalidValueError):
        services.break_glass(actor=root, project_id=project.pk, reason="  ")
    with pytest.raises(NotFoundError):
        services.break_glass(actor=root, project_id=uuid.uuid4(), reason="why not")
    services.break_glass(actor=root, project_id=project.pk, reason="a court order")
    with pytest.raises(ConflictError):
        services.break_glass(actor=root, project_id=project.pk, reason="again")
