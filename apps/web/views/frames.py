"""Frames and transforms of a specimen as a picture, with the tables that say the same."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from apps.projects import access
from apps.spatial.selectors import list_mounts
from apps.web import selectors
from apps.web.places.frames import network_of
from apps.web.views.base import account, page


@page
def frames(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """All frames of a specimen and what joins them."""
    user = account(request)
    row = selectors.specimen(user, pk)
    context = {
        "specimen": row,
        "project": row.project,
        "network": network_of(user, row),
        "mounts": list_mounts(user).filter(specimen=row).select_related("instrument"),
        "may_contribute": access.allowed(user, access.Action.CONTRIBUTE, row),
    }
    return render(request, "web/frames.html", context)
