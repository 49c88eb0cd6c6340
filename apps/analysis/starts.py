"""The starts that a registration lacks and the server can give: ``stage`` and ``history``, by its images' frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.analysis.resolve import Resolved
from apps.imaging.coverage import frame_of
from apps.imaging.models import Image
from apps.spatial.models import Frame
from apps.spatial.starts import Start, history_start, in_the_plane, stage_start

PORTS: Final = ("stage", "history")


@dataclass(frozen=True)
class Filling:
    """A start for a port, between the frames of the moving and of the fixed image."""

    port: str
    start: Start
    moving: Frame
    fixed: Frame


def missing_start(resolved: Resolved) -> Filling | None:
    """Return the start that a submission asks for and does not give; None where it needs none, or none is known.

    ``auto`` begins at what was found before, where something was, else at the stage positions.
    """
    ports = {port.name for port in resolved.spec.inputs}
    wanted = _wanted(resolved.params, ports)
    given = {"initial", *PORTS} & set(resolved.inputs)
    rows = [resolved.rows.get(port, [None])[0] for port in ("moving", "fixed")]
    images = [row for row in rows if isinstance(row, Image)]
    frames = _frames(images)
    if not wanted or given or frames is None:
        return None
    moving, fixed = frames
    for port in wanted:
        start = stage_start(moving, fixed) if port == "stage" else history_start(moving, fixed)
        if start is not None and all(_is_plane(image) for image in images):
            start = in_the_plane(start)
        if start is not None:
            return Filling(port, start, moving, fixed)
    return None


def _wanted(params: Mapping[str, Any], ports: set[str]) -> list[str]:
    asked = {"auto": ["history", "stage"], "stage": ["stage"], "history": ["history"]}
    return [port for port in asked.get(str(params.get("start")), []) if port in ports]


def _frames(images: Sequence[Image]) -> tuple[Frame, Frame] | None:
    """The frames of the moving and of the fixed image, where both have one and they are two."""
    frames = [frame for image in images if (frame := frame_of(image))]
    if len(frames) != 2 or frames[0].pk == frames[1].pk:
        return None
    return frames[0], frames[1]


def _is_plane(image: Image) -> bool:
    return dict(zip(image.axes, image.shape, strict=True)).get("z", 1) == 1
