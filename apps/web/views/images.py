"""The image page and the pictures drawn from stores."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render

from analyses.sdk.omezarr import StoreError
from apps.core import storage
from apps.core.errors import InvalidValueError
from apps.core.models import Store
from apps.imaging import services
from apps.imaging.models import Image
from apps.projects import access
from apps.web import selectors
from apps.web.present import slices
from apps.web.present.lengths import ScaleBar, field_of, samples_of, scale_bar
from apps.web.present.scale import has_assumed_spacing, spacing_sentence, spacings
from apps.web.views.base import account, button, page


@dataclass(frozen=True)
class Section:
    """A plane of the image page: normal to ``axis``, shown at sample ``index`` of ``count``."""

    axis: str
    index: int
    count: int
    across: str
    down: str
    aspect: float
    bar: ScaleBar | None


def sections_of(image: Image) -> list[Section]:
    """Return the middle planes of an image: three of a volume, one of a plane.

    The picture has the true proportions where both spacings are known, those of the samples otherwise.
    """
    counts = samples_of(image.axes, image.shape)
    found = []
    for axis in slices.AXES:
        down, across = slices.plane_axes(axis)
        if axis != "z" and min(counts.get(down, 1), counts.get(across, 1)) < 2:
            continue  # a plane seen from its edge shows nothing
        width, height = field_of(image, across), field_of(image, down)
        aspect = width / height if width and height else counts.get(across, 1) / counts.get(down, 1)
        count = counts.get(axis, 1)
        found.append(Section(axis, count // 2, count, across, down, aspect, scale_bar(width)))
    return found


@page
def image(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One image: its planes with a true scale bar, its facts and where each comes from, what was computed from it."""
    user = account(request)
    row = selectors.image(user, pk)
    selectors.marked([row])
    successor = getattr(row, "superseded_by", None)
    context = {
        "image": row,
        "readable": row.store.state == Store.State.READY,
        "sections": sections_of(row),
        "channel": _whole(request, "c"),
        "spacings": spacings(row),
        "spacing_sentence": spacing_sentence(row),
        "assumed": has_assumed_spacing(row),
        "successor": successor,
        "can_calibrate": successor is None and access.allowed(user, access.Action.CONTRIBUTE, row),
        "form_axes": _axes_to_state(row),
        "derived": selectors.derived_from(row),
        "facts": _facts(row),
    }
    return render(request, "web/image.html", context)


def _facts(row: Image) -> list[tuple[str, Any, str]]:
    """Return name, entry and source of every fact of the image and its acquisition; plain values are the software's."""
    merged: dict[str, Any] = {**(row.acquisition.facts if row.acquisition else {}), **row.facts}
    return [(name, entry, _source(entry)) for name, entry in sorted(merged.items())]


def _source(entry: Any) -> str:
    words = {"file": "read from the file", "derived": "derived", "user": "typed by hand"}
    source = entry.get("source", "") if isinstance(entry, dict) else ""
    return words.get(source, str(source) or "derived")


def _whole(request: HttpRequest, name: str, default: int = 0) -> int:
    """Return a whole number of the address; the default where it is none."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def _axes_to_state(row: Image) -> list[str]:
    """Return the axes a scale is asked for: x and y always, z of a volume."""
    return [axis for axis in ("x", "y", "z") if axis != "z" or samples_of(row.axes, row.shape).get("z", 1) > 1]


@button("image")
def calibrate(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Make a new version of an image with a scale typed by hand."""
    user = account(request)
    row = selectors.image(user, pk)
    new = services.calibrate_image(
        actor=user,
        image=row,
        spacing_um={axis: _length(request, axis) for axis in _axes_to_state(row)},
        spacing_u_um=_length(request, "u"),
        reason=request.POST.get("reason", ""),
    )
    return "This is the new version, with the scale you typed.", new.pk


def _length(request: HttpRequest, field: str) -> float:
    """Return a number of the form; the decimal sign may be a comma."""
    text = request.POST.get(field, "").strip()
    try:
        return float(text.replace(",", "."))
    except ValueError as error:
        name = "The standard uncertainty" if field == "u" else f"The spacing along {field}"
        raise InvalidValueError(f"{name} is {text!r}; give a number in µm", field=field) from error


@page
def slice_png(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A plane as PNG: ``axis`` (z, y or x), ``index`` (middle by default), ``c``, ``t``, ``edge`` (pixels)."""
    row = selectors.drawable(account(request), pk)
    axis = request.GET.get("axis", "z")
    if axis not in slices.AXES:
        raise Http404(f"{axis!r} is no axis; axes are z, y, x")
    counts = samples_of(row.axes, row.shape)
    edge = min(max(_whole(request, "edge", slices.MAX_EDGE), 16), slices.MAX_EDGE)
    index = _whole(request, "index", counts.get(axis, 1) // 2)
    plane = slices.Plane(axis, index, _whole(request, "c"), _whole(request, "t"), edge)
    tag = f'"{hashlib.sha256(f"{row.store.digest} {row.kind} {plane}".encode()).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    response = HttpResponse(_draw(row, plane), content_type="image/png")
    response["ETag"] = tag
    response["Cache-Control"] = "private, max-age=600"
    return response


def _draw(row: Image, plane: slices.Plane) -> bytes:
    if row.store.state != Store.State.READY:
        raise Http404("the bytes of this image are not there")
    try:
        return slices.render(storage.path(row.store.key), plane, labels=row.kind == Image.Kind.LABELS)
    except (StoreError, OSError) as error:
        raise Http404("the store of this image cannot be read") from error
