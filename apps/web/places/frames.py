"""Frames and transforms of a specimen, for the picture and for the tables beside it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from django.db.models import Q
from django.urls import reverse

from analyses.sdk.propagation import expanded_error, propagate
from apps.catalog.models import Specimen
from apps.imaging.models import Image, Modality
from apps.projects import access
from apps.projects.models import User
from apps.provenance import selectors as ledger
from apps.spatial import validity
from apps.spatial.models import Frame, Transform
from apps.spatial.paths import middle_of
from apps.spatial.propagation import uncertain_map
from apps.spatial.selectors import list_frames
from apps.web.places.names import transform_name
from apps.web.places.regions import scale_words
from apps.web.present.frame_graph import Drawing, Link, Node, column_of, draw, spaced
from apps.web.present.lengths import format_length

MOST_FRAMES: Final = 2_000
MOST_TRANSFORMS: Final = 5_000
_ORDER: Final = (
    Modality.LIGHT,
    Modality.NEUTRON,
    Modality.XRM,
    Modality.NANO_XRM,
    Modality.SEM,
    Modality.FIB_SEM,
    Modality.EDS,
    Modality.EBSD,
    Modality.STEM,
    Modality.TEM,
    Modality.OTHER,
)
ROWS: Final = ("specimen", "stages", *(str(modality.label) for modality in _ORDER), "modality not stated")


@dataclass(frozen=True)
class FrameRow:
    """A frame with the image that is in it, as a row of the table."""

    frame: Frame
    image: Image | None
    modality: str
    size: str
    scale: str
    elsewhere: bool
    stale: bool


@dataclass(frozen=True)
class TransformRow:
    """A transform as a row of the table; ``marks`` are what speaks against it, in words."""

    transform: Transform
    name: str
    error: str
    marks: list[str]
    css: str


@dataclass(frozen=True)
class Network:
    """What the page shows."""

    drawing: Drawing
    frames: list[FrameRow]
    transforms: list[TransformRow]
    truncated: bool


def network_of(user: User, specimen: Specimen) -> Network:
    """Return the frames of a specimen, those they are joined with, and what joins them; a fixed number of queries."""
    images = access.visible(Image.objects.filter(specimen=specimen), user)
    own = images.values_list("frame_id", "calibrated_frame_id")
    ids: set[uuid.UUID] = {key for pair in own for key in pair} - {None}
    ids |= set(list_frames(user).filter(specimen=specimen).values_list("pk", flat=True)[: MOST_FRAMES + 1])
    transforms = _transforms(user, ids)
    ends = {end for row in transforms for end in (row.source_id, row.target_id)}
    frames = _frames(user, ids | ends)
    known = {row.frame.pk for row in frames}
    transforms = [row for row in transforms if row.source_id in known and row.target_id in known]
    stale = ledger.is_stale([row.pk for row in transforms])
    rows = _judged(transforms, stale, {row.frame.pk: row.frame for row in frames})
    shown = [_marked(row, ids) for row in frames]
    nodes = [_node(row) for row in shown]
    links = [_link(row) for row in rows]
    return Network(spaced(draw(nodes, links, ROWS)), shown, rows, len(ids) > MOST_FRAMES)


def _transforms(user: User, frames: set[uuid.UUID]) -> list[Transform]:
    rows = Transform.objects.filter(Q(source__in=frames) | Q(target__in=frames)).select_related("superseded_by")
    rows = rows.prefetch_related("valid_states", "overrides")
    return list(access.visible(rows, user).order_by("created_at")[:MOST_TRANSFORMS])


def _frames(user: User, ids: set[uuid.UUID]) -> list[FrameRow]:
    rows = list_frames(user).filter(pk__in=ids).select_related("extent", "mount__instrument", "specimen", "state")
    images = (
        access.visible(Image.objects.filter(Q(frame__in=ids) | Q(calibrated_frame__in=ids)), user)
        .select_related("calibration")
        .order_by("-version", "created_at")
    )
    pictured: dict[uuid.UUID, Image] = {}
    for image in images:
        for key in (image.calibrated_frame_id, image.frame_id):
            if key is not None:
                pictured.setdefault(key, image)
    stale = ledger.is_stale(ids)
    return [_frame_row(row, pictured.get(row.pk), row.pk in stale) for row in rows.order_by("created_at")]


def _frame_row(row: Frame, image: Image | None, stale: bool) -> FrameRow:
    size = _size(row)
    return FrameRow(
        frame=row,
        image=image,
        modality=image.get_modality_display() if image and image.modality else "",
        size=format_length(size) if size else "",
        scale=scale_words(image) if image else "",
        elsewhere=False,
        stale=stale,
    )


def _marked(row: FrameRow, own: set[uuid.UUID]) -> FrameRow:
    """Say of a frame that it belongs to another specimen."""
    if row.frame.pk in own:
        return row
    return FrameRow(row.frame, row.image, row.modality, row.size, row.scale, True, row.stale)


def _size(row: Frame) -> float | None:
    extent = getattr(row, "extent", None)
    if extent is None:
        return None
    return float(max(getattr(extent, f"{axis}_max") - getattr(extent, f"{axis}_min") for axis in "xyz"))


def _judged(
    transforms: Sequence[Transform], stale: set[uuid.UUID], frames: dict[uuid.UUID, Frame]
) -> list[TransformRow]:
    specimens = {frame.specimen for frame in frames.values() if frame.specimen is not None}
    lines = validity.state_lines([specimen.pk for specimen in specimens])
    now = set(lines) & {specimen.current_state_id for specimen in specimens}
    concerns = {key: validity.concern(lines[key], lines) for key in now}
    found = []
    for row in transforms:
        named = frozenset(state.pk for state in row.valid_states.all())
        overridden = {item.state_id for item in row.overrides.all()}
        out = [key for key, concern in concerns.items() if row.calibration_id is None and concern.excluded_by(named)]
        changes = [word for key in out for word in validity.changes_between(named, lines[key], lines)]
        row.source, row.target = frames[row.source_id], frames[row.target_id]
        found.append(_row(row, row.pk in stale, bool(out), bool(out) and set(out) <= overridden, changes))
    return found


def _row(row: Transform, stale: bool, invalid: bool, overridden: bool, changes: Sequence[str]) -> TransformRow:
    marks = []
    if stale:
        marks.append("stale: something it rests on was withdrawn")
    if invalid:
        why = ", ".join(dict.fromkeys(changes)) or "another history"
        said = "used all the same" if overridden else "does not hold for the specimen as it is now"
        marks.append(f"{said} ({why.replace('_', ' ')} in between)")
    if getattr(row, "superseded_by", None) is not None:
        marks.append("superseded by a newer version")
    css = " ".join(
        [str(row.status), *(["stale"] if stale else []), *(["invalid"] if invalid and not overridden else [])]
    )
    return TransformRow(row, transform_name(row), _error(row), marks, css)


def _error(row: Transform) -> str:
    """95 % error at the middle of what the source's image fills."""
    if row.matrix is None or row.covariance is None:
        return "not known"
    mapped = propagate([middle_of(row.source)], [uncertain_map(row)])
    freedom = np.inf if row.degrees_of_freedom is None else float(row.degrees_of_freedom)
    return format_length(float(expanded_error(mapped.covariances, freedom)[0]), 2)


