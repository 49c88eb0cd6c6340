"""The registration page: two images side by side, landmark pairs, the fit and its error; and the pictures it draws."""

from __future__ import annotations

import hashlib
import math
import uuid
from typing import Any, Final

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseNotModified
from django.shortcuts import render

from analyses.sdk.omezarr import StoreError
from analyses.sdk.omezarr_spectrum import sum_image_path
from apps.core import storage
from apps.core.errors import InvalidValueError
from apps.core.models import Store
from apps.core.quote import shown
from apps.imaging.models import Image
from apps.projects import access
from apps.projects.models import User
from apps.spatial.models import Frame, Transform
from apps.spatial.selectors import list_transforms
from apps.web import registering, selectors
from apps.web.present.contrast import window_of
from apps.web.present.cuts import MAX_PIXELS, Cut, CutTooWideError, Triple, render_cut
from apps.web.present.lengths import samples_of
from apps.web.viewer import layers
from apps.web.views.base import account, page

_LIMIT_UM: Final = 1e12
_MOST_INDEX: Final = 1_000_000
_PLANES: Final = ("xy", "xz", "yz")
_SIDES: Final = (
    ("source", "Source", "What is mapped, as a rule the finer or the newer image."),
    ("target", "Target", "Where it is mapped to, as a rule the image in which places are given."),
)


@page
def register(request: HttpRequest) -> HttpResponse:
    """Two images to register by landmark pairs; without both of them, a form that asks for them."""
    user = account(request)
    start = _start(user, request)
    source = _image(user, request, "source", start.source if start else None)
    target = _image(user, request, "target", start.target if start else None)
    if source is None or target is None or source == target:
        return _choose(request, user, source or target)
    if start is not None and start.source == layers.frame_of(target) and start.target == layers.frame_of(source):
        source, target = target, source
    problems = list(registering.obstacles(source, target))
    context: dict[str, Any] = {"source": source, "target": target, "problems": problems, "kinds": registering.KINDS}
    ends = registering.ends(source, target)
    if ends and not problems:
        _check_start(start, ends)
        config = registering.config_of(user, (source, target), ends, start)
        context |= {"config": config, "panes": _panes(source, target, config), "former": _former(user, ends)}
    return render(request, "web/register.html", context)


def _choose(request: HttpRequest, user: User, given: Image | None) -> HttpResponse:
    specimen = None
    if given is None:
        if not (asked := request.GET.get("specimen", "").strip()):
            raise Http404("name the images to register: ?source=<id>&target=<id>")
        specimen = selectors.specimen(user, _id(asked))
    found = registering.choices(user, given, specimen)
    side = "source" if request.GET.get("source", "").strip() else "target"
    sides = [
        {"name": name, "word": word, "help": words, "chosen": given.pk if given and name == side else None}
        for name, word, words in _SIDES
    ]
    context = {"choices": found, "given": given, "sides": sides, "specimen": given.specimen if given else specimen}
    return render(request, "web/register_choose.html", context)


