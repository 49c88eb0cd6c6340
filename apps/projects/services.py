"""Changes to accounts, projects and memberships."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid

from axes.utils import reset
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from apps.core.errors import ConflictError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.projects import access, lockout
from apps.projects.models import ApiToken, Membership, Project, Role, User
from apps.projects.selectors import key_digest
from apps.provenance import record

_USED_RESOLUTION = dt.timedelta(minutes=1)
_MAX_NAME = 150


def create_user(
    *, username: str, password: str, email: str = "", is_staff: bool = False, is_superuser: bool = False
) -> User:
    """Make an account; the password is stored as a hash only."""
    if User.objects.filter(username=username).exists():
        raise ConflictError(f"an account {username!r} exists already", field="username")
    user = User(username=username, email=email, is_staff=is_staff, is_superuser=is_superuser)
    user.set_password(password)
    user.save()
    return user


def check_credentials(*, request: HttpRequest, username: str, password: str) -> User | None:
    """Return the active account the password fits, at a cost that does not tell whether the name exists.

    A failure is counted against name and address; after too many the password is not looked at any more, and the
    answer to ``request`` becomes the refusal of ``lockout``.
    """
    user = authenticate(request, username=username, password=password)
    if not isinstance(user, User):
        return None
    reset(ip=lockout.client_address(request), username=username)  # no session is opened, so axes does not hear of it
    return user


def change_password(*, actor: User, current: str, new: str) -> int:
    """Give an account another password, and revoke its tokens: who knew the old one may have made some.

    Returns
    -------
    int
        How many tokens were revoked.

    Raises
    ------
    InvalidValueError
        The current password does not fit, or the new one is refused by the installation's rules.
    """
    if not actor.check_password(current):
        raise InvalidValueError("this is not the current password", field="current")
    if new == current:
        raise InvalidValueError("the new password is the current one", field="new")
    try:
        validate_password(new, actor)
    except ValidationError as error:
        raise InvalidValueError(" ".join(error.messages), field="new") from error
    open_tokens = ApiToken.objects.filter(user=actor, revoked_at=None)
    count = open_tokens.count()
    with record.act("change_password", actor=actor, project=None, attributes={"corr:tokensRevoked": count}):
        actor.set_password(new)
        actor.save(update_fields=["password"])
        open_tokens.update(revoked_at=timezone.now())
    return count


def update_profile(*, actor: User, first_name: str, last_name: str) -> User:
    """Change the names that an account shows.

    The address is not changed here: a provider's log-in may lead to the account that has it.
    """
    for field, name in (("first_name", first_name), ("last_name", last_name)):
        if len(name.strip()) > _MAX_NAME:
            raise InvalidValueError(f"a name has {_MAX_NAME} characters at most", field=field)
    actor.first_name, actor.last_name = first_name.strip(), last_name.strip()
    actor.save(update_fields=["first_name", "last_name"])
    return actor


def issue_token(*, user: User, name: str = "", scope: str = ApiToken.Scope.WRITE) -> tuple[ApiToken, str]:
    """Make a token for an account; the key is returned once and stored as sha256 only."""
    key = secrets.token_urlsafe(32)
    token = ApiToken.objects.create(user=user, name=name or "token", scope=scope, key_sha256=key_digest(key))
    return token, key


def note_token_use(*, token: ApiToken) -> None:
    """Keep when a token was last used, to the minute: most requests write nothing."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _USED_RESOLUTION:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


def revoke_token(*, actor: User, token: ApiToken) -> ApiToken:
    """Revoke one of the caller's own tokens; revoking twice changes nothing."""
    if token.user_id != actor.pk:
        raise NotFoundError(f"there is no token {token.pk} that you can see")
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
    return token


def create_project(
    *,
    actor: User,
    name: str,
    description: str = "",
    licence: str = "",
    embargo: dt.date | None = None,
    retention: str = "",
) -> Project:
    """Make a project; its maker becomes manager.  Any account may."""
    if not name.strip():
        raise InvalidValueError("a project needs a name", field="name")
    project = Project(
        name=name.strip(),
        description=description,
        licence=licence,
        embargo=embargo,
        retention=retention,
        created_by=actor,
    )
    with record.act("create_project", actor=actor, project=project.pk) as act:
        project.save()
        act.created(project, attributes={"licence": licence}, erasable={"name": project.name})
        _write_role(actor, project, Role.MANAGER)
        act.created(Membership.objects.get(project=project, user=actor), attributes=_role_facts(actor, Role.MANAGER))
    return project


def _role_facts(user: User, role: str) -> dict[str, str]:
    return {"user": str(user.pk), "role": str(role)}


def _write_role(user: User, project: Project, role: str) -> Membership:
    membership, _ = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
    access.apply_role(user, project, role)
    return membership


def _lock_project(project: Project) -> None:
    """Serialise changes of one project's members, so that two demotions cannot leave it without a manager."""
    Project.objects.select_for_update().get(pk=project.pk)


