"""The one door for people: allauth's log-in, with the field names that the page always had."""

from __future__ import annotations

from typing import Any

from allauth.account.views import LoginView
from django.conf import settings
from django.http import QueryDict


class LogIn(LoginView):
    """Name and password; failures are counted by axes, see ``apps.projects.lockout``."""

    template_name = "web/login.html"
    http_method_names = ("get", "head", "post", "options")

    def get_form_kwargs(self) -> dict[str, Any]:
        """Hand allauth the name under its own field's name."""
        kwargs: dict[str, Any] = super().get_form_kwargs()
        if isinstance(kwargs.get("data"), QueryDict):
            data = kwargs["data"].copy()
            data["login"] = data.get("username", "")
            kwargs["data"] = data
        return kwargs

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add where to go afterwards, and the provider that may be used instead."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return context | {
            "next": self.get_next_url() or "",
            "oidc": settings.CORR_OIDC,
            "typed_name": self.request.POST.get("username", ""),
        }
