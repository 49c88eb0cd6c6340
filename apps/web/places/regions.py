"""What the page of a region shows: what it is, its versions, what covers it, what is near."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.imaging import coverage
from apps.imaging.models import Image
from apps.imaging.selectors import acquired_of, effective_spacing
from apps.projects import access
from apps.projects.models import User
from apps.provenance import selectors as ledger
from apps.spatial.coverage import NearRoi, roi_box
from apps.spatial.models import Roi
from apps.spatial.selectors import list_rois
from apps.web.places.names import told, transforms_by_id
from apps.web.places.pictures import shape_of
from apps.web.present.lengths import format_length, spacing_of
from apps.web.present.places import geometry_words, point_words, size_words
from apps.web.present.times import stated

_NEAR_SHOWN = 50
_VERSIONS = 100


@dataclass(frozen=True)
class CoverRow:
    """An image that shows the region, as a row of the table."""

    image: Image
    scale: str
    time: str
    part: str
    error: str
    steps: int
    doubts: list[str]


@dataclass(frozen=True)
class Around:
    """What covers a region and what is near it."""

    covers: list[coverage.Cover]
    rows: list[CoverRow]
    unreached: int
    truncated: bool
    near: list[NearRoi]
    radius: str


def region(user: User, pk: uuid.UUID) -> Roi:
    """One region with what its page needs."""
    related = ("project", "frame__specimen", "frame__state", "target_instrument", "created_by", "superseded_by")
    return access.get_visible(list_rois(user).select_related(*related), user, pk)


def described(roi: Roi) -> dict[str, Any]:
    """Return the geometry of a region in words."""
    low, high = roi_box(roi)
    return {
        "what": geometry_words(roi.geometry, low, high),
        "size": size_words(low, high),
        "middle": point_words(shape_of(roi)[2].tolist()),
        "low": point_words(low.tolist()),
        "high": point_words(high.tolist()),
    }


def versions_of(user: User, roi: Roi) -> list[Roi]:
    """Return all versions of a region, the newest first; two queries."""
    pairs = list_rois(user).filter(frame=roi.frame_id, supersedes__isnull=False).values_list("pk", "supersedes_id")
    before = dict(pairs)
    after = {former: later for later, former in before.items()}
    newest = roi.pk
    while newest in after:
        newest = after[newest]
    chain = [newest]
    while chain[-1] in before:
        chain.append(before[chain[-1]])
    rows = list_rois(user).filter(pk__in=chain[:_VERSIONS]).select_related("created_by").defer("geometry")
    return sorted(rows, key=lambda row: -row.version)


def around(user: User, roi: Roi) -> Around:
    """Return what covers a region and which regions are within twice its size, or a tenth of a millimetre."""
    found = coverage.images_covering(user, roi)
    low, high = roi_box(roi)
    radius = max(2.0 * float(np.linalg.norm(high - low)), 100.0)
    near = coverage.find_near(user, roi.frame, (low + high) / 2.0, radius)
    others = [item for item in near.rois if item.roi.pk != roi.pk]
    rows = transforms_by_id({pk for cover in found.covers for pk in cover.path.transforms})
    return Around(
        covers=found.covers,
        rows=[_row(cover, rows) for cover in found.covers],
        unreached=found.unreached,
        truncated=found.truncated,
        near=others[:_NEAR_SHOWN],
        radius=format_length(radius),
    )


def _row(cover: coverage.Cover, rows: Any) -> CoverRow:
    steps = len(cover.path.transforms)
    error = "exact: the same frame" if not steps else "not known"
    if steps and cover.u95_um is not None:
        error = format_length(cover.u95_um)
    return CoverRow(
        image=cover.image,
        scale=scale_words(cover.image),
        time=_time(cover.image),
        part="whole" if cover.whole else f"{100 * cover.fraction:.0f} %",
        error=error,
        steps=steps,
        doubts=told(cover.path.doubts, rows),
    )


def scale_words(image: Image) -> str:
    """Return the sample distance of an image: of all axes at once where they are equal to three digits."""
    spacing = effective_spacing(image)
    known = [format_length(value) for axis in "xyz" if (value := spacing_of(spacing, axis))]
    return " × ".join(known if len(set(known)) > 1 else known[:1]) or "none"


def _time(image: Image) -> str:
    if image.acquisition is None:
        return "not acquired"
    found = acquired_of(image.acquisition)
    return stated(found["value"], found["zone"]) or "not stated"


def marks(ids: Iterable[uuid.UUID]) -> list[str]:
    """Return why things are stale, in the words of who withdrew what they rest on."""
    return list(dict.fromkeys(mark["reason"] or "the reason was erased" for mark in ledger.stale_marks(ids)))
