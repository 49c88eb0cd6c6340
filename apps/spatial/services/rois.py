"""Regions of interest: a place in a frame, written once; a correction is a new version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.catalog.models import Instrument
from apps.core.clean import clean_text, constraint_refuses
from apps.core.errors import ConflictError, InvalidValueError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import bounding_box, clean_geometry
from apps.spatial.models import Frame, Roi


def create_roi(
    *,
    actor: User,
    frame: Frame,
    geometry: Mapping[str, Any],
    name: str,
    purpose: str = "",
    target_instrument: Instrument | None = None,
    supersedes: Roi | None = None,
) -> Roi:
    """Mark a place in a frame.

    Parameters
    ----------
    actor : User
        A contributor of the frame's project.
    frame : Frame
        Where the coordinates mean something.
    geometry : mapping
        ``{type, coordinates}`` in um, see :func:`apps.spatial.geometry.clean_geometry`.
    name, purpose : str
        What it is called and for.
    target_instrument : Instrument, optional
        Where it is to be looked at next.
    supersedes : Roi, optional
        The earlier version in the same frame; the version number goes on from it.

    Returns
    -------
    Roi
        With its bounding box, um.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the frame, or may not contribute.
    InvalidValueError
        A value cannot be taken.
    ConflictError
        The earlier version has been superseded already.
    """
    access.require(actor, access.Action.CONTRIBUTE, frame)
    place = clean_geometry(geometry)
    roi = Roi(
        project=frame.project,
        frame=frame,
        name=clean_text(name, field="name", required=True),
        purpose=clean_text(purpose, field="purpose", max_length=500),
        geometry_type=place["type"],
        geometry=place,
        target_instrument=target_instrument,
        supersedes=supersedes,
        version=supersedes.version + 1 if supersedes else 1,
        created_by=actor,
        **bounding_box(place),
    )
    taken = ConflictError("that version has been superseded already; name its successor", field="supersedes")
    with (
        constraint_refuses("supersedes_id", error=taken),
        record.act("create_roi", actor=actor, project=frame.project_id) as act,
    ):
        if supersedes is not None:
            _check_superseded(roi, supersedes, taken)
        roi.save(force_insert=True)
        _say(act, roi)
    return roi


def _check_superseded(roi: Roi, former: Roi, taken: ConflictError) -> None:
    if former.frame_id != roi.frame_id:
        raise InvalidValueError("a region supersedes one in the same frame", field="supersedes")
    if Roi.objects.filter(supersedes=former).exists():
        raise taken


def _say(act: record.Act, roi: Roi) -> None:
    act.used(roi.frame, role="frame")
    texts = {"name": roi.name, "purpose": roi.purpose}
    act.created(
        roi,
        attributes={"corr:geometryType": str(roi.geometry_type), "corr:version": roi.version},
        erasable={name: text for name, text in texts.items() if text},
    )
    act.asserted(roi, "geometry", {"geometry": roi.geometry, "unit": "um"})
    if roi.supersedes is not None:
        act.derived(roi, roi.supersedes, relation="revision")
