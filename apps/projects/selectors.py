"""What can be read about accounts and projects."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet

from apps.projects import access
from apps.projects.models import ApiToken, Membership, Project, User


def list_projects(user: access.Caller) -> QuerySet[Project]:
    """Projects the caller may see."""
    return access.visible(Project.objects.all(), user)


def list_members(project: Project) -> QuerySet[Membership]:
    """Members of a project with their accounts."""
    return project.memberships.select_related("user")


def roles_of(user: User) -> dict[str, str]:
    """Role by project id."""
    return {str(m.project_id): m.role for m in Membership.objects.filter(user=user)}


def list_tokens(user: User) -> QuerySet[ApiToken]:
    """The caller's own tokens."""
    return ApiToken.objects.filter(user=user)


def visible_project_ids(user: access.Caller) -> set[uuid.UUID]:
    """Ids of all projects the caller may see, as a set for predicates over opaque ids."""
    return {uuid.UUID(str(row["id"])) for row in access.visible(Project.objects.all(), user).values("id")}


def usernames(ids: set[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Name by account id, for the ids given."""
    rows: list[dict[str, Any]] = list(User.objects.filter(pk__in=ids).values("id", "username"))
    return {row["id"]: row["username"] for row in rows}
