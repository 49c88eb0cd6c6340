"""Starts of registrations as transforms of their own: composed once, and the same for the same parts."""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.projects import access
from apps.projects.models import User
from apps.provenance import record
from apps.spatial.geometry import ORTHONORMAL_TOLERANCE, clean_covariance, clean_matrix
from apps.spatial.models import Found, Frame, Transform
from apps.spatial.services.transforms import add_transform
from apps.spatial.starts import Start

NO_RESIDUAL: Final = "composed of other transforms, which it rests on; there are no landmarks"


def known_start(start: Start, source: Frame, target: Frame) -> Transform | None:
    """Return the transform that was composed of the same parts before."""
    rows = Transform.objects.filter(source=source, target=target, facts__start__key=start.key)
    return rows.exclude(status=Transform.Status.WITHDRAWN).order_by("created_at", "pk").first()


def ensure_start(*, actor: User, start: Start, source: Frame, target: Frame) -> Transform:
    """Return a start as a candidate between two frames, composed where that was not done before.

    It is recorded as derived from every transform and every found position in it: when one of them falls, it goes
    stale.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor does not see the frames, or may not contribute.
    """
    access.require(actor, access.Action.CONTRIBUTE, source)
    known = known_start(start, source, target)
    if known is not None:
        return known
    parts = [str(pk) for pk in start.transforms]
    found = [str(pk) for pk in start.found]
    kind = _kind(start)
    transform = Transform(
        source=source,
        target=target,
        kind=kind,
        method=Transform.Method.STAGE,
        matrix=clean_matrix(start.matrix.tolist(), kind=kind),
        covariance=None if start.covariance is None else clean_covariance(start.covariance.tolist()),
        no_residual_reason=NO_RESIDUAL,
        facts={"start": {"name": start.name, "key": start.key, "transforms": parts, "found": found, **start.facts}},
        created_by=actor,
    )
    with record.act("compose_start", actor=actor, project=source.project_id) as act:
        add_transform(act, transform)
        rests_on = [*Transform.objects.filter(pk__in=start.transforms), *Found.objects.filter(pk__in=start.found)]
        for part in rests_on:
            act.used(part, role="part")
            act.derived(transform, part)
    return transform


def _kind(start: Start) -> str:
    linear = start.matrix[:3, :3]
    if np.linalg.det(linear) < 0.0:
        return str(Transform.Kind.REFLECTION)
    rigid = np.abs(linear.T @ linear - np.eye(3)).max() <= ORTHONORMAL_TOLERANCE
    return str(Transform.Kind.RIGID if rigid else Transform.Kind.AFFINE)
