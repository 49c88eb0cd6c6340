"""An image's place on the stage, made as the image is published: a candidate transform, or a hint with the reason."""

from __future__ import annotations

from typing import Any

from apps.imaging.models import Image
from apps.imaging.placement import FACT, plane_of, reading_of
from apps.spatial.models import Mount, Transform
from apps.spatial.services import place_on_stage
from apps.spatial.stage_place import NotPlacedError, Reading


def place_image(image: Image, beside: Image | None = None) -> None:
    """Write where an image lies on the stage of its mount, and say so in its facts; the image is not saved yet.

    An image of an acquisition without a mount, and without a stage position, is none that a stage says anything of.
    One in the frame of another image (``beside``) is where that one is.
    """
    if beside is not None:
        if FACT in beside.facts:
            image.facts = {**image.facts, FACT: beside.facts[FACT]}
        return
    acquisition = image.acquisition
    if acquisition is None:
        return
    reading = reading_of(image, acquisition)
    if reading is None and acquisition.mount is None:
        return
    mount = acquisition.mount
    known = {"transform": None, "mount": None if mount is None else str(mount.pk)}
    try:
        transform = _placed(image, reading, mount)
    except NotPlacedError as reason:
        _say(image, f"not placed on the stage: {reason.message}", known | {"code": reason.code})
        return
    words = "placed on the stage by its reading: a candidate, for a person to accept"
    _say(image, words, known | {"code": "placed", "transform": str(transform.pk)})


def _placed(image: Image, reading: Reading | None, mount: Mount | None) -> Transform:
    if reading is None:
        raise NotPlacedError("no_position", "neither the file nor the acquisition states x and y of the stage")
    if mount is None:
        raise NotPlacedError("no_mount", "a stage position is stated, and the acquisition names no mount it holds for")
    plane = plane_of(image)
    frame = image.calibrated_frame or image.frame
    if frame is None:  # calibrated images have one: the database says so
        raise AssertionError(image.pk)
    return place_on_stage(frame=frame, mount=mount, reading=reading, plane=plane, actor=image.created_by)


def _say(image: Image, words: str, more: dict[str, Any]) -> None:
    image.facts = {**image.facts, FACT: {"value": words, "unit": None, "source": "derived", **more}}
