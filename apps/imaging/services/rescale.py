"""What a new scale does to the rest: images on the same grid follow it, numbers that carry a length go stale."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from apps.imaging.models import Image, SourceFile
from apps.imaging.selectors import effective_spacing
from apps.imaging.services.publish import image_attributes
from apps.projects.models import User
from apps.provenance import graph, record


class ScaleDependents(Protocol):
    """Says which of the given things were computed under another spacing and move when it becomes ``spacing``."""

    def __call__(self, ids: Collection[uuid.UUID], *, spacing: Mapping[str, Any]) -> set[uuid.UUID]:
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

    A calibration and the frame that it leads to do not carry over unless they are among what changed.
    """
    carried = (
        "project_id", "acquisition_id", "specimen_id", "state_id", "job_id", "name", "kind", "modality", "store",
        "axes", "shape", "dtype", "channels", "signal", "levels", "handedness", "specimen_area", "facts",
    )  # fmt: skip
    return Image(
        **{name: getattr(old, name) for name in carried},
        **changed,
        calibrated=True,
        version=old.version + 1,
        supersedes=old,
        created_by=actor,
    )


def say_origin(act: record.Act, old: Image) -> None:
    """Say what the samples of a new version rest on, without the calibration that the old one is under.

    That is the nearest former version under none; where every version is under one, the source files.  What a job made
    under a calibration rests on it whatever scale it is given later.
    """
    if old.acquisition_id is None:
        act.used(old, role="image")
        return
    nominal: Image | None = old
    while nominal is not None and nominal.calibration_id is not None:
        nominal = nominal.supersedes
    if nominal is not None:
        act.used(nominal, role="image")
        return
    for source in SourceFile.objects.filter(acquisition_id=old.acquisition_id):
        act.used(source, role="source file")


def _same_grid(old: Image, downstream: Collection[uuid.UUID]) -> list[Image]:
    """Current images made from ``old`` that took over its scale: labels, filtered images."""
    rows = Image.objects.select_related("store").filter(
        pk__in=list(downstream),
        frame=old.frame,
        calibration=old.calibration,
        superseded_by__isnull=True,
        project_id=old.project_id,
    )
    return [row for row in rows if row.spacing == old.spacing and row.shape[-3:] == old.shape[-3:]]


def _first_version(image: Image) -> Image:
    while image.supersedes is not None:
        image = image.supersedes
    return image


def carry_scale(
    *, act: record.Act, old: Image, new: Image, actor: User, reason: str, what: str = "the spacing was set anew"
) -> list[Image]:
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
        follower = next_version(
            image,
            actor,
            spacing=new.spacing,
            frame=new.frame,
            calibrated_frame=new.calibrated_frame,
            calibration=new.calibration,
            calibration_flags=new.calibration_flags,
        )
        follower.save(force_insert=True)
        act.created(follower, attributes=image_attributes(follower), erasable={"name": follower.name})
        act.derived(follower, image, relation="revision")
        act.derived(follower, new)
        followers.append(follower)
        superseded.append(image.pk)
    scale = effective_spacing(new) or {}

    def outdated(ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        # an image that still has the old scale was finished by a job after the followers were made
        moved = {image.pk for image in _same_grid(old, ids)}
        return moved.union(*(find(ids, spacing=scale) for find in _dependents))

    why = f"{what}: {reason}"
    act.stale(superseded, cause=old.pk, reason=why)
    # from the first version on: what a former change rightly left alone may move with this one
    act.stale_closure(_first_version(old).pk, why, select=outdated)
    return followers
