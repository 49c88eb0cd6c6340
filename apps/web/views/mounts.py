"""Forms of mounts: a specimen put on a stage, and taken off it."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from apps.catalog.models import Instrument
from apps.catalog.selectors import list_instruments
from apps.core.errors import CorrError
from apps.projects import access
from apps.projects.models import User
from apps.spatial import services
from apps.spatial.selectors import list_mounts
from apps.web import selectors
from apps.web.present.fields import Field, errors_of, filled
from apps.web.views.base import account, form, moment

END: Final = (Field("unmounted_at", "When it came off (UTC)", "moment", required=True),)


def _fields(user: User) -> tuple[Field, ...]:
    rows = list_instruments(user).order_by("name").values_list("pk", "name")
    options = (("", "Choose one"), *((str(pk), name) for pk, name in rows))
    return (
        Field("instrument", "On the stage of", "choice", options=options, required=True),
        Field("mounted_at", "When (UTC)", "moment", required=True),
        Field("holder", "Holder"),
        Field("note", "Note", "area", wide=True),
    )


@form
def add(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record that a specimen is on a stage; opens the stage frame of the mount."""
    user = account(request)
    row = selectors.specimen(user, pk)
    fields = _fields(user)
    context: dict[str, Any] = {
        "specimen": row,
        "project": row.project,
        "title": "Record a mount",
        "verb": "Record it",
        "words": "A specimen on a stage, from when on. Stage positions mean something within one mount only.",
        "back": reverse("specimen-frames", args=[row.pk]),
    }
    if request.method == "GET":
        return render(request, "web/form.html", context | {"fields": fields})
    access.require(user, access.Action.CONTRIBUTE, row)
    try:
        services.create_mount(
            actor=user,
            specimen=row,
            instrument=access.get_visible(Instrument.objects.all(), user, _key(request), field="instrument"),
            mounted_at=moment(request.POST.get("mounted_at", ""), "mounted_at"),
            holder=request.POST.get("holder", ""),
            note=request.POST.get("note", ""),
        )
    except CorrError as error:
        errors, problem = errors_of(error, [field.name for field in fields])
        context |= {"fields": filled(fields, request.POST, errors), "problem": "" if errors else problem}
        return render(request, "web/form.html", context, status=400)
    messages.success(request, "The mount was recorded, and its stage frame opened.")
    return redirect("specimen-frames", row.pk)


def _key(request: HttpRequest) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get("instrument", ""))
    except ValueError:
        return uuid.UUID(int=0)  # of nothing: refused by name


@form
def end(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record when a specimen came off a stage; its readings mean nothing from then on."""
    user = account(request)
    row = access.get_visible(list_mounts(user).select_related("specimen__project", "instrument"), user, pk)
    context: dict[str, Any] = {
        "specimen": row.specimen,
        "project": row.specimen.project,
        "title": f"Off the stage of {row.instrument.name}",
        "verb": "Record it",
        "words": "From then on nothing is targeted in this mount: a new mount has a stage frame of its own.",
        "back": reverse("specimen-frames", args=[row.specimen_id]),
    }
    if request.method == "GET":
        return render(request, "web/form.html", context | {"fields": END})
    access.require(user, access.Action.CONTRIBUTE, row)
    try:
        services.end_mount(
            actor=user, mount=row, unmounted_at=moment(request.POST.get("unmounted_at", ""), "unmounted_at")
        )
    except CorrError as error:
        errors, problem = errors_of(error, ["unmounted_at"])
        context |= {"fields": filled(END, request.POST, errors), "problem": "" if errors else problem}
        return render(request, "web/form.html", context, status=400)
    messages.success(request, "The mount has ended.")
    return redirect("specimen-frames", row.specimen_id)
