"""The page of a transform, and what is decided there: accepted, withdrawn, used all the same."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.catalog import selectors as catalog
from apps.catalog.models import State
from apps.core.errors import CorrError, NotFoundError, PermissionRefusedError
from apps.projects import access
from apps.spatial import services
from apps.spatial.models import Transform
from apps.spatial.selectors import list_transforms
from apps.web.places import regions, transforms
from apps.web.present.fields import Field, errors_of, filled
from apps.web.views.base import account, page, taken

WITHDRAW: Final = (Field("reason", "Why it is withdrawn", "area", required=True, wide=True),)


def _accept_fields(row: Transform, standing: Transform | None) -> tuple[Field, ...]:
    fields = [Field("reason", "Why it is believed", "area", wide=True)]
    if row.residual_um is None and not row.no_residual_reason:
        fields.append(Field("no_residual_reason", "Why it is accepted without a residual", required=True, wide=True))
    if standing is not None:
        fields.append(
            Field("replaces", "Take the place of the transform that is accepted now", "check", value=False, wide=True)
        )
    return tuple(fields)


def _override_fields(rows: list[transforms.StateRow]) -> tuple[Field, ...]:
    options = [
        (str(row.state.pk), f"{row.state.specimen.name}, state {row.state.number}: {row.state.label}")
        for row in rows
        if not row.holds and not row.override
    ]
    if not options:
        return ()
    return (
        Field("state", "In which state", "choice", options=options, required=True),
        Field("reason", "Why it may be used all the same", "area", required=True, wide=True),
    )


def _context(request: HttpRequest, row: Transform) -> dict[str, Any]:
    user = account(request)
    pairs = transforms.pair_rows(row)
    states = transforms.state_rows(row)
    errors, factor = transforms.errors_of(row)
    standing = transforms.standing_of(row)
    held, agrees = transforms.held_out_words(row)
    may = access.allowed(user, access.Action.CONTRIBUTE, row)
    return {
        "transform": row,
        "project": row.project,
        "specimen": row.source.specimen or row.target.specimen,
        "stale": regions.marks([row.pk]),
        "ends": transforms.images_of(row, user),
        "parts": transforms.decomposition_words(row),
        "pairs": pairs,
        "plot": transforms.residual_plot(row, pairs),
        "check": transforms.residual_check(row),
        "held": held,
        "held_agrees": agrees,
        "errors": errors,
        "factor": factor,
        "states": states,
        "loops": transforms.loop_rows(row),
        "decisions": transforms.decisions_of(row),
        "resting": transforms.resting_on(row.pk, user),
        "standing": standing,
        "may_contribute": may,
        "may_withdraw": may and row.status != Transform.Status.WITHDRAWN and row.calibration_id is None,
        "accept_fields": _accept_fields(row, standing) if row.status == Transform.Status.CANDIDATE else (),
        "withdraw_fields": WITHDRAW,
        "override_fields": _override_fields(states) if row.status == Transform.Status.ACCEPTED else (),
    }


@page
def transform(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One transform: what it does, how well it fits, who decided what, what rests on it."""
    row = transforms.transform(account(request), pk)
    return render(request, "web/transform.html", _context(request, row))


def _refused(request: HttpRequest, pk: uuid.UUID, form: str, error: CorrError) -> HttpResponse:
    """Show the page again as it is now, with what was typed and what was wrong."""
    if isinstance(error, NotFoundError | PermissionRefusedError):
        raise error
    context = _context(request, transforms.transform(account(request), pk))
    fields = context[f"{form}_fields"]
    errors, problem = errors_of(error, [field.name for field in fields])
    context |= {f"{form}_fields": filled(fields, request.POST, errors), f"{form}_problem": problem}
    return render(request, "web/transform.html", context, status=400)


@taken
def accept(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Accept a candidate, in the place of the one that stands if the form says so."""
    user = account(request)
    row = transforms.transform(user, pk)
    try:
        services.accept_transform(
            actor=user,
            transform=row,
            reason=request.POST.get("reason", ""),
            no_residual_reason=request.POST.get("no_residual_reason", ""),
            replaces=_replaced(request, row),
        )
    except CorrError as error:
        return _refused(request, pk, "accept", error)
    messages.success(request, "Accepted. From now on places are mapped along it.")
    return redirect("transform", pk)


def _replaced(request: HttpRequest, row: Transform) -> Transform | None:
    """Return the transform that the form was shown with, if its place is to be taken: who did not see it keeps it."""
    if not request.POST.get("replaces"):
        return None
    try:
        key = uuid.UUID(request.POST.get("standing", ""))
    except ValueError as error:
        raise Http404("there is no such transform") from error
    return access.get_visible(list_transforms(account(request)), account(request), key)


@taken
def withdraw(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Withdraw a transform with the reason; everything that rests on it is marked as stale."""
    user = account(request)
    row = transforms.transform(user, pk)
    try:
        stale = services.withdraw_transform(actor=user, transform=row, reason=request.POST.get("reason", ""))
    except CorrError as error:
        return _refused(request, pk, "withdraw", error)
    count = len(catalog.visible_things(stale, user))
    messages.success(request, f"Withdrawn. {count} thing{'s' if count != 1 else ''} went stale.")
    return redirect("transform", pk)


@taken
def override(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Allow an accepted transform to be used in a state for which it does not hold."""
    user = account(request)
    row = transforms.transform(user, pk)
    try:
        key = uuid.UUID(request.POST.get("state", ""))
    except ValueError as error:
        raise Http404("there is no such state") from error
    state = access.get_visible(State.objects.select_related("specimen"), user, key)
    try:
        services.override_transform(actor=user, transform=row, state=state, reason=request.POST.get("reason", ""))
    except CorrError as error:
        return _refused(request, pk, "override", error)
    messages.success(request, "It is used all the same from now on; the reason stands in every answer.")
    return redirect("transform", pk)
