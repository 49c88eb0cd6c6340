"""The image page and the pictures drawn from stores."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render

from analyses.sdk.omezarr import StoreError
from analyses.sdk.omezarr_spectrum import sum_image_path
from apps.core import storage
from apps.core.errors import InvalidValueError
from apps.core.models import Store
from apps.imaging import selectors as imaging
from apps.imaging import services
from apps.imaging.models import Image
from apps.imaging.placement import stage_of
from apps.projects import access
from apps.web import selectors
from apps.web.present import slices
from apps.web.present.contrast import Contrast, contrast_of, window_of
from apps.web.present.facts import FactRow, fact_rows
from apps.web.present.lengths import ScaleBar, field_of, samples_of, scale_bar
from apps.web.present.lines import lines_within
from apps.web.present.scale import has_assumed_spacing, spacing_sentence, spacings
from apps.web.views.base import account, button, page


@dataclass(frozen=True)
class Section:
    """A plane of the image page: normal to ``axis``, shown at sample ``index`` of ``count``.

    ``left`` and ``below``: where the specimen begins in the picture, percent of its width and height, so that the
    scale bar does not lie on a data bar.
    """

    axis: str
    index: int
    count: int
    across: str
    down: str
    aspect: float
    bar: ScaleBar | None
    columns: int = 1
    rows: int = 1
    left: float = 0.0
    below: float = 0.0


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
        columns, rows = counts.get(across, 1), counts.get(down, 1)
        left, below = _corner(image, (across, columns), (down, rows))
        found.append(
            Section(axis, count // 2, count, across, down, aspect, scale_bar(width), columns, rows, left, below)
        )
    return found


def _corner(image: Image, across: tuple[str, int], down: tuple[str, int]) -> tuple[float, float]:
    """Return how far the lower left corner of the specimen lies inside the picture: percent of width, of height."""
    area = image.specimen_area or {}
    (name, columns), (low, rows) = across, down
    first = area.get(name, (0, columns))[0]
    end = area.get(low, (0, rows))[1]
    return 100 * first / columns, 100 * max(0, rows - end) / rows


def _area_words(image: Image) -> str:
    """Return the samples that show the specimen, where others do not; empty where all of them do."""
    if not image.specimen_area:
        return ""
    spans = [image.specimen_area[axis] for axis in ("x", "y") if axis in image.specimen_area]
    size = " × ".join(str(end - start) for start, end in spans)
    return f"{size} samples; the others show a data bar, not the specimen"


@page
def image(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One image: its planes with a true scale bar, its facts and where each comes from, what was computed from it."""
    user = account(request)
    row = selectors.image(user, pk)
    selectors.marked([row])
    successor = getattr(row, "superseded_by", None)
    may_contribute = access.allowed(user, access.Action.CONTRIBUTE, row)
    window = window_of(request.GET.get("low", ""), request.GET.get("high", ""))
    context = {
        "image": row,
        "readable": row.store.state == Store.State.READY,
        "sections": sections_of(row),
        "channel": _whole(request, "c"),
        "spacings": spacings(row),
        "area": _area_words(row),
        "spacing_sentence": spacing_sentence(row),
        "assumed": has_assumed_spacing(row),
        "successor": successor,
        "can_calibrate": successor is None and may_contribute,
        "may_contribute": may_contribute,
        "window": window,
        "histogram": _histogram(row, _whole(request, "c"), window),
        "form_axes": _axes_to_state(row),
        "derived": selectors.derived_from(row),
        "lines": lines_within(row.signal) if row.kind == Image.Kind.SPECTRUM else (),
        "calibration": imaging.calibration_of(row),
        "acquired": imaging.acquired_of(row.acquisition) if row.acquisition else None,
        "facts": _facts(row),
        "stage": stage_of(row),
    }
    frame = selectors.frame_of(row)
    if frame is not None:
        own = [key for key in (row.frame_id, row.calibrated_frame_id) if key is not None]
        context |= {"frame": frame, "transforms": selectors.transforms_of(user, own)}
        context |= selectors.regions_of(user, frame=frame)
    return render(request, "web/image.html", context)


def _histogram(row: Image, channel: int, window: tuple[float, float] | None) -> Contrast | None:
    """Return the grey values of an image; none of labels, and none where the bytes cannot be read."""
    if row.kind not in (Image.Kind.INTENSITY, Image.Kind.SPECTRUM) or row.store.state != Store.State.READY:
        return None
    try:
        return contrast_of(slices.histogram(_samples_path(row), channel, 0), window)
    except (StoreError, OSError):
        return None


def _facts(row: Image) -> list[FactRow]:
    """Return every fact of the image and its acquisition; plain values are the software's."""
    merged: dict[str, Any] = {**(row.acquisition.facts if row.acquisition else {}), **row.facts}
    return fact_rows(merged)


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
    """A plane as PNG: ``axis`` (z, y or x), ``index`` (middle by default), ``c``, ``t``, ``edge`` (pixels), area."""
    row = selectors.drawable(account(request), pk)
    axis = request.GET.get("axis", "z")
    if axis not in slices.AXES:
        raise Http404(f"{axis!r} is no axis; axes are z, y, x")
    counts = samples_of(row.axes, row.shape)
    edge = min(max(_whole(request, "edge", slices.MAX_EDGE), 16), slices.MAX_EDGE)
    index = _whole(request, "index", counts.get(axis, 1) // 2)
    window = window_of(request.GET.get("low", ""), request.GET.get("high", ""))
    area = _area(request.GET.get("area", ""))
    plane = slices.Plane(axis, index, _whole(request, "c"), _whole(request, "t"), edge, window, area)
    tag = f'"{hashlib.sha256(f"{row.store.digest} {row.kind} {plane}".encode()).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    response = HttpResponse(_draw(row, plane), content_type="image/png")
    response["ETag"] = tag
    response["Cache-Control"] = "private, max-age=600"
    return response


def _area(text: str) -> tuple[float, float, float, float] | None:
    """Return the samples of a plane that are wanted, ``left,right,top,bottom``; None where the address asks for all."""
    if not text:
        return None
    try:
        left, right, top, bottom = (float(part) for part in text.split(","))
    except ValueError as error:
        raise Http404(f"{text[:80]!r} is no area: left,right,top,bottom in samples") from error
    if not (0.0 <= left < right < slices.MAX_SAMPLE and 0.0 <= top < bottom < slices.MAX_SAMPLE):
        raise Http404(f"{text[:80]!r} is no area: left below right and top below bottom, from 0")
    return left, right, top, bottom


def _samples_path(row: Image) -> Path:
    """Return the store that is drawn: of a spectrum image the sum of its spectra."""
    path = storage.path(row.store.key)
    return sum_image_path(path) if row.kind == Image.Kind.SPECTRUM else path


def _draw(row: Image, plane: slices.Plane) -> bytes:
    if row.store.state != Store.State.READY:
        raise Http404("the bytes of this image are not there")
    try:
        return slices.render(_samples_path(row), plane, labels=row.kind == Image.Kind.LABELS)
    except (StoreError, OSError) as error:
        raise Http404("the store of this image cannot be read") from error
