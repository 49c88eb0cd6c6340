"""Who calls."""

from __future__ import annotations

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from apps.projects.models import User


def caller(request: Request) -> User:
    """The account of a request; 401 without one."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
