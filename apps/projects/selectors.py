"""What can be read about accounts and projects."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Q, QuerySet, Sum

from apps.core.models import Store
from apps.projects import access
from apps.projects.models import ApiToken, Membership, Project, User

StoresOf = Callable[[uuid.UUID], Iterable[QuerySet[Any, Any]]]
_stores_of: list[StoresOf] = []


def register_stores(find: StoresOf) -> None:
    """Have a layer above say which stores a project's rows use, as queries of ids; called from ``AppConfig.ready``."""
    if find not in _stores_of:
        _stores_of.append(find)


def bytes_used(project: Project) -> int:
    """Bytes of all stores that a project uses; what several of its rows link counts once.  One statement."""
    used = Q(pk__in=[])
    for find in _stores_of:
        for stores in find(project.pk):
            used |= Q(pk__in=stores)
    found = Store.objects.filter(used, state=Store.State.READY).aggregate(bytes=Sum("size_bytes"))
    return int(found["bytes"] or 0)


def list_projects(user: access.Caller) -> QuerySet[Project]:
    """Projects the caller may see."""
    return access.visible(Project.objects.all(), user)


def list_members(project: Project) -> QuerySet[Membership]:
    """Members of a project with their accounts."""
    return project.memberships.select_related("user")


def roles_of(user: User) -> dict[str, str]:
    """Role by project id."""
    return {str(m.project_id): m.role for m in Membership.objects.filter(user=user)}


def key_digest(key: str) -> str:
    """Return the sha256 under which a token key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def token_by_key(key: str) -> ApiToken | None:
    """The token of a key with its account, revoked or not; None where there is none."""
    return ApiToken.objects.select_related("user").filter(key_sha256=key_digest(key)).first()


def list_tokens(user: User) -> QuerySet[ApiToken]:
    """The caller's own tokens."""
    return ApiToken.objects.filter(user=user)


def visible_project_ids(user: access.Caller) -> set[uuid.UUID]:
    """Ids of all projects the caller may see, as a set for predicates over opaque ids."""
    return {uuid.UUID(str(row["id"])) for row in access.visible(Project.objects.all(), user).values("id")}
