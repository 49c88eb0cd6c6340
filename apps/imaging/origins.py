"""Where images come from, for the apps below: instrument, mount and the pose of the stage."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, Final

from django.db.models import Q

from apps.imaging.models import Acquisition, Image
from apps.imaging.placement import reading_of
from apps.spatial.targeting_origin import Origin

_UM: Final = {"m": 1e6, "mm": 1e3, "um": 1.0, "nm": 1e-3}


def origins(frames: Collection[uuid.UUID]) -> dict[uuid.UUID, Origin]:
    """Return the origin of each frame that an acquired image has, nominal or calibrated; one query."""
    rows = (
        Image.objects.filter(Q(frame__in=frames) | Q(calibrated_frame__in=frames), acquisition__isnull=False)
        .select_related("acquisition")
        .order_by("created_at")
    )
    found: dict[uuid.UUID, Origin] = {}
    for image in rows:
        for frame in (image.frame_id, image.calibrated_frame_id):
            if frame in frames and frame is not None and image.acquisition is not None:
                found[frame] = _origin(image, image.acquisition)
    return found


def _origin(image: Image, acquisition: Acquisition) -> Origin:
    position = acquisition.position or {}
    reading = reading_of(image, acquisition)
    return Origin(
        instrument=acquisition.instrument_id,
        mount=acquisition.mount_id,
        rotation=position.get("rotation") if reading is None else reading.rotation,
        tilt=position.get("tilt") if reading is None else reading.tilt,
        working_distance=_length(acquisition.settings.get("working_distance"))
        or _length(acquisition.facts.get("working_distance")),
    )


def _length(stated: Any) -> float | None:
    if not isinstance(stated, dict) or isinstance(stated.get("value"), bool):
        return None
    value, scale = stated.get("value"), _UM.get(str(stated.get("unit")))
    return value * scale if isinstance(value, int | float) and scale is not None else None
