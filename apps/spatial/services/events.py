"""Specimen events that place a piece: the rows are the catalog's, the frames and the first transform are made here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from apps.catalog import services as catalog
from apps.catalog.models import Specimen, SpecimenEvent, State
from apps.catalog.selectors import current_state
from apps.core.errors import InvalidValueError
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.models import Transform
from apps.spatial.pose import Pose, clean_event_geometry, pose_of
from apps.spatial.services.frames import ensure_state_frame
from apps.spatial.services.transforms import add_transform


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
         "pose": 4 x 4, "pose_covariance": 12 x 12,  of the piece: point in the parent = pose @ point in the piece
         "u_um": ..., "u_deg": ...,                  instead of the covariance: of the shift along each axis, and of
                                                     the turn about each axis, about the middle of the cut
         "landmarks": [...]}                         source in the piece, target in the parent

    A pose, else landmarks, else the cut of a lift-out, makes a candidate transform from the frame of the piece's state
    to the frame of the state that the event ended; both frames are opened if this is their first use.  See
    :func:`apps.spatial.pose.pose_of`.

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
    for part in ("pose", "landmarks"):
        if place and part in place and child is None:
            raise InvalidValueError(
                f"{'a pose places' if part == 'pose' else 'landmarks place'} a piece; give the child too",
                field=f"geometry.{part}",
            )
    pose = pose_of(place, kind) if place else None
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
        if pose is not None and event.child is not None:
            _place_child(act, former, event.child, pose, actor)
    return event


def _place_child(act: record.Act, former: State, child: Specimen, pose: Pose, actor: User) -> Transform:
    transform = Transform(
        source=ensure_state_frame(act, current_state(child)),
        target=ensure_state_frame(act, former),
        kind=Transform.Kind.RIGID,
        method=pose.method,
        matrix=pose.matrix,
        covariance=pose.covariance,
        degrees_of_freedom=pose.degrees_of_freedom,
        facts=pose.facts,
        no_residual_reason=pose.no_residual_reason,
        created_by=actor,
    )
    add_transform(act, transform, pairs=pose.pairs)
    act.asserted(transform, "matrix", {"matrix": transform.matrix, "method": str(transform.method)})
    return transform
