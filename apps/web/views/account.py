"""The account page: names, password, tokens, colours."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from apps.core.errors import CorrError, InvalidValueError, NotFoundError
from apps.projects import selectors as projects
from apps.projects import services
from apps.projects.models import ApiToken, User
from apps.web import selectors
from apps.web.present.fields import Field, errors_of, filled
from apps.web.views.base import account, page, taken

PASSWORD = (
    Field("current", "Current password", "password", required=True, autocomplete="current-password"),
    Field("new", "New password", "password", required=True, autocomplete="new-password"),
    Field("again", "New password again", "password", required=True, autocomplete="new-password"),
)
TOKEN = (
    Field("name", "Name", help="What uses it, e.g. the microscope's PC.", required=True),
    Field(
        "scope",
        "It may",
        "choice",
        value=ApiToken.Scope.READ.value,
        options=((ApiToken.Scope.READ.value, "read"), (ApiToken.Scope.WRITE.value, "read and write")),
        required=True,
    ),
)
_LONGEST_NAME = 100


def _profile_fields(user: User) -> tuple[Field, ...]:
    return (
        Field("first_name", "Given name", value=user.first_name, autocomplete="given-name"),
        Field("last_name", "Family name", value=user.last_name, autocomplete="family-name"),
    )


def _show(request: HttpRequest, status: int = 200, **more: Any) -> HttpResponse:
    user = account(request)
    context: dict[str, Any] = {
        "here": "account",
        "profile_fields": _profile_fields(user),
        "password_fields": PASSWORD,
        "token_fields": TOKEN,
        "tokens": projects.list_tokens(user),
        "memberships": selectors.projects_of(user),
    }
    return render(request, "web/account.html", context | more, status=status)


@page
def account_page(request: HttpRequest) -> HttpResponse:
    """Who I am here, and what acts in my name."""
    return _show(request)


@taken
def profile(request: HttpRequest) -> HttpResponse:
    """Change the names that are shown."""
    user, given = account(request), request.POST
    try:
        services.update_profile(
            actor=user, first_name=given.get("first_name", ""), last_name=given.get("last_name", "")
        )
    except CorrError as error:
        fields = filled(_profile_fields(user), given, errors_of(error, ("first_name", "last_name"))[0])
        return _show(request, 400, profile_fields=fields)
    messages.success(request, "Your names were changed.")
    return redirect("account")


@sensitive_post_parameters("current", "new", "again")
@taken
def password(request: HttpRequest) -> HttpResponse:
    """Take another password; the session that asked stays, the tokens do not."""
    user, given = account(request), request.POST
    try:
        if given.get("new") != given.get("again"):
            raise InvalidValueError("this is not the same as the new password", field="again")
        count = services.change_password(actor=user, current=given.get("current", ""), new=given.get("new", ""))
    except CorrError as error:
        errors, _ = errors_of(error, [field.name for field in PASSWORD])
        return _show(request, 400, password_fields=filled(PASSWORD, {}, errors))
    update_session_auth_hash(request, user)
    revoked = f" {count} token{'s were' if count != 1 else ' was'} revoked." if count else ""
    messages.success(request, f"Your password was changed.{revoked}")
    return redirect("account")


@taken
def make_token(request: HttpRequest) -> HttpResponse:
    """Make a token; its key is on the answer to this request and nowhere else."""
    user, given = account(request), request.POST
    name, scope = given.get("name", "").strip(), given.get("scope", "")
    errors = {}
    if not 0 < len(name) <= _LONGEST_NAME:
        errors["name"] = f"a name has 1 to {_LONGEST_NAME} characters"
    if scope not in ApiToken.Scope.values:
        errors["scope"] = f"{scope!r} is none; read or write"
    if errors:
        return _show(request, 400, token_fields=filled(TOKEN, given, errors))
    token, key = services.issue_token(user=user, name=name, scope=scope)
    answer = _show(request, new_token=token, new_key=key)
    answer["Cache-Control"] = "no-store"
    return answer


@taken
def revoke_token(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Revoke one of my tokens."""
    user = account(request)
    token = projects.list_tokens(user).filter(pk=pk).first()
    if token is None:
        raise NotFoundError(f"there is no token {pk} that you can see")
    services.revoke_token(actor=user, token=token)
    messages.success(request, f"The token {token.name!r} was revoked.")
    return redirect("account")
