"""A picture of the residuals of landmark pairs: where each pair lies, and by how much the map misses it, magnified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.spatial.roi_geometry import Floats
from apps.web.present.lengths import format_length, nice_length

WIDTH: Final = 480.0
_RIM: Final = 46.0
_LONGEST: Final = 0.16  # of the width: how long the longest vector is drawn
_TALLEST: Final = 1.2  # height over width


@dataclass(frozen=True)
class Pair:
    """A landmark to draw: in the target frame, um; ``miss`` is the mapped source less the target."""

    label: str
    point: Floats
    miss: Floats
    state: str
    suspect: bool


@dataclass(frozen=True)
class Arrow:
    """A pair on the picture, SVG units."""

    label: str
    x: float
    y: float
    dx: float
    dy: float
    state: str
    suspect: bool

    @property
    def head(self) -> str:
        """The point of the arrow, as a path; nothing where the vector is too short for one."""
        length = float(np.hypot(self.dx, self.dy))
        if length < 4.0:
            return ""
        along = np.array([self.dx, self.dy]) / length
        side = np.array([-along[1], along[0]])
        tip = np.array([self.x + self.dx, self.y + self.dy])
        left, right = tip - 5.0 * along + 2.6 * side, tip - 5.0 * along - 2.6 * side
        return " L".join(f"{x:.1f},{y:.1f}" for x, y in (left, tip, right))


@dataclass(frozen=True)
class Plot:
    """The picture; bars are in SVG units with their lengths in words."""

    width: float
    height: float
    across: str
    down: str
    arrows: list[Arrow]
    bar: float
    bar_words: str
    vector_bar: float
    vector_words: str
    magnified: str

    @property
    def words(self) -> str:
        """The picture in words, for who does not see it; the table beside it has the numbers."""
        return (
            f"{len(self.arrows)} landmark pairs in the target frame, {self.across} to the right and {self.down} down; "
            f"residuals are drawn {self.magnified} times as long as they are"
        )


def plot_of(pairs: Sequence[Pair]) -> Plot | None:
    """Lay out the pairs in the plane of the target frame in which they spread most; None without any."""
    if not pairs:
        return None
    points = np.array([pair.point for pair in pairs], np.float64)
    misses = np.array([pair.miss for pair in pairs], np.float64)
    spread = np.ptp(points, axis=0)
    first, second = sorted(np.argsort(-spread, kind="stable")[:2].tolist())
    flat, vectors = points[:, [first, second]], misses[:, [first, second]]
    size = np.maximum(np.ptp(flat, axis=0), 1e-9)
    inner = WIDTH - 2.0 * _RIM
    scale = min(inner / size[0], inner * _TALLEST / size[1])
    height = float(max(size[1] * scale + 2.0 * _RIM, 140.0))
    offset = np.array([WIDTH / 2.0, height / 2.0]) - scale * (flat.min(axis=0) + size / 2.0)
    placed = scale * flat + offset
    longest = float(np.linalg.norm(vectors, axis=1).max())
    factor = _LONGEST * WIDTH / (scale * longest) if longest > 0.0 else 1.0
    drawn = vectors * scale * factor
    arrows = [
        Arrow(pair.label, float(at[0]), float(at[1]), float(by[0]), float(by[1]), pair.state, pair.suspect)
        for pair, at, by in zip(pairs, placed, drawn, strict=True)
    ]
    bar, vector = nice_length(WIDTH * 0.3 / scale), nice_length(WIDTH * 0.3 / (scale * factor))
    return Plot(
        width=WIDTH,
        height=height,
        across="xyz"[first],
        down="xyz"[second],
        arrows=arrows,
        bar=bar * scale,
        bar_words=format_length(bar),
        vector_bar=vector * scale * factor,
        vector_words=format_length(vector),
        magnified=f"{factor:.3g}",
    )
