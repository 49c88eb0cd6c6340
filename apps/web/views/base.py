"""What all pages share: who may enter, and how refusals become pages."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.core.errors import CorrError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.projects.models import User

View = Callable[..., HttpResponseBase]


def translated(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    """Call a view; a refusal becomes the 404 or the 403 page."""
    try:
        return view(request, *args, **kwargs)
    except NotFoundError as error:
        raise Http404(error.message) from error
    except PermissionRefusedError as error:
        raise PermissionDenied(error.message) from error


def page(view: View) -> View:
    """Reading: takes a log-in; what is not visible is a 404 page."""

    @require_safe
    @login_required
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return translated(view, request, *args, **kwargs)

    return wrapped


def form(view: View) -> View:
    """A page with a form of its own: GET shows it, POST takes it; what is not visible is a 404 page."""

    @require_http_methods(["GET", "POST"])
    @login_required
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return translated(view, request, *args, **kwargs)

    return wrapped


def taken(view: View) -> View:
    """A form's action that answers by itself, by a page with what was wrong or by going on; takes a POST alone."""

    @require_POST
    @login_required
    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return translated(view, request, *args, **kwargs)

    return wrapped


def button(back: str) -> Callable[[Callable[..., tuple[str, uuid.UUID]]], View]:
    """A form's action: does one thing through a service, then goes to a page named ``back`` with a message.

    The view returns what to say and the id of the page to go to.  A refusal is said on the page of the form; what
    is not visible is a 404 page, what is not allowed a 403 page.
    """

    def decorate(view: Callable[..., tuple[str, uuid.UUID]]) -> View:
        @require_POST
        @login_required
        @wraps(view)
        def wrapped(request: HttpRequest, pk: uuid.UUID, **kwargs: Any) -> HttpResponseBase:
            return translated(_acted, request, pk, **kwargs)

        def _acted(request: HttpRequest, pk: uuid.UUID, **kwargs: Any) -> HttpResponse:
            try:
                said, pk = view(request, pk, **kwargs)
                messages.success(request, said)
            except (NotFoundError, PermissionRefusedError):
                raise
            except CorrError as error:
                messages.error(request, error.message)
            return redirect(back, pk)

        return wrapped

    return decorate


def moment(text: str, field: str) -> dt.datetime:
    """Return a date and time that was typed, UTC where it names no zone."""
    try:
        typed = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        message = f"{text[:40]!r} is no date and time, e.g. 2024-06-01T09:30"
        raise InvalidValueError(message, field=field) from error
    return typed if typed.tzinfo else typed.replace(tzinfo=dt.UTC)


def account(request: HttpRequest) -> User:
    """The logged-in account."""
    if not isinstance(request.user, User):
        raise PermissionDenied("this page takes a log-in")
    return request.user