_SIGNS: Final = {"candidate": "◌ candidate", "withdrawn": "✗ withdrawn"}


def _link(row: TransformRow) -> Link:
    parts = row.css.split()
    sign = _SIGNS.get(parts[0], "")
    if "stale" in parts and parts[0] != "withdrawn":
        sign = "✗ stale"
    elif "invalid" in parts and parts[0] == "accepted":
        sign = "⚠ not now"
    words = f"{row.name}: {row.transform.get_status_display()}, 95 % error {row.error}"
    return Link(
        source=row.transform.source_id,
        target=row.transform.target_id,
        url=reverse("transform", args=[row.transform.pk]),
        words="; ".join([words, *row.marks]),
        css=row.css,
        label="" if row.error == "not known" or parts[0] == "withdrawn" else f"± {row.error}",
        mark=sign,
    )


def _node(row: FrameRow) -> Node:
    frame = row.frame
    piece = frame.kind in (Frame.Kind.STATE, Frame.Kind.STAGE)
    sub = " · ".join(part for part in (_kind(row), row.scale) if part)
    return Node(
        key=frame.pk,
        title=frame.name,
        sub=f"{frame.specimen.name}: {sub}"[:34] if row.elsewhere and frame.specimen else sub[:34],
        url=reverse("image", args=[row.image.pk]) if row.image else f"#frame-{frame.pk}",
        row=_place(row),
        column=-1 if piece else column_of(_size(frame)),
        css=" ".join([str(frame.kind), *(["elsewhere"] if row.elsewhere else [])]),
        mark="✗ stale" if row.stale else "",
    )


def _kind(row: FrameRow) -> str:
    mount = getattr(row.frame, "mount", None)
    if mount is not None:
        return "stage, ended" if mount.unmounted_at else "stage"
    return {"state": "state", "calibrated": "calibrated"}.get(str(row.frame.kind), "image")


def _place(row: FrameRow) -> int:
    if row.frame.kind == Frame.Kind.STATE:
        return 0
    if row.frame.kind == Frame.Kind.STAGE:
        return 1
    modality: Any = row.image.modality if row.image else ""
    return 2 + _ORDER.index(modality) if modality in _ORDER else len(ROWS) - 1
