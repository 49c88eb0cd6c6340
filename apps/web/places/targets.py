"""Where a stage has to go for a region, as the pages say it; and a refusal with what to do next."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db.models import Q
from django.urls import reverse

from apps.catalog.models import Instrument, State
from apps.core.errors import CorrError
from apps.projects.models import User
from apps.spatial.exchange.positions import StageUnits
from apps.spatial.models import Mount, Roi, Transform
from apps.spatial.roi_geometry import middle
from apps.spatial.selectors import list_mounts
from apps.spatial.targeting import Target, target_roi
from apps.spatial.targeting_stage import Stage, StageUnitsError
from apps.web.places.names import readable, sentence, transform_name, transforms_by_id
from apps.web.places.steps import PathStep, steps_of
from apps.web.present.lengths import format_length, significant
from apps.web.present.places import DEFAULT_UNITS, Reading, readings

_MOUNTS = 200
FILES = (
    ("json", "JSON"),
    ("csv", "CSV, units of the stage"),
    ("fibsemos", "fibsemOS positions"),
    ("nav", "SerialEM Navigator"),
)


@dataclass(frozen=True)
class Advice:
    """What to do next, and where; no address where it is done elsewhere."""

    words: str
    url: str = ""


@dataclass(frozen=True)
class Open:
    """A transform that does not hold for a state, which somebody may override."""

    transform: Transform
    name: str
    state: State


@dataclass(frozen=True)
class Refusal:
    """Why there is no answer, and what to do next."""

    code: str
    message: str
    advice: Sequence[Advice]
    overrides: Sequence[Open] = ()


@dataclass(frozen=True)
class Mark:
    """A landmark near the entry."""

    number: int
    transform: Transform
    readings: list[Reading]
    distance: str
    height: str


@dataclass(frozen=True)
class Told:
    """A target as it is shown."""

    target: Target
    units: StageUnits
    units_note: str
    readings: list[Reading]
    entry: list[Reading]
    u95: str
    axes: str
    factor: str
    depth: str
    depth_u95: str
    marks: list[Mark]
    steps: list[PathStep]
    warnings: list[str] = field(default_factory=list)


def mounts_for(user: User, roi: Roi) -> list[Mount]:
    """Return the mounts of the region's project: open ones first, then those of its own specimen."""
    rows = list_mounts(user).filter(specimen__project=roi.project_id)
    rows = rows.select_related("frame", "specimen", "instrument", "specimen__current_state")[:_MOUNTS]
    own = roi.frame.specimen_id
    return sorted(rows, key=lambda row: (row.unmounted_at is not None, row.specimen_id != own))


def aim(roi: Roi, mount: Mount, *, surface: Roi | None = None) -> Told | Refusal:
    """Return where to drive the stage of a mount for a region, or the refusal with what to do next."""
    try:
        target = target_roi(roi, mount, surface=surface)
    except CorrError as error:
        return refusal_of(error, roi, mount)
    return told_target(target)


def told_target(target: Target) -> Told:
    """Put a target into the words and digits of the pages."""
    units, note = units_of(target.stage)
    near = [mark.transform for mark in target.landmarks]
    named = [doubt.transform for doubt in target.path.doubts]
    rows = transforms_by_id({*target.path.transforms, *near, *named})
    depth = target.depth
    return Told(
        target=target,
        units=units,
        units_note=note,
        readings=readings(target.position, units, target.u95_um),
        entry=readings(target.entry, units, target.u95_um) if target.entry else [],
        u95="not known" if target.u95_um is None else format_length(target.u95_um),
        axes=_axes(target),
        factor=_factor(target),
        depth="" if depth is None else format_length(depth.depth_um, 4),
        depth_u95="not known" if depth is None or depth.u95_um is None else format_length(depth.u95_um),
        marks=[_mark(target, mark, units, rows) for mark in target.landmarks],
        steps=steps_of(target.path, middle(target.roi.geometry), rows),
        warnings=[readable(text, rows) for text in target.warnings],
    )


def units_of(stage: Stage) -> tuple[StageUnits, str]:
    """Return the units that a stage shows; um and degrees, and a note, where nobody said."""
    try:
        return stage.units, ""
    except StageUnitsError as error:
        return DEFAULT_UNITS, f"{sentence(error.message)}. Shown in µm and degrees."


