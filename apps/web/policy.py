"""Content security policy of the admin, whose pages need more than ours."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

# unfold's menus are Alpine.js expressions in attributes; Alpine turns them into functions by evaluating text.
ADMIN = {"script-src": ["'self'", "'unsafe-eval'"]}


class AdminPolicyMiddleware:
    """Lets scripts evaluate text on the admin's pages, and nowhere else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Mark the answer for the policy's own middleware, which stands outside this one."""
        response = self.get_response(request)
        if request.path.startswith(reverse("admin:index")):
            response._csp_update = ADMIN  # type: ignore[attr-defined]
        return response
