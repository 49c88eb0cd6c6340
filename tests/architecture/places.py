"""Checks of place, over source text: what may be called only where it belongs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tests.architecture.sources import Source


@dataclass(frozen=True)
class Place:
    """A sharp thing, the modules that may touch it, and what everybody else uses."""

    thing: str
    allowed: tuple[str, ...]
    instead: str


PLACES = (
    Place("guardian.shortcuts", ("apps.projects.access",), "apps.projects.access"),
    Place("guardian", ("apps.projects.access", "apps.projects.models"), "apps.projects.access"),
    Place("zarr", ("analyses.sdk.omezarr*",), "analyses.sdk.omezarr"),
    Place("tensorstore", ("analyses.sdk.omezarr*",), "analyses.sdk.omezarr"),
    Place("prov", ("apps.provenance", "apps.audit"), "apps.provenance"),
    Place("os.environ", ("corr_project",), "corr_project/env.py, and django.conf.settings below it"),
    Place("os.getenv", ("corr_project",), "corr_project/env.py, and django.conf.settings below it"),
    Place("pickle", (), "JSON, Arrow or Zarr"),
    Place("xml.etree", (), "defusedxml"),
)
# The one place that rings, by the names a task is started with.
RINGERS = ("apps.jobs.dispatch",)
_RING = {"delay", "apply_async", "send_task"}

# Doors let people in; they call services. Selectors read.
DOORS = ("api", "admin", "tasks", "views", "urls", "management", "serializers", "selectors", "templatetags", "forms")
# Besides services: the kernels whose whole purpose is to keep one kind of row true.
KERNELS = ("apps.jobs", "apps.provenance", "apps.projects.access")
# A model's own take no positional argument; `picture.save(file)` and `storage.delete(name)` are something else.
_WRITES_BARE = {"save", "asave", "delete", "adelete"}
_WRITES = {
    "bulk_create", "abulk_create", "bulk_update", "abulk_update",
    "get_or_create", "aget_or_create", "update_or_create", "aupdate_or_create",
}  # fmt: skip
_WRITES_ON_QUERIES = {"create", "acreate", "update", "aupdate"}
_QUERY_WORDS = {"objects", "_default_manager", "_base_manager", "filter", "exclude", "all", "queryset", "qs"}


def _within(name: str, places: tuple[str, ...]) -> bool:
    """Tell whether a dotted name is one of the places or below; a star at a place's end stands for more of its name."""
    return any(
        f"{name}.".startswith(place.removesuffix("*") if place.endswith("*") else f"{place}.") for place in places
    )


def _imported(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield every dotted name that a module imports, with its node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def _dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for an attribute chain of names, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = _dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def out_of_place(source: Source) -> Iterator[str]:
    """Yield uses of a sharp thing outside its place, with what to use instead."""
    tree = ast.parse(source.text)
    used = list(_imported(tree)) + [(_dotted(node), node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    for place in PLACES:
        if _within(source.name, place.allowed):
            continue
        lines = {getattr(node, "lineno", 0) for name, node in used if _within(name, (place.thing,))}
        # An attribute of a local variable may be called `prov`; the library is there only if it was imported.
        if any(_within(name, (place.thing.split(".")[0],)) for name, _ in _imported(tree)):
            yield from (f"{source.name}:{line}: {place.thing}: use {place.instead}" for line in sorted(lines))


def starts_tasks(source: Source) -> Iterator[str]:
    """Yield calls that start a Celery task anywhere but in the one place that rings."""
    if _within(source.name, RINGERS):
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _RING:
            yield f"{source.name}:{node.lineno}: .{node.func.attr}(): ring through {RINGERS[0]}"


def is_service(source: Source) -> bool:
    """Tell whether a module may write rows."""
    if any(part in DOORS for part in source.inside):
        return False
    return bool(source.inside and source.inside[0] == "services") or _within(source.name, KERNELS)


def _writes(node: ast.Call) -> bool:
    """Tell whether a call writes a row: by its name alone, or by its name on something that is a query."""
    if not isinstance(node.func, ast.Attribute):
        return False
    if isinstance(node.func.value, ast.Call) and _dotted(node.func.value.func) == "super":
        return False  # overriding a hook of a library; what it writes is the library's own call
    if node.func.attr in _WRITES or (node.func.attr in _WRITES_BARE and not node.args):
        return True
    names = {getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node.func.value)}
    return node.func.attr in _WRITES_ON_QUERIES and any(name in _QUERY_WORDS or name.endswith("_set") for name in names)


def writes_outside_services(source: Source) -> Iterator[str]:
    """Yield calls that write rows in modules of the apps that are not services."""
    if not source.app.startswith("apps.") or is_service(source):
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Call) and _writes(node):
            yield f"{source.name}:{node.lineno}: {ast.unparse(node)[:70]}: rows are written by services"


CHECKS = (out_of_place, starts_tasks, writes_outside_services)
