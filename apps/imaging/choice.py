"""Which calibrations come into question for an image, and where each of them does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.catalog.models import Calibration
from apps.catalog.selectors import calibrations_for
from apps.catalog.validity import Conditions, Flag, judge, local_date
from apps.imaging.models import Image
from apps.imaging.scale import long_axes


@dataclass(frozen=True)
class Candidate:
    """A calibration for an image, with where it does not hold; without flags it holds."""

    calibration: Calibration
    flags: tuple[Flag, ...]

    @property
    def holds(self) -> bool:
        """True if nothing speaks against it."""
        return not self.flags

    @property
    def stored_flags(self) -> list[dict[str, str]]:
        """As an image keeps them."""
        return [{"code": flag.code, "words": flag.words} for flag in self.flags]


def _quantity(entry: Any) -> tuple[float, str] | None:
    value = entry.get("value") if isinstance(entry, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value), str(entry.get("unit") or "1")


def conditions_of(image: Image) -> Conditions:
    """Return what an image states of how it was acquired: its own facts, then its acquisition's, then what was typed.

    The pixel size, by which a range may be given too, is the nominal spacing along x.
    """
    acquisition = image.acquisition
    if acquisition is None:
        return Conditions(None, None)
    settings: dict[str, tuple[float, str]] = {}
    for source in (acquisition.settings, acquisition.facts, image.facts):
        settings |= {name: found for name, entry in source.items() if (found := _quantity(entry)) is not None}
    if (nominal := _quantity((image.spacing or {}).get("x"))) is not None:
        settings["pixel_size"] = nominal
    stated = [facts.get("acquired_at") for facts in (image.facts, acquisition.facts)]
    texts = [entry.get("value") for entry in stated if isinstance(entry, Mapping)]
    dates = (local_date(text) for text in (*texts, acquisition.acquired_at))
    acquired = next((date for date in dates if date is not None), None)
    return Conditions(acquisition.instrument_id, acquired, settings)


def calibrated_axes(image: Image, calibration: Calibration) -> list[str]:
    """The axes longer than one sample that a calibration moves."""
    return [axis for axis in long_axes(image.axes, image.shape) if axis in calibration.axes]


def candidate(image: Image, calibration: Calibration) -> Candidate:
    """Judge one calibration for an image."""
    flags = judge(calibration, conditions_of(image))
    spacing = image.spacing or {}
    typed = [axis for axis in calibrated_axes(image, calibration) if (spacing.get(axis) or {}).get("source") == "user"]
    if typed:
        words = f"the spacing along {', '.join(typed)} was typed by hand: it is not what the instrument stated"
        flags.append(Flag("typed_spacing", words))
    return Candidate(calibration, tuple(flags))


def candidates(image: Image) -> list[Candidate]:
    """Return the calibrations of the image's instrument that move one of its axes, by date, those that do not hold too.

    Of versions that supersede each other, the one that the date of acquisition falls to.
    """
    if image.acquisition is None or image.acquisition.instrument_id is None or not image.calibrated:
        return []
    conditions = conditions_of(image)
    rows = calibrations_for(image.acquisition.instrument_id, conditions.acquired)
    return [candidate(image, row) for row in rows if calibrated_axes(image, row)]


def the_calibration(image: Image) -> Calibration | None:
    """Return the one calibration that holds for an image; None where none does, or several do and a person chooses."""
    holding = [found.calibration for found in candidates(image) if found.holds]
    return holding[0] if len(holding) == 1 else None
