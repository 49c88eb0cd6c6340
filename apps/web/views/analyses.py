"""Running an analysis from an image: which ones take it, the form of one, its cost, its submission."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.analysis import selectors as plugins
from apps.analysis import services
from apps.core.errors import CorrError, NotFoundError, PermissionRefusedError
from apps.imaging.models import Image
from apps.projects import access
from apps.projects.models import User
from apps.web import choices, selectors
from apps.web.present import schema
from apps.web.present.fields import Field, errors_of, filled
from apps.web.views.base import account, form, page

Plugin = dict[str, Any]
_PREFIXES = ("params.", "inputs.")


@page
def choose(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The analyses that take this image, and why the others do not."""
    user = account(request)
    row = selectors.image(user, pk)
    takes = [(plugin, choices.why_not(plugin, row)) for plugin in plugins.list_plugins()]
    context = {
        "image": row,
        "fitting": [plugin for plugin, reason in takes if not reason],
        "others": [(plugin, reason) for plugin, reason in takes if reason],
    }
    return render(request, "web/analyses.html", context)


@form
def run(request: HttpRequest, pk: uuid.UUID, name: str) -> HttpResponse:
    """The form of one analysis over this image; ``do`` says whether to look at the cost or to run it."""
    user = account(request)
    row = selectors.image(user, pk)
    if request.method == "POST":
        access.require(user, access.Action.CONTRIBUTE, row)
    plugin = plugins.get_plugin(name)
    if plugin is None:
        raise Http404(f"there is no analysis {name!r}")
    main = choices.main_port(plugin)
    if main is None or choices.why_not(plugin, row):
        raise Http404(f"{name} does not take this image")
    if request.method == "GET":
        return _show(request, user, row, plugin, {}, {})
    return _take(request, user, row, plugin)


def _take(request: HttpRequest, user: User, row: Image, plugin: Plugin) -> HttpResponse:
    lists = {name: request.POST.getlist(name) for name in request.POST}
    given = _given(lists)
    try:
        params = schema.params_of(plugin["params"], lists, choices.labels_of(row))
        inputs = _inputs(plugin, row, given)
        asked: dict[str, Any] = {"actor": user, "project": row.project, "plugin": plugin["name"]}
        if request.POST.get("do") == "estimate":
            estimate = services.estimate(**asked, params=params, inputs=inputs)
            return _show(request, user, row, plugin, given, {}, estimate=estimate)
        job, new = services.submit(**asked, params=params, inputs=inputs)
    except PermissionRefusedError:
        raise
    except NotFoundError as error:
        if error.field is None:
            raise
        return _refused(request, user, row, plugin, given, error)
    except CorrError as error:
        return _refused(request, user, row, plugin, given, error)
    if not new:
        messages.info(request, "The same was asked for before; this is that job.")
    return redirect("job", job.pk)


def _refused(
    request: HttpRequest, user: User, row: Image, plugin: Plugin, given: dict[str, Any], error: CorrError
) -> HttpResponse:
    names = [*plugin["params"].get("properties", {}), *(f"in-{port['name']}" for port in plugin["inputs"])]
    labels = choices.labels_of(row) if schema.has_phases(plugin["params"]) else []
    for label in labels:
        names += [f"phases.{label}", *(f"phases.{label}.{part}" for part in ("material", "k", "u", "source"))]
    for port in plugin["inputs"]:  # the form names ports apart from parameters
        if f"inputs.{port['name']}" in error.errors:
            error.field_errors = {f"in-{port['name']}": error.errors[f"inputs.{port['name']}"]}
    errors, problem = errors_of(error, names, prefixes=_PREFIXES)
    said = problem if problem != error.message or not errors else ""
    return _show(request, user, row, plugin, given, errors, problem=said, status=400)


def _given(lists: dict[str, list[str]]) -> dict[str, Any]:
    return {name: values[-1] if values else "" for name, values in lists.items()} | {"__lists__": lists}


def _inputs(plugin: Plugin, row: Image, given: dict[str, Any]) -> dict[str, Any]:
    main = choices.main_port(plugin)
    inputs: dict[str, Any] = {main["name"]: str(row.pk)} if main else {}
    for port in plugin["inputs"]:
        chosen = str(given.get(f"in-{port['name']}", "")).strip()
        if chosen and port["name"] not in inputs:
            inputs[port["name"]] = [chosen] if port["many"] else chosen
    return inputs


def _show(
    request: HttpRequest,
    user: User,
    row: Image,
    plugin: Plugin,
    given: dict[str, Any],
    errors: dict[str, str],
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    described = plugin["params"]
    context: dict[str, Any] = {
        "image": row,
        "plugin": plugin,
        "main": choices.main_port(plugin),
        "inputs": _ports(plugin, row, user, given, errors),
        "fields": _fields(described, given, errors),
        "phases": _phases(described, row, given, errors),
        "phase_problem": errors.get("phases", ""),
    }
    return render(request, "web/run.html", context | more, status=status)


def _fields(described: dict[str, Any], given: dict[str, Any], errors: dict[str, str]) -> list[Field]:
    lists = given.get("__lists__", {})
    plain = schema.fields_of(described)
    typed = {
        field.name: lists.get(field.name, []) if field.kind == "checks" else lists.get(field.name, [""])[-1]
        for field in plain
        if lists
    }
    return filled(plain, typed, errors)


def _phases(
    described: dict[str, Any], row: Image, given: dict[str, Any], errors: dict[str, str]
) -> list[schema.PhaseRow]:
    if not schema.has_phases(described):
        return []
    return schema.phase_rows(choices.labels_of(row), choices.materials(), given, errors)


def _ports(plugin: Plugin, row: Image, user: User, given: dict[str, Any], errors: dict[str, str]) -> list[Field]:
    """Return a choice for every further input that can be given by an image."""
    main = choices.main_port(plugin)
    found = []
    for port in plugin["inputs"]:
        if port is main or port["type"] not in ("image", "labels"):
            continue
        name, options, default = f"in-{port['name']}", *choices.images_for(port, row, user)
        found.append(
            Field(
                name,
                f"Input: {port['name'].replace('_', ' ')}",
                "choice",
                given.get(name, default),
                schema.sentence(port["description"]),
                required=port["required"],
                options=(("", "none"), *options),
                error=errors.get(name, ""),
            )
        )
    return found
