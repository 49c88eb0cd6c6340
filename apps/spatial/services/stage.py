"""A candidate from an image to the stage frame of its mount, from the stage reading that was taken with it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from apps.core.errors import InvalidValueError
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import clean_covariance, clean_matrix
from apps.spatial.models import Frame, Mount, Transform
from apps.spatial.services.transforms import add_transform
from apps.spatial.stage_place import NotPlacedError, Placed, Plane, Reading, check_pose, place
from apps.spatial.targeting_stage import Stage, StageSenseError, stage_of

NO_RESIDUAL: Final = "from one stage reading; there are no landmarks"


def place_on_stage(*, frame: Frame, mount: Mount, reading: Reading, plane: Plane, actor: User) -> Transform:
    """Write where an image lies on the stage as a candidate, inside the transaction that publishes the image.

    Parameters
    ----------
    frame : Frame
        In which the image's lengths are points, saved.
    mount : Mount
        In which it was taken, of the same project.
    reading, plane
        What the file states of the stage, and what is placed.
    actor : User
        Whose ingest it is; an act of the server's own says so.

    Returns
    -------
    Transform
        A candidate of method ``stage``; ``facts["stage"]`` holds reading, pose, errors and what was assumed.

    Raises
    ------
    NotPlacedError
        There is no such map, with the reason.
    """
    try:
        stage = stage_of(mount.instrument)
    except StageSenseError as error:
        raise NotPlacedError(error.code, error.message) from error
    found, matrix, covariance = _usable(stage, reading, plane)
    # the mount is locked: of two ingests at once the first one decides at which pose its frame holds
    Mount.objects.select_for_update().get(pk=mount.pk)
    for former in _poses(mount):
        check_pose(found.pose, former)
    said = {
        "reading": {name: getattr(reading, name) for name in ("x", "y", "z", "rotation", "tilt", "scan_rotation")},
        "reading_from": reading.source,
        "pose": dict(found.pose),
        "centre_um": list(plane.centre),
        "errors": dict(found.errors),
        "assumed": list(found.assumed),
    }
    transform = Transform(
        source=frame,
        target=mount.frame,
        kind=found.kind,
        method=Transform.Method.STAGE,
        matrix=matrix,
        covariance=covariance,
        no_residual_reason=NO_RESIDUAL,
        facts={"stage": said},
        created_by=actor,
    )
    with record.act("place_on_stage", actor=None, project=frame.project_id, on_behalf_of=actor) as act:
        act.used(mount, role="mount")
        act.used(mount.instrument, role="instrument")
        return add_transform(act, transform)


def _usable(stage: Stage, reading: Reading, plane: Plane) -> tuple[Placed, Any, Any]:
    """The place, its matrix and its covariance; what a file states absurdly is a reason, and no end of the ingest."""
    try:
        found = place(stage, reading, plane)
        matrix = clean_matrix(found.matrix.tolist(), kind=found.kind)
        return found, matrix, clean_covariance(found.covariance.tolist())
    except (InvalidValueError, np.linalg.LinAlgError) as error:
        raise NotPlacedError("unusable", f"what the file states gives no usable map: {error}") from error


def _poses(mount: Mount) -> list[dict[str, Any]]:
    """The pose at which the stage frame of a mount holds: that of the first transform to it that still stands."""
    rows = Transform.objects.filter(target=mount.frame, method=Transform.Method.STAGE, facts__stage__pose__isnull=False)
    standing = rows.exclude(status=Transform.Status.WITHDRAWN).order_by("created_at", "pk")
    return [facts["stage"]["pose"] for facts in standing.values_list("facts", flat=True)[:1]]
