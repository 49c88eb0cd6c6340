"""That a region is sent to a stage, and where it was found there: the loop from the prediction and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from apps.core.clean import TEXT_LENGTH, clean_number, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import LIMIT_UM
from apps.spatial.models import Found, Mount, Roi, Targeting, TransformOverride
from apps.spatial.paths import Mapped, NoPathError, Path, check_frames
from apps.spatial.roi_geometry import MaskError
from apps.spatial.targeting import Target, predict, target_roi
from apps.spatial.targeting_origin import instrument_of
from apps.spatial.targeting_stage import stage_of

_PARTS: Final = ("x", "y", "z", "rotation", "tilt", "working_distance")


def send_roi(*, actor: User, roi: Roi, mount: Mount, reason: str = "") -> Roi:
    """Record that a region was chosen for an instrument, seeing where its stage has to go; the prediction is kept.

    Parameters
    ----------
    actor : User
        A contributor of the project.
    roi : Roi
        Becomes ``targeted``; not yet ``acquired``.
    mount : Mount
        Where it is to be looked at.
    reason : str
        Why this region.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see region and mount, or may not contribute.
    CorrError
        The stage cannot be told where to go: see :func:`apps.spatial.targeting.target_roi`.
    ConflictError
        It has been acquired already.
    """
    access.require(actor, access.Action.CONTRIBUTE, roi)
    access.require(actor, access.Action.CONTRIBUTE, mount)
    reason = clean_text(reason, field="reason", max_length=TEXT_LENGTH)
    target = target_roi(roi, mount)
    choice = _choice(target, reason, actor)
    with record.act("target_roi", actor=actor, project=roi.project_id, reason=reason or None) as act:
        locked = Roi.objects.select_for_update().get(pk=roi.pk)
        if locked.status == Roi.Status.ACQUIRED:
            raise ConflictError("the region has been acquired already; mark a new one, or a new version")
        before = {"status": str(locked.status), "target_instrument": locked.target_instrument_id}
        Roi.objects.filter(pk=roi.pk).update(status=Roi.Status.TARGETED, target_instrument=mount.instrument)
        act.used(roi, role="region")
        act.used(mount, role="mount")
        use_path(act, target.path)
        after = {"status": str(Roi.Status.TARGETED), "target_instrument": mount.instrument_id}
        act.changed(roi, before=before, after=after)
        _say_choice(act, choice)
    return roi


def use_path(act: record.Act, path: Path) -> None:
    """Say that an act went along a path, and by whose word steps were taken that do not hold for a state concerned."""
    for transform in dict.fromkeys(path.transforms):
        act.used(transform, role="path")
    allowed = {(doubt.transform, doubt.state) for doubt in path.doubts if doubt.code == "overridden"}
    if not allowed:
        return
    for row in TransformOverride.objects.filter(transform__in={transform for transform, _ in allowed}):
        if (row.transform_id, row.state_id) in allowed:
            act.used(row, role="override")


def _choice(target: Target, reason: str, actor: User) -> Targeting:
    """The prediction as it was seen, with all that spoke against it."""
    known = target.u95_um is not None
    freedom = target.degrees_of_freedom
    return Targeting(
        roi=target.roi,
        mount=target.mount,
        predicted=target.point.tolist(),
        covariance=target.covariance.tolist() if known else None,
        degrees_of_freedom=freedom if known and math.isfinite(freedom) else None,
        u95_um=target.u95_um,
        position={name: getattr(target.position, name) for name in _PARTS},
        path=target.path.steps,
        warnings=target.warnings,
        reason=reason,
        created_by=actor,
    )


def _say_choice(act: record.Act, choice: Targeting) -> None:
    choice.save(force_insert=True)
    facts = {
        "corr:predicted": choice.predicted,
        "corr:covariance": choice.covariance,
        "corr:path": choice.path,
        "corr:warnings": choice.warnings,
    }
    act.created(
        choice,
        attributes={name: value for name, value in facts.items() if value},
        erasable={"reason": choice.reason} if choice.reason else None,
    )
    act.derived(choice, choice.roi)


def record_found(
    *,
    actor: User,
    roi: Roi,
    mount: Mount,
    position: Mapping[str, Any],
    u_um: float | None = None,
    note: str = "",
) -> Found:
    """Record where a region was found on a stage, beside where it is predicted to be, and was when it was sent there.

    Parameters
    ----------
    actor : User
        A contributor of the project.
    roi : Roi
        Becomes ``acquired``.
    mount : Mount
        Of the same project; it may have ended since.
    position : mapping
        The stage reading: ``x``, ``y``, ``z`` in um, and where known ``rotation`` and ``tilt`` in degrees and
        ``working_distance`` in um.
    u_um : float, optional
        Standard error of the reading along each axis, um.
    note : str
        Free words.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see region and mount, or may not contribute.
    InvalidValueError
        Another project, or a position that is none.
    StageSenseError
        The senses of the stage's axes are not recorded.
    """
    access.require(actor, access.Action.CONTRIBUTE, roi)
    access.require(actor, access.Action.CONTRIBUTE, mount)
    check_frames(roi.frame, mount.frame, field_name="mount")
    reading = clean_reading(position)
    point = stage_of(mount.instrument).point([reading[axis] for axis in "xyz"])
    mapped, refusal = _prediction(roi, mount)
    found = Found(
        roi=roi,
        mount=mount,
        instrument=mount.instrument,
        source_instrument_id=instrument_of(roi.frame),
        position=reading,
        point=point.tolist(),
        u_um=None if u_um is None else clean_number(u_um, field="u_um", above=0.0, limit=LIMIT_UM),
        note=clean_text(note, field="note", max_length=TEXT_LENGTH),
        targeting=Targeting.objects.filter(roi=roi, mount=mount).first(),
        created_by=actor,
        **(_predicted(mapped) if mapped else {"no_prediction_reason": refusal[:500]}),
    )
    with record.act("record_found", actor=actor, project=roi.project_id) as act:
        found.save(force_insert=True)
        _say(act, found, mapped.paths[0] if mapped else None)
        _acquire(actor, roi, mount)
    return found


def clean_reading(position: object) -> dict[str, float]:
    """Return a stage reading; InvalidValueError names the part at fault."""
    if not isinstance(position, Mapping):
        raise InvalidValueError("must be an object {x, y, z} in um, rotation and tilt in degrees", field="position")
    unknown = sorted(str(name) for name in position if name not in _PARTS)
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: {', '.join(_PARTS)}", field="position")
    missing = [axis for axis in "xyz" if position.get(axis) is None]
    if missing:
        raise InvalidValueError(f"{', '.join(missing)} must be given, um", field=f"position.{missing[0]}")
    return {
        name: clean_number(value, field=f"position.{name}", limit=LIMIT_UM)
        for name, value in position.items()
        if value is not None
    }


def _prediction(roi: Roi, mount: Mount) -> tuple[Mapped | None, str]:
    """Where the graph puts the region now; a region that nothing leads to is found all the same, by eye."""
    try:
        return predict(roi, mount), ""
    except (NoPathError, MaskError) as refusal:
        return None, refusal.message


def _predicted(mapped: Mapped) -> dict[str, Any]:
    return {
        "predicted": mapped.points[0].tolist(),
        "covariance": None if np.isnan(mapped.covariances[0]).any() else mapped.covariances[0].tolist(),
        "degrees_of_freedom": _finite(mapped),
        "path": mapped.paths[0].steps,
    }


def _finite(mapped: Mapped) -> float | None:
    value = float(mapped.degrees_of_freedom[0])
    known = math.isfinite(value) and not np.isnan(mapped.covariances[0]).any()
    return value if known else None


def _acquire(actor: User, roi: Roi, mount: Mount) -> None:
    """Set the status in an act of its own: that it was looked at stays true when what predicted it falls."""
    locked = Roi.objects.select_for_update().get(pk=roi.pk)
    if locked.status == Roi.Status.ACQUIRED:
        return
    with record.act("acquire_roi", actor=actor, project=roi.project_id) as act:
        act.used(mount, role="mount")
        Roi.objects.filter(pk=roi.pk).update(status=Roi.Status.ACQUIRED)
        act.changed(roi, before={"status": str(locked.status)}, after={"status": str(Roi.Status.ACQUIRED)})
    roi.status = Roi.Status.ACQUIRED


def _say(act: record.Act, found: Found, path: Path | None) -> None:
    act.used(found.roi, role="region")
    act.used(found.mount, role="mount")
    act.used(found.instrument, role="instrument")
    if path is not None:
        use_path(act, path)
    facts = {
        "corr:point": found.point,
        "corr:predicted": found.predicted,
        "corr:covariance": found.covariance,
        "corr:path": found.path,
    }
    act.created(
        found,
        attributes={name: value for name, value in facts.items() if value},
        erasable={"note": found.note} if found.note else None,
    )
    act.asserted(found, "position", {"position": found.position, "unit": "um", "u_um": found.u_um})
    act.derived(found, found.roi)
    if found.targeting is not None:
        act.derived(found, found.targeting)
