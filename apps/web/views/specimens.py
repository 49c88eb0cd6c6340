"""The specimen page, and the form of what was done to a specimen."""

from __future__ import annotations

import re
import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.catalog import services
from apps.catalog.models import SpecimenEvent
from apps.core.errors import CorrError, InvalidValueError
from apps.projects import access
from apps.web import selectors
from apps.web.present.fields import Field, errors_of, filled
from apps.web.present.ladder import ladder
from apps.web.present.trees import tree
from apps.web.views.base import account, form, moment, page

_CONDITION = re.compile(r"^\s*(?P<name>[^=]+?)\s*=\s*(?P<value>[-+0-9.,eE]+)\s+(?P<unit>\S+)\s*$")
EVENT = (
    Field("kind", "What was done", "choice", options=tuple(SpecimenEvent.Kind.choices), required=True),
    Field("occurred_at", "When (UTC)", "moment", required=True),
    Field("performed_by", "By whom", help="A person's name. It is not taken to be you."),
    Field(
        "conditions", "Conditions", "area", help="One a line: temperature = 22 Cel. Units are UCUM codes.", wide=True
    ),
    Field("note", "Note", "area", wide=True),
)


@page
def specimen(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One specimen: its tree, its states, its images on the scale ladder, its numbers."""
    user = account(request)
    row = selectors.specimen(user, pk)
    images = selectors.images_of(row)
    context = {
        "specimen": row,
        "tree": tree(selectors.tree_rows(row), row.pk),
        "states": selectors.states_of(row),
        "ladder": ladder(images),
        "image_limit": selectors.IMAGE_LIMIT if len(images) == selectors.IMAGE_LIMIT else None,
        "numbers": selectors.numbers_of(row),
        "may_contribute": access.allowed(user, access.Action.CONTRIBUTE, row),
    }
    context |= selectors.regions_of(user, specimen=row)
    return render(request, "web/specimen.html", context)


@form
def add_event(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record what was done to a specimen; it opens the next state."""
    user = account(request)
    row = selectors.specimen(user, pk)
    context: dict[str, Any] = {
        "specimen": row,
        "project": row.project,
        "title": "Record an event",
        "verb": "Record it",
        "words": "What was done to the specimen opens a new state of it; what is measured afterwards belongs to that.",
        "back": reverse("specimen", args=[row.pk]),
    }
    if request.method == "GET":
        return render(request, "web/form.html", context | {"fields": EVENT})
    access.require(user, access.Action.CONTRIBUTE, row)
    given = {field.name: request.POST.get(field.name, "") for field in EVENT}
    try:
        services.record_event(
            actor=user,
            specimen=row,
            kind=given["kind"],
            occurred_at=moment(given["occurred_at"], "occurred_at"),
            performed_by=given["performed_by"],
            conditions=_conditions(given["conditions"]),
            note=given["note"],
        )
    except CorrError as error:
        errors, problem = errors_of(error, given)
        context |= {"fields": filled(EVENT, given, errors), "problem": "" if errors else problem}
        return render(request, "web/form.html", context, status=400)
    messages.success(request, "The event was recorded, and a new state opened.")
    return redirect("specimen", row.pk)


def _conditions(text: str) -> dict[str, Any]:
    """Return name -> {value, unit} of lines such as ``temperature = 22 Cel``."""
    found: dict[str, Any] = {}
    for line in filter(str.strip, text.splitlines()):
        parts = _CONDITION.match(line)
        try:
            if parts is None:
                raise ValueError
            value = float(parts["value"].replace(",", "."))
        except ValueError as error:
            message = f"{line[:60]!r} is not of the form: name = value unit"
            raise InvalidValueError(message, field="conditions") from error
        found[parts["name"].strip().replace(" ", "_")] = {"value": value, "unit": parts["unit"]}
    return found
