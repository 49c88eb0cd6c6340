"""Where regions were found beside where they were predicted to be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apps.catalog.models import Instrument
from apps.projects.models import User
from apps.provenance import selectors as ledger
from apps.spatial import targeting_history
from apps.spatial.exchange.positions import StagePosition
from apps.spatial.models import Found, Mount, Roi, Targeting
from apps.spatial.targeting_history import Floats, History, Miss
from apps.spatial.targeting_origin import instrument_of
from apps.spatial.targeting_stage import StageSenseError, stage_of
from apps.web.places.targets import units_of
from apps.web.present.lengths import format_length, significant
from apps.web.present.places import DEFAULT_UNITS, Reading, readings

_SHOWN = 50
PLOT = 260.0  # side of the plot, SVG units
_RIM = 24.0


@dataclass(frozen=True)
class FoundRow:
    """A found position as it is shown; ``miss`` is empty without a prediction, ``basis`` names the prediction."""

    found: Found
    readings: list[Reading]
    basis: str
    stale: bool
    miss: str
    along: str
    errors: str
    verdict: str


@dataclass(frozen=True)
class Dot:
    """A miss on the plot, SVG units from its upper left corner."""

    x: float
    y: float
    here: bool


@dataclass(frozen=True)
class Past:
    """What predictions between two instruments came to."""

    history: History
    source: str
    target: str
    rows: list[FoundRow]
    mean: str
    rms: str
    spread: str
    verdict: str
    dots: list[Dot]
    middle: Dot
    side: str


def found_rows(roi: Roi) -> list[FoundRow]:
    """Return where a region was found, the newest first."""
    related = ("mount__specimen", "instrument", "created_by", "roi", "targeting")
    rows = list(targeting_history.found_of(roi).select_related(*related)[:_SHOWN])
    stale = ledger.is_stale([row.pk for row in rows])
    return [found_row(row, stale=row.pk in stale) for row in rows]


def found_row(row: Found, *, stale: bool = False) -> FoundRow:
    """Put a found position into words."""
    miss = targeting_history.counted_miss(row)
    return FoundRow(
        found=row,
        readings=shown_position(row.position, row.instrument, row.u_um),
        basis="by the prediction it was sent with" if row.targeting is not None else "by the prediction of that time",
        stale=stale,
        miss="" if miss is None else format_length(miss.distance_um),
        along="" if miss is None else offset_words(miss.offset.tolist()),
        errors="" if miss is None else errors_words(miss),
        verdict="" if miss is None else _verdict(miss),
    )


def shown_position(position: Mapping[str, float | None], instrument: Instrument, u_um: float | None) -> list[Reading]:
    """Return a stage reading, um and degrees, in the units of the stage; what is not known is left out."""
    x, y, z, *others = (position.get(name) for name in _PARTS)
    given = StagePosition("", x or 0.0, y or 0.0, z or 0.0, *others)
    try:
        units = units_of(stage_of(instrument))[0]
    except StageSenseError:
        units = DEFAULT_UNITS
    return [reading for reading in readings(given, units, u_um) if reading.text is not None]


@dataclass(frozen=True)
class SentRow:
    """That a region was sent to a stage, with what was seen then."""

    sent: Targeting
    readings: list[Reading]
    error: str


def sent_rows(roi: Roi) -> list[SentRow]:
    """Return when a region was sent to a stage, the newest first."""
    rows = roi.targetings.select_related("mount__instrument", "created_by")
    return [
        SentRow(
            row,
            shown_position(row.position, row.mount.instrument, row.u95_um),
            "not known" if row.u95_um is None else format_length(row.u95_um),
        )
        for row in rows[:_SHOWN]
    ]


_PARTS = ("x", "y", "z", "rotation", "tilt", "working_distance")


def offset_words(offset: Sequence[float]) -> str:
    """Return an offset in um by axis, with signs."""
    parts = [
        f"{axis} {'+' if value >= 0 else '−'}{significant(abs(value))}"
        for axis, value in zip("xyz", offset, strict=True)
    ]
    return ", ".join(parts) + " µm"


def standard_errors(miss: Miss) -> float | None:
    """Return how many standard errors long a miss is, in its own direction; None where no error was stated."""
    prediction = miss.found if miss.found.targeting is None else miss.found.targeting
    if prediction.covariance is None or miss.distance_um == 0.0:
        return None if prediction.covariance is None else 0.0
    covariance = np.array(prediction.covariance, np.float64) + (miss.found.u_um or 0.0) ** 2 * np.eye(3)
    direction = miss.offset / miss.distance_um
    variance = float(direction @ covariance @ direction)
    return miss.distance_um / math.sqrt(variance) if variance > 0.0 else math.inf


def errors_words(miss: Miss) -> str:
    """Return the length of a miss in standard errors."""
    length = standard_errors(miss)
    if length is None:
        return "the prediction stated no error"
    if math.isinf(length):
        return "in a direction in which the prediction claimed to be exact"
    return f"{length:.1f} standard errors"


def _verdict(miss: Miss) -> str:
    if miss.p_value is None:
        return ""
    words = "within the stated error" if miss.p_value >= 0.05 else "beyond the stated 95 %"
    return f"{words} (p = {significant(miss.p_value, 2)})"


def past_between(user: User, roi: Roi, mount: Mount) -> Past | None:
    """Return what predictions from the region's instrument to the mount's came to in its project; None without any."""
    source = instrument_of(roi.frame)
    rows = targeting_history.list_found(user).filter(roi__project=roi.project_id)
    rows = rows.select_related("roi", "instrument", "source_instrument", "mount__specimen", "created_by", "targeting")
    history = targeting_history.history_between(source, mount.instrument_id, rows)
    if history is None:
        return None
    first = history.misses[0].found
    dots, middle, side = _plot(history, roi)
    return Past(
        history=history,
        source=first.source_instrument.name if first.source_instrument else "an instrument that is not stated",
        target=first.instrument.name,
        rows=[found_row(miss.found) for miss in history.misses[-_SHOWN:][::-1]],
        mean=offset_words(history.mean_um.tolist()),
        rms=format_length(history.rms_um),
        spread=_spread(history),
        verdict=_history_verdict(history),
        dots=dots,
        middle=middle,
        side=side,
    )


def _spread(history: History) -> str:
    if history.covariance is None:
        return "not told from fewer than three found positions"
    deviations = np.sqrt(np.maximum(np.diagonal(history.covariance), 0.0))
    return ", ".join(f"{axis} {format_length(float(value))}" for axis, value in zip("xyz", deviations, strict=True))


def _history_verdict(history: History) -> str:
    if history.p_value is None:
        return "No prediction stated an error, so there is nothing to judge."
    p = significant(history.p_value, 2)
    if history.contradicts:
        return f"What was found contradicts the stated errors (p = {p}): they are too small."
    return f"What was found agrees with the stated errors (p = {p})."


def _plot(history: History, roi: Roi) -> tuple[list[Dot], Dot, str]:
    """Misses in the plane of the stage, x to the right and y up, and half the side of the plot in words."""
    offsets = np.array([miss.offset[:2] for miss in history.misses])
    reach = 1.15 * float(max(np.abs(offsets).max(), np.abs(history.mean_um[:2]).max(), 1e-9))
    scale = (PLOT / 2.0 - _RIM) / reach

    def placed(offset: Floats, here: bool) -> Dot:
        return Dot(PLOT / 2.0 + scale * float(offset[0]), PLOT / 2.0 - scale * float(offset[1]), here)

    dots = [placed(miss.offset, miss.found.roi_id == roi.pk) for miss in history.misses]
    return dots, placed(history.mean_um, False), format_length(reach, 2)