def _axes(target: Target) -> str:
    """95 % along each axis alone, of the stage frame."""
    if target.u95_um is None:
        return ""
    factor = _number(target)
    spread = np.sqrt(np.maximum(np.diagonal(target.covariance), 0.0)) * factor
    return ", ".join(f"{axis} ± {format_length(float(value))}" for axis, value in zip("xyz", spread, strict=True))


def _number(target: Target) -> float:
    largest = float(np.linalg.eigvalsh(target.covariance)[-1])
    return (target.u95_um or 0.0) / math.sqrt(largest) if largest > 0.0 else 0.0


def _factor(target: Target) -> str:
    """How the error is enlarged to 95 %, and on how many degrees of freedom it rests."""
    if target.u95_um is None:
        return "a step on the path states no error"
    factor = _number(target)
    if not factor:
        return "no step has an error"
    if math.isfinite(target.degrees_of_freedom):
        return f"{factor:.2f} standard errors, on {significant(target.degrees_of_freedom)} degrees of freedom"
    return f"{factor:.2f} standard errors; the errors on the path were given, not estimated from residuals"


def _mark(target: Target, near: Any, units: StageUnits, rows: Mapping[uuid.UUID, Transform]) -> Mark:
    position = type(target.position)("", *target.stage.reading(near.point))
    height = "" if near.height_um is None else f"{format_length(abs(near.height_um))} "
    above = "" if near.height_um is None else f"{height}{'above' if near.height_um >= 0 else 'below'} the surface"
    return Mark(
        near.number + 1,
        rows[near.transform],
        readings(position, units, target.u95_um)[:3],
        format_length(near.distance_um),
        above,
    )


# ------------------------------------------------------------------------------------------------------------- refusals


def refusal_of(error: CorrError, roi: Roi, mount: Mount) -> Refusal:
    """Return a refusal in words, with what to do next."""
    found = _overridable(error)
    rows = {item.transform.pk: item.transform for item in found}
    message = readable(error.message.split("; register anew")[0], rows)
    return Refusal(error.code, message, _advice(error, roi, mount), found)


def _overridable(error: CorrError) -> list[Open]:
    given = error.details.get("transforms", []) if error.code == "state_changed" else []
    rows = transforms_by_id([uuid.UUID(item["transform"]) for item in given])
    states = State.objects.select_related("specimen").in_bulk([uuid.UUID(item["state"]) for item in given])
    return [
        Open(row, transform_name(row), states[uuid.UUID(item["state"])])
        for item in given
        if (row := rows.get(uuid.UUID(item["transform"]))) is not None
    ]


def _advice(error: CorrError, roi: Roi, mount: Mount) -> list[Advice]:
    picture = reverse("specimen-frames", args=[mount.specimen_id])
    register = f"{reverse('register')}?specimen={mount.specimen_id}"
    if error.code in ("stage_sense_unknown", "stage_units_unknown"):
        return [Advice("Staff record it in the stage axes of the instrument.", _instrument(mount.instrument))]
    if error.code == "state_changed":
        return [
            Advice("Register anew, with images from after the change.", register),
            Advice("Or use the transform all the same, below, with a reason that stays on record."),
        ]
    if error.code == "no_path":
        waiting = _candidates(roi, mount)
        judge = [
            Advice(f"Judge the candidate {transform_name(row)}", reverse("transform", args=[row.pk])) for row in waiting
        ]
        see = Advice("See which frames are joined, and which are not.", picture)
        return [*judge, Advice("Register two images of the specimen.", register), see]
    if error.code == "mount_ended":
        return [Advice("Record the new mount, then choose it above.", reverse("mount-add", args=[mount.specimen_id]))]
    if error.code == "mask_has_no_vertices":
        return [Advice("Draw a polygon or a box around the mask in the viewer, and target that.")]
    return []


def _instrument(row: Instrument) -> str:
    return reverse("admin:catalog_instrument_change", args=[row.pk])


def _candidates(roi: Roi, mount: Mount) -> list[Transform]:
    """Candidates that touch the frame of the region or the stage frame: accepting one may be what is missing."""
    ends = [roi.frame_id, mount.frame_id]
    rows = Transform.objects.filter(Q(source__in=ends) | Q(target__in=ends), status=Transform.Status.CANDIDATE)
    return list(rows.filter(superseded_by__isnull=True).select_related("source", "target")[:3])
