"""Frames that the file of their images states in one: joined by a transform that the ingest accepts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import clean_covariance, clean_matrix
from apps.spatial.models import Frame, Transform, TransformDecision
from apps.spatial.services.transforms import add_transform


def join_frames(
    *, source: Frame, target: Frame, matrix: npt.NDArray[np.float64], u_um: float, reason: str, actor: User
) -> Transform:
    """Write and accept the map between two frames of one file, inside the transaction that publishes its images.

    Parameters
    ----------
    source, target : Frame
        Of two images of one file, saved.
    matrix : ndarray, 4 x 4
        ``target = matrix @ source``, um; scales along the axes and shifts.
    u_um : float
        Standard error of the shift along each axis; 0 where the file states both on one grid.
    reason : str
        Why there is no residual, and why nobody has to look at it.
    actor : User
        Whose ingest it is; an act of the server's own says so.

    Returns
    -------
    Transform
        Accepted, of method ``geometry``; ``facts["one_file"]`` says that it holds whatever happens to the specimen.
    """
    unscaled = bool(np.array_equal(matrix[:3, :3], np.eye(3)))
    kind = Transform.Kind.TRANSLATION if unscaled else Transform.Kind.AFFINE
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = u_um**2
    transform = Transform(
        source=source,
        target=target,
        kind=kind,
        method=Transform.Method.GEOMETRY,
        matrix=clean_matrix(matrix.tolist(), kind=kind),
        covariance=clean_covariance(covariance.tolist()),
        status=Transform.Status.ACCEPTED,
        no_residual_reason=reason,
        facts={"one_file": {"exact": u_um == 0.0, "u_um": u_um}},
        created_by=actor,
    )
    with record.act("join_frames", actor=None, project=source.project_id, on_behalf_of=actor) as act:
        add_transform(act, transform)
        decision = TransformDecision.objects.create(
            transform=transform, status=Transform.Status.ACCEPTED, reason=reason, decided_by=actor
        )
        act.created(decision, attributes={"corr:status": str(decision.status)}, erasable={"reason": decision.reason})
    return transform
