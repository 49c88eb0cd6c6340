"""Pages of regions: what covers one, where a stage has to go for it, and what was found there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from apps.catalog.label import qr_svg
from apps.catalog.models import State
from apps.core.errors import CorrError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.projects import access
from apps.projects.models import User
from apps.spatial import services
from apps.spatial.models import Mount, Roi
from apps.spatial.selectors import list_rois, list_transforms
from apps.spatial.targeting import check_surface
from apps.spatial.targeting_stage import StageSenseError, stage_of
from apps.web.places import loop, pictures, regions, targets
from apps.web.present.fields import Field, errors_of, filled, number
from apps.web.present.places import DEFAULT_UNITS, READINGS, UNIT_WORDS, factor_of
from apps.web.views.base import account, page, taken

SEND: Final = (
    Field("reason", "Why this region", "area", wide=True, help="Kept on record with the path that was looked at."),
)
OVERRIDE: Final = (Field("reason", "Why it may be used all the same", "area", required=True, wide=True),)


@page
def region(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One region: what it is, what covers it, where a stage has to go for it."""
    user = account(request)
    row = regions.region(user, pk)
    return render(request, "web/region.html", _context(request, row, request.GET))


def _context(request: HttpRequest, row: Roi, asked: Mapping[str, Any]) -> dict[str, Any]:
    user = account(request)
    found = regions.around(user, row)
    own = pictures.own_images(user, row)
    stale = regions.marks([row.pk])
    context: dict[str, Any] = {
        "region": row,
        "project": row.project,
        "specimen": row.frame.specimen,
        "words": regions.described(row),
        "versions": regions.versions_of(user, row),
        "stale": stale,
        "around": found,
        "own": own,
        "picture": pictures.picture_of(row, own, found.covers, str(asked.get("picture", ""))),
        "found": loop.found_rows(row),
        "sent": loop.sent_rows(row),
        "may_contribute": access.allowed(user, access.Action.CONTRIBUTE, row),
    }
    return context | _targeting(user, row, asked)


