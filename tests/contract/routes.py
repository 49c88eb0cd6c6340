"""Every route there is, as the resolver knows it: address with its parameters, method."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

METHODS = ("get", "post", "put", "patch", "delete")
_GROUP = re.compile(r"\(\?P<(\w+)>[^()]*\)")
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
# Pages of the admin that show a form; the others are looked at only.
_ADMIN_FORMS = ("/add/", "/change/", "/delete/", "/login/", "/logout/", "/password_change/")


@dataclass(frozen=True, order=True)
class Route:
    """One method of one address, e.g. GET of ``/api/v1/images/{pk}/``."""

    path: str
    method: str

    @property
    def key(self) -> str:
        """How the permission matrix names it."""
        return f"{self.method.upper()} {self.path}"

    @property
    def is_api(self) -> bool:
        return self.path.startswith("/api/v1/")

    @property
    def is_admin(self) -> bool:
        return self.path.startswith("/admin/")


def _required_methods(view: Any) -> list[str] | None:
    """Return the methods that ``require_http_methods`` admits for a function, wherever it stands among decorators."""
    while view is not None:
        if inspect.isfunction(view) and "request_method_list" in view.__code__.co_freevars:
            admitted: list[str] = inspect.getclosurevars(view).nonlocals["request_method_list"]
            return admitted
        view = getattr(view, "__wrapped__", None)
    return None


def _methods(callback: Any, path: str) -> tuple[str, ...]:
    actions = getattr(callback, "actions", None)
    if actions:
        return tuple(method for method in METHODS if method in actions)
    if path.startswith("/admin/"):
        return ("get", "post") if path.endswith(_ADMIN_FORMS) else ("get",)
    view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
    if view is not None:
        named = [method.lower() for method in view.http_method_names]
        return tuple(method for method in METHODS if method in named and hasattr(view, method))
    required = _required_methods(callback)
    return tuple(method for method in METHODS if required is None or method.upper() in required)


def template(pattern: str) -> str:
    """Write an address with its parameters in braces."""
    plain = _CONVERTER.sub(r"{\1}", _GROUP.sub(r"{\1}", pattern))
    return "/" + plain.replace("^", "").replace("$", "").replace("\\Z", "")


def walk(patterns: list[Any], prefix: str = "") -> Iterator[Route]:
    """Yield every route below a list of patterns."""
    for entry in patterns:
        if isinstance(entry, URLResolver):
            yield from walk(entry.url_patterns, prefix + str(entry.pattern))
        elif isinstance(entry, URLPattern):
            path = template(prefix + str(entry.pattern))
            for method in _methods(entry.callback, path):
                yield Route(path, method)


def all_routes() -> list[Route]:
    """Return every route of the project, sorted, each once."""
    return sorted(set(walk(get_resolver().url_patterns)))
