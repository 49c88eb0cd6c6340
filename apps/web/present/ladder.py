"""The scale ladder: every image of a specimen as a bar from its sample distance to its field of view, 1 cm to 1 nm."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apps.imaging.selectors import effective_spacing
from apps.web.present.lengths import field_of, format_length, spacing_of

COARSEST_UM = 1e4
FINEST_UM = 1e-3
_DECADES = math.log10(COARSEST_UM / FINEST_UM)


@dataclass(frozen=True)
class Rung:
    """A line of the ladder: where it stands (percent from the coarse end) and what length it is."""

    percent: float
    label: str


@dataclass(frozen=True)
class Bar:
    """An image on the ladder, percent from the coarse end; ``clipped`` says that it reaches beyond an end."""

    image: Any
    start: float
    width: float
    field: str
    spacing: str
    clipped: bool

    @property
    def end(self) -> float:
        """Where the bar ends, with room for the words that end there."""
        return min(100.0, max(self.start + self.width, self.start + 14.0))

    @property
    def sentence(self) -> str:
        """The bar in words, for who does not see it."""
        return f"{self.image.name}: field {self.field}, sample distance {self.spacing}"


def place(um: float) -> float:
    """Return where a length stands on the ladder, percent from 1 cm (0) to 1 nm (100), not limited."""
    return 100.0 * math.log10(COARSEST_UM / um) / _DECADES


def rungs() -> list[Rung]:
    """Return one rung a decade."""
    return [
        Rung(place(10.0**power), format_length(10.0**power))
        for power in range(round(math.log10(COARSEST_UM)), round(math.log10(FINEST_UM)) - 1, -1)
    ]


def bar(image: Any) -> Bar | None:
    """Return the bar of an image; None where it has no scale along x (or, failing that, y)."""
    spacing = effective_spacing(image)
    axis = next((a for a in ("x", "y") if spacing_of(spacing, a) and field_of(image, a)), None)
    if axis is None:
        return None
    field, step = field_of(image, axis), spacing_of(spacing, axis)
    if field is None or step is None:
        return None
    left, right = place(field), place(step)
    start, end = min(max(left, 0.0), 99.0), min(max(right, 1.0), 100.0)
    return Bar(image, start, max(end - start, 0.8), format_length(field), format_length(step), left < 0 or right > 100)


@dataclass(frozen=True)
class Ladder:
    """Images that have a scale, coarsest field first, and those that have none."""

    rungs: list[Rung]
    bars: list[Bar]
    without: list[Any]


def ladder(images: Iterable[Any]) -> Ladder:
    """Sort images onto the ladder."""
    pairs = [(image, bar(image)) for image in images]
    bars = sorted((found for _, found in pairs if found), key=lambda item: (item.start, -item.width, item.image.name))
    return Ladder(rungs(), bars, [image for image, found in pairs if found is None])
