"""What the frame around every page needs: the projects to switch to."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from apps.projects.models import User
from apps.web import selectors


def frame(request: HttpRequest) -> dict[str, Any]:
    """Give templates ``switch_projects``, asked for only by a page that draws the frame."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or request.path.startswith(("/api/", "/admin/")):
        return {}
    return {"switch_projects": SimpleLazyObject(lambda: selectors.switchable(user))}
