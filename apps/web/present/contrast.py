"""The histogram beside a picture, and the window of grey values that it is drawn with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from apps.web.present.slices import BINS, Histogram

_HEIGHT = 100.0


@dataclass(frozen=True)
class Contrast:
    """A histogram as a path in a box of 128 x 100, with the window in it."""

    low: float
    high: float
    black: float
    white: float
    path: str
    left: float
    width: float


def window_of(low: str, high: str) -> tuple[float, float] | None:
    """Return the window that an address names; None where it names none that can be."""
    try:
        black, white = float(low.replace(",", ".")), float(high.replace(",", "."))
    except ValueError:
        return None
    return (black, white) if math.isfinite(black) and math.isfinite(white) and white > black else None


def contrast_of(found: Histogram, window: tuple[float, float] | None) -> Contrast:
    """Return what is drawn; counts by their square root, so that a rare phase is seen beside a frequent one."""
    black, white = window or (found.black, found.white)
    highest = math.sqrt(max(found.counts) or 1)
    heights = [_HEIGHT * math.sqrt(count) / highest for count in found.counts]
    steps = "".join(f"V{_HEIGHT - height:.1f}H{place + 1}" for place, height in enumerate(heights))
    scale = BINS / (found.high - found.low)
    left = min(max((black - found.low) * scale, 0.0), BINS)
    right = min(max((white - found.low) * scale, 0.0), BINS)
    return Contrast(found.low, found.high, black, white, f"M0,{_HEIGHT:.0f}{steps}V{_HEIGHT:.0f}Z", left, right - left)