def _targeting(user: User, row: Roi, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of the mount that was chosen."""
    mounts = targets.mounts_for(user, row)
    wanted = str(asked.get("mount", ""))
    context: dict[str, Any] = {"mounts": mounts, "mount": None, "files": targets.FILES}
    mount = _chosen(mounts, wanted)
    if mount is None:
        return context
    surface = _surface(user, row, str(asked.get("surface", "")))
    answer = targets.aim(row, mount, surface=surface)
    told = answer if isinstance(answer, targets.Told) else None
    return context | {
        "mount": mount,
        "surface": surface,
        "told": told,
        "refusal": None if told else answer,
        "stage_picture": pictures.on_stage(user, row, told.target) if told else None,
        "past": loop.past_between(user, row, mount),
        "send_fields": SEND,
        "override_fields": OVERRIDE,
        "found_fields": found_fields(mount, told),
    }


def _chosen(mounts: list[Mount], wanted: str) -> Mount | None:
    if not wanted:
        return None
    found = next((mount for mount in mounts if str(mount.pk) == wanted), None)
    if found is None:
        raise Http404("there is no such mount in the project of this region")
    return found


def _surface(user: User, row: Roi, wanted: str) -> Roi | None:
    if not wanted:
        return None
    try:
        found = access.get_visible(list_rois(user), user, uuid.UUID(wanted))
        return check_surface(found, row)
    except (ValueError, InvalidValueError) as error:
        raise Http404("there is no such surface") from error


def found_fields(mount: Mount, told: targets.Told | None) -> list[Field]:
    """Return what is asked of who found the region: the reading in the units of the stage, and its error.

    The fields are empty: a reading that was predicted is not one that was read.
    """
    try:
        units = targets.units_of(stage_of(mount.instrument))[0]
    except StageSenseError:
        units = DEFAULT_UNITS
    predicted = {reading.name: reading for reading in told.readings} if told else {}
    fields = []
    for name, title in READINGS:
        shown = predicted.get(name)
        text = f"Predicted: {shown.text}" if shown and shown.text is not None else ""
        unit = UNIT_WORDS[factor_of(name, units)[1]]
        fields.append(Field(name, title, "number", unit=unit, required=name in ("x", "y", "z"), help=text))
    fields.append(Field("u_um", "Standard error of the reading", "number", unit="µm", help="Along each axis."))
    fields.append(Field("note", "Note", "area", wide=True, help="What was seen there."))
    return fields


# ----------------------------------------------------------------------------------------------------------------- acts


def _mount(user: User, row: Roi, request: HttpRequest) -> Mount:
    found = _chosen(targets.mounts_for(user, row), request.POST.get("mount", ""))
    if found is None:
        raise Http404("choose a mount first")
    return found


def _back(row: Roi, mount: Mount) -> HttpResponse:
    return redirect(f"{reverse('region', args=[row.pk])}?mount={mount.pk}#targeting")


def _refused(
    request: HttpRequest, row: Roi, form: str, fields: Any, error: CorrError, prefixes: tuple[str, ...] = ()
) -> HttpResponse:
    """Show the page again, with what was typed and what was wrong."""
    if isinstance(error, NotFoundError | PermissionRefusedError):
        raise error
    errors, problem = errors_of(error, [field.name for field in fields], prefixes=prefixes)
    context = _context(request, row, request.POST)
    context |= {f"{form}_fields": filled(fields, request.POST, errors), f"{form}_problem": problem}
    return render(request, "web/region.html", context, status=400)


@taken
def send(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Choose the region for the instrument of a mount."""
    user = account(request)
    row = regions.region(user, pk)
    mount = _mount(user, row, request)
    try:
        services.send_roi(actor=user, roi=row, mount=mount, reason=request.POST.get("reason", ""))
    except CorrError as error:
        return _refused(request, row, "send", SEND, error)
    messages.success(request, f"The region was chosen for {mount.instrument.name}; the path is on record.")
    return _back(row, mount)


@taken
def found(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Record where the region was found on the stage."""
    user = account(request)
    row = regions.region(user, pk)
    mount = _mount(user, row, request)
    fields = found_fields(mount, None)
    try:
        position = _reading(request.POST, mount)
        services.record_found(
            actor=user,
            roi=row,
            mount=mount,
            position=position,
            u_um=number(request.POST, "u_um", "The standard error"),
            note=request.POST.get("note", ""),
        )
    except CorrError as error:
        return _refused(request, row, "found", fields, error, ("position.",))
    messages.success(request, "What was found is on record, beside what was predicted.")
    return _back(row, mount)


def _reading(given: Mapping[str, Any], mount: Mount) -> dict[str, float]:
    """Return what was typed, um and degrees; what was left empty is left out."""
    units = targets.units_of(stage_of(mount.instrument))[0]
    typed = {name: number(given, name, title) for name, title in READINGS}
    return {name: value * factor_of(name, units)[0] for name, value in typed.items() if value is not None}


@taken
def override(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Allow a transform on the path to be used in a state for which it does not hold."""
    user = account(request)
    row = regions.region(user, pk)
    mount = _mount(user, row, request)
    transform = access.get_visible(list_transforms(user), user, _id(request, "transform"))
    state = access.get_visible(State.objects.select_related("specimen"), user, _id(request, "state"))
    try:
        services.override_transform(actor=user, transform=transform, state=state, reason=request.POST.get("reason", ""))
    except CorrError as error:
        return _refused(request, row, "override", OVERRIDE, error)
    messages.success(request, "The transform is used all the same from now on; the reason stands in every answer.")
    return _back(row, mount)


def _id(request: HttpRequest, name: str) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get(name, ""))
    except ValueError as error:
        raise Http404(f"there is no such {name}") from error


# ---------------------------------------------------------------------------------------------------------------- sheet


@page
def sheet(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One page to print and take to the instrument: where to drive, how sure that is, room for what was found."""
    user = account(request)
    row = regions.region(user, pk)
    context: dict[str, Any] = {"region": row, "project": row.project, "specimen": row.frame.specimen}
    context |= {"words": regions.described(row)}
    context |= _targeting(user, row, request.GET)
    if context["mount"] is None:
        raise Http404("name the mount: ?mount=<id>")
    address = request.build_absolute_uri(reverse("region", args=[row.pk]))
    around = regions.around(user, row)
    picture = pictures.picture_of(row, pictures.own_images(user, row), around.covers)
    context |= {
        "address": address,
        "code": qr_svg(address),
        "pictures": [found for found in (picture, context["stage_picture"]) if found is not None],
        "blanks": [(field.label, field.unit) for field in context["found_fields"] if field.kind == "number"],
        "printed_at": timezone.now(),
    }
    return render(request, "web/region_sheet.html", context)
