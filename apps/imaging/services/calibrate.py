"""Set an image's scale by hand: a new version of the image and its frame over the same samples."""

from __future__ import annotations

from typing import Any

from apps.core.clean import TEXT_LENGTH, clean_text
from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging.models import Image
from apps.imaging.scale import check_spacing, missing_axes
from apps.imaging.services.place import place_image
from apps.imaging.services.publish import create_frame, image_attributes
from apps.imaging.services.rescale import carry_scale, next_version, say_origin
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record


def calibrate_image(*, actor: User, image: Image, spacing_um: Any, spacing_u_um: Any, reason: str) -> Image:
    """Make a new version of an image with a spacing typed by hand.

    Parameters
    ----------
    spacing_um : mapping
        Sample distance along x, y and, for a volume, z, micrometres.  An axis not named keeps what it has.
    spacing_u_um : float or mapping
        Standard uncertainty, micrometres, of all or of each.
    reason : str
        Where the numbers come from; kept erasable beside the record.

    Returns
    -------
    Image
        The new version, over the same store, in a frame of its own.

    Raises
    ------
    InvalidValueError
        Numbers that are no spacing, no reason, or an axis longer than one sample still without a spacing.
    ConflictError
        A newer version supersedes this one.
    """
    access.require(actor, access.Action.CONTRIBUTE, image)
    typed = check_spacing(spacing_um, spacing_u_um)
    why = clean_text(reason, field="reason", max_length=TEXT_LENGTH, required=True)
    former = image.spacing or {}
    spacing = {axis: typed.get(axis, former.get(axis)) for axis in ("z", "y", "x")}
    if missing := missing_axes(image.axes, image.shape, spacing):
        raise InvalidValueError(
            f"the image has several samples along {', '.join(missing)} and no spacing there; give it too",
            field=f"spacing_um.{missing[0]}",
        )
    with record.act("calibrate_image", actor=actor, project=image.project_id, reason=why) as act:
        old = (
            Image.objects.select_for_update(of=("self",))
            .select_related("store")
            .defer("store__manifest")
            .get(pk=image.pk)
        )
        newer = Image.objects.filter(supersedes=old).values_list("pk", flat=True).first()
        if newer is not None:
            raise ConflictError(
                f"image {newer} supersedes this one; calibrate that", details={"superseded_by": str(newer)}
            )
        new = next_version(old, actor, spacing=spacing)
        new.frame = create_frame(act=act, image=new)
        place_image(new)
        new.save(force_insert=True)
        say_origin(act, old)
        act.created(new, attributes=image_attributes(new), erasable={"name": new.name})
        act.derived(new, old, relation="revision")
        act.asserted(new, "spacing", typed)
        carry_scale(act=act, old=old, new=new, actor=actor, reason=reason)
    return new
