"""Every route there is, as the resolver knows it: name, path with its parameters, method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, order=True)
class Route:
    """One method of one address."""

    name: str
    method: str
    pattern: str

    @property
    def key(self) -> str:
        """How the permission matrix names it."""
        return f"{self.method.upper()} {self.name}"


def _methods(callback: Any) -> tuple[str, ...]:
    actions = getattr(callback, "actions", None)
    if actions:
        return tuple(method for method in METHODS if method in actions)
    view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
    if view is not None:
        return tuple(method for method in METHODS if hasattr(view, method))
    allowed = getattr(callback, "allowed_methods", None)
    return tuple(allowed) if allowed else ("get",)


def walk(patterns: list[Any], prefix: str = "", namespace: str = "") -> Iterator[Route]:
    """Yield every named or unnamed route below a list of patterns."""
    for entry in patterns:
        if isinstance(entry, URLResolver):
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from walk(entry.url_patterns, prefix + str(entry.pattern), inner)
        elif isinstance(entry, URLPattern):
            name = f"{namespace}{entry.name or prefix + str(entry.pattern)}"
            for method in _methods(entry.callback):
                yield Route(name, method, prefix + str(entry.pattern))


def all_routes() -> list[Route]:
    """Return every route of the project, sorted, each once."""
    return sorted(set(walk(get_resolver().url_patterns)))
