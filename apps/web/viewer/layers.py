"""Images as layers of the viewer: read from the rows, put into plain values."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from django.urls import reverse

from analyses.sdk.omezarr import StoreError
from analyses.sdk.omezarr_layout import SUMS
from analyses.sdk.omezarr_spectrum import sum_image_path
from apps.core import storage
from apps.core.errors import NotFoundError
from apps.core.models import Store
from apps.imaging.models import Image
from apps.imaging.scale import plain_spacing
from apps.imaging.selectors import effective_spacing
from apps.projects import access
from apps.projects.models import User
from apps.spatial.models import Frame
from apps.web.present import slices
from apps.web.present.lengths import samples_of
from apps.web.viewer.compose import Composed, compose
from apps.web.viewer.state import Layer, Matrix

MOST_LAYERS: Final = 12
_SPATIAL: Final = ("z", "y", "x")
_UNDRAWN: Final = frozenset({"float64"})  # the client has no such samples


@dataclass(frozen=True)
class Choice:
    """An axis of a layer that is not spatial: one of its samples is shown."""

    axis: str
    word: str
    labels: list[str]


@dataclass(frozen=True)
class Shown:
    """A layer and the row that it shows."""

    image: Image
    layer: Layer
    steps: int
    doubts: tuple[str, ...] = ()
    u95_um: float | None = None

    @property
    def choices(self) -> list[Choice]:
        """Channels and times to choose from, where there are several."""
        found = [
            Choice("c", "Channel", channel_names(self.image)),
            Choice("t", "Time", _numbers(self.layer.sizes.get("t", 1))),
        ]
        return [choice for choice in found if choice.axis in self.layer.axes and len(choice.labels) > 1]


@dataclass(frozen=True)
class LeftOut:
    """An image that cannot be shown here, and why."""

    image: Image
    reason: str


def images(user: User, ids: Sequence[uuid.UUID]) -> list[Image]:
    """Return images in the order asked for; NotFoundError for one that the caller does not see."""
    rows = Image.objects.select_related(
        "store", "project", "specimen", "state", "frame", "calibrated_frame", "calibration", "superseded_by"
    )
    found = {row.pk: row for row in access.visible(rows, user).filter(pk__in=ids)}
    if unseen := [pk for pk in ids if pk not in found]:
        raise NotFoundError(f"there is no image {unseen[0]}")
    return [found[pk] for pk in dict.fromkeys(ids)]


def frame_of(image: Image) -> Frame | None:
    """Return the frame in which the lengths of an image are points; None where it has no scale."""
    return image.calibrated_frame or image.frame


def shown(rows: Sequence[Image], frame: Frame | None) -> tuple[list[Shown], list[LeftOut]]:
    """Return the layers, lowest first, and what is left out.

    Parameters
    ----------
    rows : sequence of Image
        The first one says where the view begins.
    frame : Frame or None
        The viewed frame; None: the first image in samples, alone.
    """
    found: list[Shown] = []
    left: list[LeftOut] = []
    for row in rows:
        placed = _place(row, frame, first=not found and not left)
        if isinstance(placed, str):
            left.append(LeftOut(row, placed))
        else:
            layer = _layer(row, placed.matrix, len(found), in_um=frame is not None)
            found.append(Shown(row, layer, placed.steps, placed.doubts, placed.u95_um))
    return found, left


def _place(row: Image, frame: Frame | None, *, first: bool) -> Composed | str:
    """Return the map of an image, or why it has none."""
    if row.store.state != Store.State.READY:
        return "its bytes are not there; the record of them is"
    if row.dtype in _UNDRAWN:
        return f"samples of type {row.dtype} cannot be drawn here"
    own = frame_of(row)
    if frame is None:
        return Composed(np.eye(4)) if first else "the view is in samples, which only one image has"
    if own is None:
        return "it has no scale, and with it no place; it can be opened alone"
    return compose(own, frame) or f"no accepted transform leads from its frame to {frame.name}"


def doubts(found: Sequence[Shown]) -> list[str]:
    """Return what speaks against the paths of the layers, each once; no error stated is said at the cursor."""
    return list(dict.fromkeys(doubt for item in found for doubt in item.doubts))


def _layer(row: Image, matrix: Matrix, number: int, *, in_um: bool) -> Layer:
    sizes = samples_of(row.axes, row.shape)
    axes = tuple(axis for axis in row.axes if axis != "e")
    labels = row.kind == Image.Kind.LABELS
    window, limits = ((0.0, 1.0), (0.0, 1.0)) if labels else contrast(row)
    return Layer(
        name=f"{number + 1} {row.name}"[:80],
        path=_store_address(row),
        axes=axes,
        sizes=sizes,
        spacing_um=spacing_um(row) if in_um else {},
        matrix=matrix,
        dtype=row.dtype,
        labels=labels,
        window=window,
        limits=limits,
        opacity=1.0 if number == 0 else 0.5,
        local=tuple(0 for axis in axes if axis not in _SPATIAL),
    )


def channel_names(row: Image) -> list[str]:
    """Return a name for each channel: its label, else its number from 1."""
    count = samples_of(row.axes, row.shape).get("c", 1)
    names = [entry.get("label") for entry in row.channels] if len(row.channels) == count else [None] * count
    return [name or str(number + 1) for number, name in enumerate(names)]


def _numbers(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]


def _store_address(row: Image) -> str:
    """Return the folder below which the REST surface serves what is drawn: of a spectrum image its sum."""
    below = f"{SUMS['image']}/" if row.kind == Image.Kind.SPECTRUM else ""
    return reverse("image-zarr", args=[row.pk, f"{below}zarr.json"]).removesuffix("zarr.json")


def spacing_um(row: Image) -> dict[str, float]:
    """Sample distances in um.  A single plane gets the thickness of its samples' width: it has none of its own."""
    known = {axis: value for axis, value in plain_spacing(effective_spacing(row)).items() if value}
    return {axis: known.get(axis) or min(known.values(), default=1.0) for axis in _SPATIAL}


def contrast(row: Image) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the usual window of an image's grey values and their limits, from its coarsest level."""
    path = storage.path(row.store.key)
    try:
        found = slices.histogram(sum_image_path(path) if row.kind == Image.Kind.SPECTRUM else path, 0, 0)
    except (StoreError, OSError):
        return (0.0, 1.0), (0.0, 1.0)
    return (found.black, found.white), (found.low, found.high)


def described(item: Shown) -> dict[str, Any]:
    """Return what the page's script needs of a layer."""
    layer = item.layer
    corners = layer.corners()
    return {
        "name": layer.name,
        "image": str(item.image.pk),
        "labels": layer.labels,
        "window": list(layer.window),
        "limits": list(layer.limits),
        "opacity": layer.opacity,
        "colour": layer.colour,
        "centre": layer.centre().tolist(),
        "box": [corners.min(axis=0).tolist(), corners.max(axis=0).tolist()],
        "axes": (layer.matrix[:3, :3] / np.linalg.norm(layer.matrix[:3, :3], axis=0)).tolist(),
    }