def _panes(source: Image, target: Image, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the template draws of each pane, the planes seen from their edge left out."""
    found = []
    for side, row in (("source", source), ("target", target)):
        pane = config["panes"][side]
        long = {axis for axis, count in zip("xyz", pane["sizes"], strict=True) if count > 1}
        planes = [(name, f"{name[0]}, {name[1]}") for name in _PLANES if name == "xy" or set(name) <= long]
        found.append({"side": side, "image": row, "config": pane, "planes": planes})
    return found


def _former(user: User, ends: tuple[Frame, Frame]) -> list[dict[str, Any]]:
    """Return the transforms with landmarks that can be gone on from."""
    rows = registering.between(user, *ends).filter(landmarks__isnull=False).distinct()
    return [registering.said_of(row) for row in rows[: registering.MOST_TRANSFORMS]]


def _image(user: User, request: HttpRequest, name: str, frame: Frame | None) -> Image | None:
    """Return the image that the address names, or the one of a transform's frame."""
    if asked := request.GET.get(name, "").strip():
        return layers.images(user, [_id(asked)])[0]
    found = registering.image_of(user, frame) if frame else None
    return layers.images(user, [found.pk])[0] if found else None


def _start(user: User, request: HttpRequest) -> Transform | None:
    asked = request.GET.get("transform", "").strip()
    if not asked:
        return None
    rows = list_transforms(user).select_related("source", "target", "created_by")
    return access.get_visible(rows, user, _id(asked))


def _check_start(start: Transform | None, ends: tuple[Frame, Frame]) -> None:
    if start is None:
        return
    if (start.source, start.target) != ends:
        raise Http404(f"the transform {start.pk} does not join the frames of these images")
    if start.matrix is None:
        raise Http404(f"the transform {start.pk} is a displacement field; it has no pairs to go on from")


def _id(word: str) -> uuid.UUID:
    try:
        return uuid.UUID(word)
    except ValueError as error:
        raise Http404(f"{word[:100]!r} is no id") from error


# --------------------------------------------------------------------------------------------------------------- a cut


@page
def cut_png(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A cut through an image as PNG, on a grid of pixels anywhere in its frame.

    ``origin``, ``right`` and ``down`` are ``x,y,z`` in micrometres in the image's frame: the centre of the first pixel,
    and the way from a pixel to the next in its row and in its column.  ``columns``, ``rows``: pixels.  ``c``, ``t``,
    ``low``, ``high`` as for a plane.
    """
    row = layers.images(account(request), [pk])[0]
    if row.store.state != Store.State.READY:
        raise Http404("the bytes of this image are not there")
    try:
        cut = _cut(request, row)
    except InvalidValueError as error:
        return HttpResponseBadRequest(f"{error.field}: {error.message}", content_type="text/plain; charset=utf-8")
    tag = f'"{hashlib.sha256(f"{row.store.digest} {row.kind} {cut}".encode()).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    path = storage.path(row.store.key)
    try:
        samples = sum_image_path(path) if row.kind == Image.Kind.SPECTRUM else path
        drawn = render_cut(samples, cut, labels=row.kind == Image.Kind.LABELS)
    except CutTooWideError as error:
        return HttpResponseBadRequest(f"{error.field}: {error.message}", content_type="text/plain; charset=utf-8")
    except (StoreError, OSError) as error:
        raise Http404("the store of this image cannot be read") from error
    response = HttpResponse(drawn, content_type="image/png")
    response["ETag"] = tag
    response["Cache-Control"] = "private, max-age=600"
    return response


def _cut(request: HttpRequest, row: Image) -> Cut:
    """Return the cut that an address asks for, in samples; InvalidValueError names what cannot be."""
    if layers.frame_of(row) is None:
        raise InvalidValueError("the image has no scale, and with it no places in micrometres", field="origin")
    origin, right, down = (_point(request, name) for name in ("origin", "right", "down"))
    columns, rows = (_count(request, name, low=1) for name in ("columns", "rows"))
    if columns * rows > MAX_PIXELS:
        raise InvalidValueError(f"{columns} x {rows} pixels are too many; at most {MAX_PIXELS} are drawn", field="rows")
    pixel = min(float(np.linalg.norm(right)), float(np.linalg.norm(down)))
    if not pixel > 0.0:
        raise InvalidValueError("the pixels lie on each other; give steps longer than 0 um", field="right")
    steps = _steps(row, pixel)
    return Cut(
        origin=_triple(origin / steps),
        right=_triple(right / steps),
        down=_triple(down / steps),
        columns=columns,
        rows=rows,
        channel=_count(request, "c"),
        time=_count(request, "t"),
        window=window_of(request.GET.get("low", ""), request.GET.get("high", "")),
    )


def _steps(row: Image, pixel_um: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Sample distances (x, y, z), um; a single plane is as thick as its samples are wide, and a pixel at least."""
    spacing, sizes = layers.spacing_um(row), samples_of(row.axes, row.shape)
    return np.array([max(spacing[a], pixel_um) if sizes.get(a, 1) == 1 else spacing[a] for a in "xyz"])


def _point(request: HttpRequest, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    text = request.GET.get(name, "")
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(math.isfinite(number) and abs(number) <= _LIMIT_UM for number in numbers):
        raise InvalidValueError(f"{shown(text)} is no x,y,z in um", field=name)
    return np.array(numbers)


def _count(request: HttpRequest, name: str, low: int = 0) -> int:
    text = request.GET.get(name, str(low) if low == 0 else "")
    if not (text.isascii() and text.isdigit() and low <= int(text[:12]) <= _MOST_INDEX):
        raise InvalidValueError(f"{shown(text)} is no whole number from {low} to {_MOST_INDEX}", field=name)
    return int(text)


def _triple(values: np.ndarray[Any, np.dtype[np.float64]]) -> Triple:
    x, y, z = (float(value) for value in values)
    return x, y, z
