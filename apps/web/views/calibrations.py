"""Pages of calibrations: which scale of which instrument holds, until when, and what rests on it."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from apps.catalog import selectors as catalog
from apps.catalog import services
from apps.catalog.models import Calibration
from apps.core.errors import CorrError, PermissionRefusedError
from apps.imaging.models import Image
from apps.projects import access
from apps.results.models import Property
from apps.web.places import transforms
from apps.web.present.fields import Field, errors_of, filled
from apps.web.selectors import marked
from apps.web.views.base import account, page, taken

_SOON = dt.timedelta(days=30)
_SHOWN = 100
REASON = (Field("reason", "Why it is withdrawn", "area", required=True, wide=True),)


@dataclass(frozen=True)
class Standing:
    """How a calibration stands today: a word, and whether it needs looking at."""

    word: str
    css: str


def standing(row: Calibration, today: dt.date) -> Standing:
    """Return how a calibration stands on a day."""
    if row.status == Calibration.Status.WITHDRAWN:
        return Standing("withdrawn", "stale")
    if getattr(row, "superseded_by", None) is not None:
        return Standing("superseded", "cancelled")
    if row.due_at is None:
        return Standing("no due date", "warn")
    if row.due_at < today:
        return Standing("overdue", "stale")
    return Standing("due soon", "warn") if row.due_at - today <= _SOON else Standing("in force", "ready")


def _rows() -> Any:
    return Calibration.objects.select_related("instrument", "superseded_by", "supersedes", "created_by")


@page
def listed(request: HttpRequest) -> HttpResponse:
    """All calibrations by instrument, the newest version first."""
    user, today = account(request), timezone.localdate()
    rows = _rows().order_by("instrument__name", "instrument_id", "-version", "-measured_at")
    groups = [
        (instrument, [(row, standing(row, today)) for row in group])
        for instrument, group in itertools.groupby(rows, key=lambda row: row.instrument)
    ]
    bare = catalog.list_instruments(user).filter(calibrations__isnull=True).order_by("name")
    context = {"groups": groups, "bare": bare, "here": "calibrations", "is_staff": user.is_staff}
    return render(request, "web/calibrations.html", context)


def _context(request: HttpRequest, row: Calibration) -> dict[str, Any]:
    user = account(request)
    images = access.visible(Image.objects.filter(calibration=row).select_related("specimen", "project"), user)
    numbers = access.visible(Property.objects.filter(image__calibration=row).select_related("job", "image"), user)
    return {
        "calibration": row,
        "standing": standing(row, timezone.localdate()),
        "images": marked(images[:_SHOWN]),
        "image_count": images.count(),
        "numbers": marked(numbers[:_SHOWN]),
        "resting": transforms.resting_on(row.pk, user),
        "fields": REASON,
        "may_withdraw": user.is_staff and row.status == Calibration.Status.ACTIVE,
        "here": "calibrations",
    }


@page
def calibration(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One calibration: what was measured against what, its versions, what rests on it."""
    row = access.get_visible(_rows(), account(request), pk)
    return render(request, "web/calibration.html", _context(request, row))


@taken
def withdraw(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Withdraw a calibration with the reason; everything that rests on it is marked as stale."""
    user = account(request)
    row = access.get_visible(_rows(), user, pk)
    try:
        stale = services.withdraw_calibration(actor=user, calibration=row, reason=request.POST.get("reason", ""))
    except PermissionRefusedError:
        raise
    except CorrError as error:
        errors, problem = errors_of(error, ["reason"])
        context = _context(request, row) | {"fields": filled(REASON, request.POST, errors), "problem": problem}
        return render(request, "web/calibration.html", context, status=400)
    seen = catalog.visible_things(stale, user)
    count = f"{len(stale)} thing{'s' if len(stale) != 1 else ''}"
    messages.success(request, f"The calibration was withdrawn. {count} went stale, {len(seen)} of which you may see.")
    return redirect("calibration", pk)
