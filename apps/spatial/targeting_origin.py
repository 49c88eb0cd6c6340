"""Where the images of frames come from: instrument, mount and the stage's pose.

Acquisitions live above this app; they say so through ``register``, called from their ``AppConfig.ready``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from apps.spatial.models import Frame, Mount


@dataclass(frozen=True)
class Origin:
    """Of the image of a frame: instrument, mount, and how the stage stood; None where it is not stated.

    Angles are degrees, the working distance um.
    """

    instrument: uuid.UUID | None
    mount: uuid.UUID | None
    rotation: float | None = None
    tilt: float | None = None
    working_distance: float | None = None


Teller = Callable[[Collection[uuid.UUID]], dict[uuid.UUID, Origin]]
_tellers: list[Teller] = []


def register(teller: Teller) -> None:
    """Have a function asked for the origins of frames, by their ids."""
    if teller not in _tellers:
        _tellers.append(teller)


def origins_of(frames: Collection[uuid.UUID]) -> dict[uuid.UUID, Origin]:
    """Return the origins of those frames that have one."""
    found: dict[uuid.UUID, Origin] = {}
    for teller in _tellers:
        found |= teller(frames)
    return found


def instrument_of(frame: Frame) -> uuid.UUID | None:
    """Return the instrument in whose image, or on whose stage, a frame is; None where it is not known."""
    mount = Mount.objects.filter(frame=frame).first()
    if mount is not None:
        return mount.instrument_id
    origin = origins_of([frame.pk]).get(frame.pk)
    return origin.instrument if origin else None
