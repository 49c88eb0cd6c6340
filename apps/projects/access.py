"""The one place that decides who may see and do what.

The unit is the project: a row's class says by ``PROJECT_PATH`` how its project is reached ("self", "project",
"acquisition__project", ...) or None for what is site-wide, which every account reads.  Membership is the truth;
guardian's rows
follow from it here and nowhere else.

Not visible is 404, visible but not allowed is 403; not logged in is 401 and decided before this module is asked.
"""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model, QuerySet
from guardian.shortcuts import assign_perm, remove_perm

from apps.core.errors import NotFoundError, PermissionRefusedError
from apps.projects.models import Project, ProjectUserPermission, Role, User

M = TypeVar("M", bound=Model)
Caller = User | AnonymousUser
AUDITOR_GROUP = "auditor"


class Action(Enum):
    """What can be done in a project; the value is the permission's codename."""

    VIEW = "view_project"
    CONTRIBUTE = "contribute_project"
    MANAGE = "manage_project"
    AUDIT = "audit_project"


ROLE_ACTIONS: dict[str, frozenset[Action]] = {
    Role.VIEWER: frozenset({Action.VIEW}),
    Role.CONTRIBUTOR: frozenset({Action.VIEW, Action.CONTRIBUTE}),
    Role.MANAGER: frozenset({Action.VIEW, Action.CONTRIBUTE, Action.MANAGE, Action.AUDIT}),
    Role.AUDITOR: frozenset({Action.VIEW, Action.AUDIT}),
}
_READING = frozenset({Action.VIEW, Action.AUDIT})


def account_of(user: Caller) -> User:
    """Return the caller as an account; for views that admit accounts only (an anonymous caller was answered 401)."""
    if not isinstance(user, User):
        raise PermissionRefusedError("this takes an account")
    return user


def is_site_auditor(user: Caller) -> bool:
    """True for an active member of the site-wide auditor group; asked once a request."""
    if not isinstance(user, User) or not user.is_active:
        return False
    if user.is_site_auditor is None:
        user.is_site_auditor = user.groups.filter(name=AUDITOR_GROUP).exists()
    return user.is_site_auditor


def project_ids(user: Caller, action: Action = Action.VIEW) -> QuerySet[Any, Any]:
    """Ids of the projects in which the caller may do ``action``, as a subquery."""
    if not user.is_authenticated or not user.is_active:
        return Project.objects.none().values("pk")
    if action in _READING and is_site_auditor(user):
        return Project.objects.values("pk")
    return ProjectUserPermission.objects.filter(
        user_id=user.pk,
        permission__codename=action.value,
        permission__content_type__app_label="projects",
    ).values("content_object_id")


def _lookup(model: type[Model]) -> str | None:
    path: str | None = model.PROJECT_PATH  # type: ignore[attr-defined]
    if path is None:
        return None
    return "pk__in" if path == "self" else f"{path}__in"


def visible(queryset: QuerySet[M], user: Caller) -> QuerySet[M]:
    """Narrow rows to what the caller may see: one subquery, no row a permission."""
    if not user.is_authenticated or not user.is_active:
        return queryset.none()
    lookup = _lookup(queryset.model)
    return queryset if lookup is None else queryset.filter(**{lookup: project_ids(user)})


def get_visible(queryset: QuerySet[M], user: Caller, pk: uuid.UUID | str, *, field: str | None = None) -> M:
    """Return one visible row; NotFoundError otherwise, naming ``field`` where a request field held the id.

    A request field that names what the caller cannot see is a wrong value of the request (400), not a missing page.
    """
    from_field = field is not None
    row = visible(queryset, user).filter(pk=pk).first()
    if row is None:
        name = str(queryset.model._meta.verbose_name)
        error = NotFoundError(f"there is no {name} {pk} that you can see", field=field)
        if from_field:
            error.status = 400
        raise error
    return row


def project_id_of(obj: Model) -> uuid.UUID | None:
    """Id of the project an object belongs to; None for what is site-wide."""
    path: str | None = obj.PROJECT_PATH  # type: ignore[attr-defined]
    if path is None:
        return None
    if path == "self":
        return uuid.UUID(str(obj.pk))
    *steps, last = path.split("__")
    for step in steps:
        obj = getattr(obj, step)
    return uuid.UUID(str(getattr(obj, f"{last}_id")))


def allowed(user: Caller, action: Action, obj: Model) -> bool:
    """True if the caller may do ``action`` in the project of ``obj``."""
    pid = project_id_of(obj)
    if pid is None:
        return bool(user.is_authenticated and user.is_active and (action is Action.VIEW or user.is_staff))
    return bool(Project.objects.filter(pk=pid, pk__in=project_ids(user, action)).exists())


def require(user: Caller, action: Action, obj: Model) -> None:
    """Raise unless the caller may do ``action`` in the project of ``obj``.

    Raises
    ------
    NotFoundError
        The caller cannot even see the object.
    PermissionRefusedError
        The caller sees it and may not do this; the message says which role could.
    """
    if allowed(user, action, obj):
        return
    if action is not Action.VIEW and allowed(user, Action.VIEW, obj):
        roles = sorted(str(role) for role, actions in ROLE_ACTIONS.items() if action in actions)
        raise PermissionRefusedError(f"this takes the role {' or '.join(roles)} in the project")
    raise NotFoundError(f"there is no {obj._meta.verbose_name} {obj.pk} that you can see")


def require_staff(user: Caller) -> None:
    """Raise PermissionRefusedError unless the caller is staff: what is site-wide is written by staff."""
    if not (user.is_authenticated and user.is_active and user.is_staff):
        raise PermissionRefusedError("this is site-wide and written by staff")


def apply_role(user: User, project: Project, role: str | None) -> None:
    """Make guardian's rows for one account and project follow from a role (None: no role)."""
    wanted = ROLE_ACTIONS[role] if role else frozenset()
    for action in Action:
        change = assign_perm if action in wanted else remove_perm
        change(action.value, user, project)


def permission_findings() -> list[str]:
    """Compare guardian's rows with memberships; one line a difference (for ``fsck``)."""
    expected = {
        (membership.user_id, membership.project_id, action.value)
        for project in Project.objects.prefetch_related("memberships")
        for membership in project.memberships.all()
        for action in ROLE_ACTIONS[membership.role]
    }
    rows = ProjectUserPermission.objects.values_list("user_id", "content_object_id", "permission__codename")
    found = set(rows)
    lines = [f"permission missing: user {u} project {p} {c}" for u, p, c in expected - found]
    return sorted(lines + [f"permission without membership: user {u} project {p} {c}" for u, p, c in found - expected])
