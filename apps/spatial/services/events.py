"""Specimen events that place a piece: the rows are the catalog's, the frames and the first transform are made here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from apps.catalog import services as catalog
from apps.catalog.models import Specimen, SpecimenEvent, State
from apps.catalog.selectors import current_state
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import clean_covariance, clean_geometry, clean_matrix
from apps.spatial.models import Transform
from apps.spatial.services.frames import ensure_state_frame
from apps.spatial.services.transforms import add_transform

_KEYS: Final = frozenset({"type", "coordinates", "pose", "pose_covariance"})
NO_RESIDUAL: Final = "pose given with the cut geometry; no landmarks"


def record_specimen_event(
    *,
    actor: User,
    specimen: Specimen,
    kind: str,
    occurred_at: dt.datetime,
    conditions: Mapping[str, Any] | None = None,
    performed_by: str = "",
    geometry: Mapping[str, Any] | None = None,
    note: str = "",
    child: Specimen | catalog.ChildSpec | None = None,
) -> SpecimenEvent:
    """Record what was done to a specimen, with where it was done.

    Parameters are those of :func:`apps.catalog.services.record_event`; here ``geometry`` is checked and acted upon::

        {"type": ..., "coordinates": ...,            the cut, as a region, um, in the frame of the state that it ended
         "pose": 4 x 4, "pose_covariance": 12 x 12}  of the piece: point in the parent = pose @ point in the piece

    A pose makes a candidate transform of method ``geometry`` from the frame of the piece's state to the frame of the
    state that the event ended; both frames are opened if this is their first use.

    Returns
    -------
    SpecimenEvent
        With ``opens`` and, where there is one, ``child``.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the specimen, or may not contribute.
    InvalidValueError
        A value cannot be taken; a pose without a piece.
    ConflictError
        The child has another origin, or its name is taken.
    """
    access.require(actor, access.Action.CONTRIBUTE, specimen)
    place = None if geometry is None else clean_event_geometry(geometry)
    if place and "pose" in place and child is None:
        raise InvalidValueError("a pose places a piece; give the child too", field="geometry.pose")
    with record.act("record_specimen_event", actor=actor, project=specimen.project_id) as act:
        locked = Specimen.objects.select_for_update().get(pk=specimen.pk)
        former = current_state(locked)
        event = catalog.record_event(
            actor=actor,
            specimen=specimen,
            kind=kind,
            occurred_at=occurred_at,
            conditions=conditions,
            performed_by=performed_by,
            geometry=place,
            note=note,
            child=child,
        )
        act.communicated(event)
        if place and "pose" in place and event.child is not None:
            _place_child(act, former, event.child, place, actor)
    return event


def clean_event_geometry(value: object) -> dict[str, Any]:
    """Return the geometry of an event, checked; InvalidValueError names the part at fault."""
    if not isinstance(value, Mapping):
        raise InvalidValueError("must be an object {type, coordinates, pose, pose_covariance}", field="geometry")
    unknown = sorted(str(key) for key in value if key not in _KEYS)
    if unknown:
        raise InvalidValueError(f"unknown: {shown(unknown)}; known: {', '.join(sorted(_KEYS))}", field="geometry")
    place: dict[str, Any] = {}
    if "type" in value or "coordinates" in value:
        place = clean_geometry({key: value[key] for key in ("type", "coordinates") if key in value})
    if value.get("pose") is not None:
        place["pose"] = clean_matrix(value["pose"], kind="rigid", field="geometry.pose")
    if value.get("pose_covariance") is not None:
        if "pose" not in place:
            raise InvalidValueError("a covariance belongs to a pose; give that too", field="geometry.pose_covariance")
        place["pose_covariance"] = clean_covariance(value["pose_covariance"], field="geometry.pose_covariance")
    if not place:
        raise InvalidValueError("give the cut (type, coordinates), the pose, or leave geometry out", field="geometry")
    return place


def _place_child(act: record.Act, former: State, child: Specimen, place: Mapping[str, Any], actor: User) -> Transform:
    transform = Transform(
        source=ensure_state_frame(act, current_state(child)),
        target=ensure_state_frame(act, former),
        kind=Transform.Kind.RIGID,
        method=Transform.Method.GEOMETRY,
        matrix=place["pose"],
        covariance=place.get("pose_covariance"),
        no_residual_reason=NO_RESIDUAL,
        created_by=actor,
    )
    add_transform(act, transform)
    act.asserted(transform, "matrix", {"matrix": transform.matrix, "method": str(transform.method)})
    return transform
