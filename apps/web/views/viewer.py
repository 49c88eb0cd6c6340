"""The viewer: several images in one frame, in a client that runs inside the page."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin

from apps.imaging.models import Image
from apps.projects import access
from apps.projects.models import User
from apps.spatial.models import Frame, Roi
from apps.spatial.selectors import list_frames, list_rois
from apps.web.viewer import client, elsewhere, layers, regions
from apps.web.viewer.state import state_of, view_of
from apps.web.views.base import account, page

MOST_REGIONS = 500
KINDS = ("point", "box", "polyline", "polygon")


@page
def viewer(request: HttpRequest) -> HttpResponse:
    """Images in one frame, with what can be drawn in it."""
    user = account(request)
    every = layers.images(user, _ids(request))
    rows, more = every[: layers.MOST_LAYERS], every[layers.MOST_LAYERS :]
    frame = _frame(user, request, rows[0])
    found, left = layers.shown(rows, frame)
    left += [layers.LeftOut(row, f"at most {layers.MOST_LAYERS} images are shown at once") for row in more]
    context: dict[str, Any] = {"rows": rows, "first": rows[0], "frame": frame, "shown": found, "left_out": left}
    context |= {"frames": _frames(user, rows, frame), "others": _others(user, rows), "kinds": KINDS}
    context |= {"ids": ",".join(str(row.pk) for row in rows), "doubts": layers.doubts(found)}
    if found:
        far = elsewhere.regions_from_elsewhere(user, frame, {row.specimen_id for row in rows}) if frame else []
        config = _config(user, found, frame, rows[0], far) | {"begin": request.GET.get("region", "")}
        context |= {"config": config, "elsewhere": far}
    return render(request, "web/viewer.html", context)


@xframe_options_sameorigin
@page
def client_page(request: HttpRequest) -> HttpResponse:
    """The page inside: neuroglancer, empty until the page around it hands it a state."""
    return render(request, "web/viewer_client.html", {"scripts": client.SCRIPTS, "style": client.STYLE})


def _ids(request: HttpRequest) -> list[uuid.UUID]:
    words = [word for text in request.GET.getlist("images") for word in text.split(",") if word.strip()]
    if not words:
        raise Http404("name the images to look at: ?images=<id>,<id>")
    return [_id(word) for word in words]


def _id(word: str) -> uuid.UUID:
    try:
        return uuid.UUID(word.strip())
    except ValueError as error:
        raise Http404(f"{word[:100]!r} is no id") from error


def _frame(user: User, request: HttpRequest, first: Image) -> Frame | None:
    asked = request.GET.get("frame", "").strip()
    if not asked:
        return layers.frame_of(first)
    return access.get_visible(Frame.objects.all(), user, _id(asked))


def _frames(user: User, rows: Sequence[Image], frame: Frame | None) -> list[Frame]:
    """Return the frames to choose from: of the images, of their specimens' states, and the one that is viewed."""
    own = [found for row in rows if (found := layers.frame_of(row)) is not None]
    states = list_frames(user).filter(kind=Frame.Kind.STATE, state__in={row.state_id for row in rows})
    every = [*own, *states, *([frame] if frame else [])]
    return list({found.pk: found for found in every}.values())


def _others(user: User, rows: Sequence[Image]) -> list[Image]:
    """Return images of the same specimens that can be laid over."""
    more = access.visible(Image.objects.select_related("specimen"), user).filter(
        specimen__in={row.specimen_id for row in rows}, superseded_by__isnull=True, calibrated=True
    )
    return list(more.exclude(pk__in=[row.pk for row in rows]).order_by("name")[:200])


def _config(
    user: User,
    found: Sequence[layers.Shown],
    frame: Frame | None,
    first: Image,
    far: Sequence[elsewhere.Elsewhere],
) -> dict[str, Any]:
    """Return what the page's script works with."""
    stored = list(list_rois(user).filter(frame=frame, superseded_by__isnull=True)[: MOST_REGIONS + 1]) if frame else []
    places = [
        {"id": str(roi.pk), "name": roi.name, "purpose": roi.purpose, "version": roi.version, "geometry": _drawn(roi)}
        for roi in stored[:MOST_REGIONS]
    ]
    plain = [item.layer for item in found]
    view = view_of(plain)
    view = replace(
        view,
        annotations=tuple(regions.annotation(place, view) for place in places),
        elsewhere=tuple(elsewhere.annotation(place, view) for place in far),
    )
    state_frame = Frame.objects.filter(kind=Frame.Kind.STATE, state=first.state_id).first()
    return {
        "state": state_of(plain, view),
        "origin": view.origin_um,
        "unit": view.unit_um,
        "layers": [layers.described(item) for item in found],
        "regions": places,
        "more_regions": len(stored) > MOST_REGIONS,
        "elsewhere": [elsewhere.described(place) for place in far],
        "frame": str(frame.pk) if frame else None,
        "specimen_frame": _named(state_frame) if frame else None,
        "names": {"regions": client.REGIONS, "elsewhere": client.ELSEWHERE, "draft": client.DRAFT},
        "may_draw": frame is not None and access.allowed(user, access.Action.CONTRIBUTE, first),
        "rois": reverse("roi-list"),
        "pages": reverse("region", args=[uuid.UUID(int=0)]),
        "map": reverse("frame-map-points", args=[frame.pk]) if frame else None,
    }


def _drawn(roi: Roi) -> dict[str, Any]:
    """Return the geometry that is drawn: of a mesh, which may have 100 000 corners, the box alone."""
    if roi.geometry_type != Roi.GeometryType.MESH:
        return dict(roi.geometry)
    corners = [[roi.x_min, roi.y_min, roi.z_min], [roi.x_max, roi.y_max, roi.z_max]]
    return {"type": "mesh", "coordinates": {"vertices": corners, "faces": []}}


def _named(frame: Frame | None) -> dict[str, str] | None:
    return {"id": str(frame.pk), "name": frame.name} if frame else None
