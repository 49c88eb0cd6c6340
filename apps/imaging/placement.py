"""What an image and its acquisition state of the stage, as the maths of places on a stage takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from apps.imaging.models import Acquisition, Image, Modality
from apps.imaging.scale import plain_spacing
from apps.imaging.selectors import effective_spacing
from apps.spatial.stage_place import NotPlacedError, Plane, Reading

FACT: Final = "stage_placement"
# Where a beam makes the image point by point, its rows can be turned by a scan rotation.
_SCANNED: Final = frozenset({Modality.SEM, Modality.FIB_SEM, Modality.STEM, Modality.EDS, Modality.EBSD})
_SHIFTS: Final = ("image_shift_x", "image_shift_y")
_STEPS: Final = ("affine_ux", "affine_uy", "affine_vx", "affine_vy")
_WITHOUT_ONE_PLACE: Final = {
    "projections": "the images are projections at several angles: they have no one place on the stage",
    "reconstruction": "how the axes of the reconstruction lie to those of the stage is not stated",
    "series": "the images are a series at several positions of the stage",
    "mosaic tiles": "the images are tiles at several positions of the stage",
}


def fact_number(facts: Mapping[str, Any], name: str) -> float | None:
    """The value of a fact where it is one finite number."""
    entry = facts.get(name)
    value = entry.get("value") if isinstance(entry, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def reading_of(image: Image, acquisition: Acquisition) -> Reading | None:
    """What is stated of the stage: by the image's own file, and what that lacks as it was typed with the acquisition.

    None where nobody states a position.
    """
    facts, typed = image.facts, acquisition.position or {}
    position = {name: fact_number(facts, f"stage_{name}") for name in ("x", "y", "z", "rotation", "tilt")}
    own = position["x"] is not None and position["y"] is not None
    if not own:
        position |= {name: typed.get(name, position[name]) for name in position}
    if position["x"] is None or position["y"] is None:
        return None
    steps = [fact_number(facts, name) for name in _STEPS]
    ux, uy, vx, vy = (step or 0.0 for step in steps)
    shift_x, shift_y = (fact_number(facts, name) or 0.0 for name in _SHIFTS)
    return Reading(
        **position,
        scan_rotation=fact_number(facts, "scan_rotation"),
        image_shift=(shift_x, shift_y),
        tilt_correction=_correction(facts),
        affine=None if None in steps else (ux, uy, vx, vy),
        source="file" if own else "user",
    )


def _correction(facts: Mapping[str, Any]) -> float | None:
    """The tilt that the scan was corrected for, degrees; NaN for one that is not stated, None where none was made."""
    entry = facts.get("tilt_correction")
    if not isinstance(entry, Mapping) or not entry.get("value"):
        return None
    angle = fact_number(facts, "tilt_correction_angle")
    return math.nan if angle is None else angle


def plane_of(image: Image) -> Plane:
    """The plane that an image shows, in the frame in which its lengths are points.

    Raises
    ------
    NotPlacedError
        It has no scale, is a volume, or shows several places.
    """
    if not image.calibrated:
        raise NotPlacedError("no_scale", "the image has no scale")
    mode = image.facts.get("mode")
    words = _WITHOUT_ONE_PLACE.get(str(mode.get("value"))) if isinstance(mode, Mapping) else None
    if words is not None:
        raise NotPlacedError("several_places", words)
    sizes = dict(zip(image.axes, image.shape, strict=True))
    if sizes.get("z", 1) > 1:
        raise NotPlacedError(
            "volume", "the image is a volume, and for which of its planes the stage stood is not stated"
        )
    spacing = plain_spacing(effective_spacing(image))
    steps = {axis: spacing[axis] or 1.0 for axis in ("x", "y")}
    middle = {}
    for axis in ("x", "y"):
        first, end = (image.specimen_area or {}).get(axis, (0, sizes.get(axis, 1)))
        middle[axis] = (first + end - 1) / 2.0 * steps[axis]
    mirrored = {"left": True, "right": False}.get(image.handedness)
    return Plane(
        centre=(middle["x"], middle["y"], 0.0),
        spacing=(steps["x"], steps["y"]),
        mirrored=mirrored,
        scanned=image.modality in _SCANNED,
    )


def stage_of(image: Image) -> dict[str, Any] | None:
    """What an image says of its place on the stage: ``transform`` and ``mount`` (ids or None), ``code``, ``reason``.

    None where neither a position is stated nor a mount named.
    """
    entry = image.facts.get(FACT)
    if not isinstance(entry, Mapping):
        return None
    named = {name: entry.get(name) for name in ("transform", "mount", "code")}
    return named | {"reason": str(entry.get("value", ""))}