def set_member(*, actor: User, project: Project, username: str, role: str) -> Membership:
    """Give an account a role in a project, or another role.

    Raises
    ------
    InvalidValueError
        No such account, or no such role.
    ConflictError
        The change would leave the project without a manager.
    """
    access.require(actor, access.Action.MANAGE, project)
    if role not in Role.values:
        raise InvalidValueError(f"{role!r} is no role; roles are {', '.join(Role.values)}", field="role")
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise InvalidValueError(f"there is no active account {username!r}", field="username")
    with record.act("set_member", actor=actor, project=project.pk) as act:
        _lock_project(project)
        former = Membership.objects.filter(project=project, user=user).first()
        if former is not None and former.role == Role.MANAGER and role != Role.MANAGER:
            _refuse_last_manager(project, user)
        former_role = former.role if former else None
        membership = _write_role(user, project, role)
        if former is None:
            act.created(membership, attributes=_role_facts(user, role))
        else:
            act.changed(membership, before={"role": former_role}, after={"role": role})
    return membership


def _refuse_last_manager(project: Project, user: User) -> None:
    if not Membership.objects.filter(project=project, role=Role.MANAGER).exclude(user=user).exists():
        raise ConflictError("a project keeps at least one manager; name another one first", field="role")


def break_glass(*, actor: User, project_id: uuid.UUID, reason: str) -> Membership:
    """Let a superuser read one project that they are no member of; the record says who and why.

    They become auditor of the project, visible to its members, until a manager ends it.

    Raises
    ------
    PermissionRefusedError
        The caller is no superuser.
    NotFoundError
        There is no such project.
    ConflictError
        The caller is a member already.
    """
    if not (actor.is_superuser and actor.is_active):
        raise PermissionRefusedError("only a superuser can break the glass")
    if not reason.strip():
        raise InvalidValueError("say why the project must be read", field="reason")
    project = Project.objects.filter(pk=project_id).first()
    if project is None:
        raise NotFoundError(f"there is no project {project_id}")
    with record.act("break_glass", actor=actor, project=project.pk, reason=reason) as act:
        _lock_project(project)
        if Membership.objects.filter(project=project, user=actor).exists():
            raise ConflictError("you are a member of this project already")
        membership = _write_role(actor, project, Role.AUDITOR)
        act.created(membership, attributes=_role_facts(actor, Role.AUDITOR) | {"corr:breakGlass": True})
    return membership


def set_site_auditor(*, username: str, member: bool, reason: str) -> User:
    """Put an account into the site-wide auditor group, which reads every project, or take it out.

    Called by who administers the machine (``manage.py site_auditor``); the record says why, for the whole site.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise InvalidValueError(f"there is no active account {username!r}", field="username")
    if not reason.strip():
        raise InvalidValueError("say why", field="reason")
    verb = "add_site_auditor" if member else "remove_site_auditor"
    with record.act(verb, actor=None, project=None, reason=reason) as act:
        group, _ = Group.objects.get_or_create(name=access.AUDITOR_GROUP)
        if member:
            user.groups.add(group)
        else:
            user.groups.remove(group)
        act.associated(user, role="site auditor")
    return user


def remove_member(*, actor: User, membership: Membership, reason: str = "") -> None:
    """End a membership; who has left sees nothing any more.  The record stays."""
    project = membership.project
    access.require(actor, access.Action.MANAGE, project)
    with record.act("remove_member", actor=actor, project=project.pk, reason=reason or None) as act:
        _lock_project(project)
        current = Membership.objects.select_related("user").filter(pk=membership.pk).first()  # as it is under the lock
        if current is None:
            raise NotFoundError(f"there is no member {membership.pk} in this project")
        if current.role == Role.MANAGER:
            _refuse_last_manager(project, current.user)
        act.invalidated(current, reason=reason or "membership ended")
        access.apply_role(current.user, project, None)
        current.delete()


def update_project(*, actor: User, project: Project, **changes: object) -> Project:
    """Change name, description, licence, embargo or retention; what it was stays in the record."""
    access.require(actor, access.Action.MANAGE, project)
    if "name" in changes and not str(changes["name"]).strip():
        raise InvalidValueError("a project needs a name", field="name")
    with record.act("update_project", actor=actor, project=project.pk) as act:
        locked = Project.objects.select_for_update().get(pk=project.pk)
        before = {name: _plain(getattr(locked, name)) for name in changes if name not in _FREE_WORDS}
        after = {name: _plain(value) for name, value in changes.items() if name not in _FREE_WORDS}
        words = {name: str(value) for name, value in changes.items() if name in _FREE_WORDS}
        for name, value in changes.items():
            setattr(locked, name, value)
        locked.save(update_fields=list(changes))
        act.changed(locked, before=before, after=after, erasable=words)
    return locked


_FREE_WORDS = frozenset({"name", "description", "retention"})  # may name people: erasable beside the record


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, dt.date) else value
