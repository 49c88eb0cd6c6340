"""What a new scale does to the rest: images on the same grid follow it, numbers that carry a length go stale."""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from apps.imaging.models import Image
from apps.imaging.services.publish import image_attributes
from apps.projects.models import User
from apps.provenance import graph, record


class ScaleDependents(Protocol):
    """Says which of the given things move when a spacing does; ``uniform``: by one factor along every axis."""

    def __call__(self, ids: Collection[uuid.UUID], *, uniform: bool) -> set[uuid.UUID]:
        """Return those that move."""
        ...


_CLOSURE = 100_000
_dependents: list[ScaleDependents] = []


def register_scale_dependents(find: ScaleDependents) -> None:
    """Have a layer above say which of the given things move when a spacing does; called from ``AppConfig.ready``."""
    if find not in _dependents:
        _dependents.append(find)


def next_version(old: Image, actor: User, **changed: Any) -> Image:
    """Return an unsaved row like the old one over the same store, with another scale and frame.

    A frame that was reached by a calibration does not carry over.
    """
    carried = (
        "project_id", "acquisition_id", "specimen_id", "state_id", "job_id", "name", "kind", "modality", "store",
        "axes", "shape", "dtype", "channels", "levels", "handedness", "specimen_area", "facts",
    )  # fmt: skip
    return Image(
        **{name: getattr(old, name) for name in carried},
        **changed,
        calibrated=True,
        version=old.version + 1,
        supersedes=old,
        created_by=actor,
    )


def _same_grid(old: Image, downstream: Collection[uuid.UUID]) -> list[Image]:
    """Current images made from ``old`` that took over its scale: labels, filtered images."""
    rows = Image.objects.select_related("store").filter(
        pk__in=list(downstream), frame=old.frame, superseded_by__isnull=True, project_id=old.project_id
    )
    return [row for row in rows if row.spacing == old.spacing and row.shape[-3:] == old.shape[-3:]]


def is_uniform(axes: list[str], shape: list[int], old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """True if the spacings of all axes longer than one sample change by one factor.

    Without a former scale voxels counted as cubes: then True if the new spacings are equal.
    """
    factors = []
    for axis, size in zip(axes, shape, strict=True):
        entry = new.get(axis)
        if size > 1 and entry:
            former = (old or {}).get(axis)
            factors.append(entry["value"] / (former["value"] if former else 1.0))
    return all(math.isclose(factor, factors[0], rel_tol=1e-9) for factor in factors)


def carry_scale(*, act: record.Act, old: Image, new: Image, actor: User, reason: str) -> list[Image]:
    """Give derived images on the same grid the new scale too, and mark what the old one still stands in as stale.

    Marked are the superseded images and every number and table downstream that carries a length; what does not move
    with the spacing, a fraction or a conductivity, is left as it is.

    Returns
    -------
    list of Image
        The new versions of derived images, in the frame of ``new``.
    """
    downstream = graph.descendants([old.pk], limit=_CLOSURE)
    followers = []
    superseded = [old.pk]
    for image in _same_grid(old, downstream):
        follower = next_version(image, actor, spacing=new.spacing, frame=new.frame)
        follower.save(force_insert=True)
        act.created(follower, attributes=image_attributes(follower), erasable={"name": follower.name})
        act.derived(follower, image, relation="revision")
        act.derived(follower, new)
        followers.append(follower)
        superseded.append(image.pk)
    moved: set[uuid.UUID] = set()
    uniform = is_uniform(old.axes, old.shape, old.spacing, new.spacing or {})
    for find in _dependents:
        moved |= find(downstream, uniform=uniform)
    act.stale([*superseded, *sorted(moved)], cause=old.pk, reason=f"the spacing was set anew: {reason}")
    return followers
