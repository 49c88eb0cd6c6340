"""Whether a calibration holds for a measurement: its date and settings against the calibration's dates and range.

Nothing here reads the database.  A flag says where a calibration does not hold or where that cannot be judged::

    before_measured         acquired before the calibration was measured
    overdue                 acquired after it was due to be measured again; on the day itself it still holds
    out_of_range:NAME       the setting lies outside the range
    not_judged:NAME         the calibration names a setting that the measurement does not state
    not_judged:acquired_at  the measurement does not state its date
    not_judged:instrument   the measurement does not state its instrument
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from apps.catalog.models import Calibration

# a length, a voltage, ... in the unit in which ranges are given
_UNITS: Final[dict[str, dict[str, float]]] = {
    "um": {"nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6},
    "mm": {"nm": 1e-6, "um": 1e-3, "mm": 1.0, "cm": 10.0, "m": 1e3},
    "kV": {"V": 1e-3, "kV": 1.0, "MV": 1e3},
    "keV": {"eV": 1e-3, "keV": 1.0, "MeV": 1e3},
    "nA": {"pA": 1e-3, "nA": 1.0, "uA": 1e3, "mA": 1e6},
    "1": {"1": 1.0, "": 1.0},
    "deg": {"deg": 1.0},
    "s": {"us": 1e-6, "ms": 1e-3, "s": 1.0},
    "us": {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6},
}
# name in a calibration's range -> name of the fact, unit of the range
_SETTINGS: Final[dict[str, tuple[str, str]]] = {
    "magnification": ("magnification", "1"),
    "mag": ("magnification", "1"),
    "kv": ("accelerating_voltage", "kV"),
    "hv": ("accelerating_voltage", "kV"),
    "accelerating_voltage": ("accelerating_voltage", "kV"),
    "wd": ("working_distance", "mm"),
    "working_distance": ("working_distance", "mm"),
    "hfw": ("field_width", "um"),
    "field_width": ("field_width", "um"),
    "field_height": ("field_height", "um"),
    "pixel_size": ("pixel_size", "um"),
    "beam_current": ("beam_current", "nA"),
    "photon_energy": ("photon_energy", "keV"),
    "dwell_time": ("dwell_time", "us"),
    "exposure_time": ("exposure_time", "s"),
    "scan_rotation": ("scan_rotation", "deg"),
    "stage_tilt": ("stage_tilt", "deg"),
    "stage_rotation": ("stage_rotation", "deg"),
}


@dataclass(frozen=True)
class Conditions:
    """What a measurement states of itself.

    Attributes
    ----------
    instrument : UUID or None
        None: not stated.
    acquired : date or None
        The instrument's local date.
    settings : mapping
        Name of a fact -> (value, unit).
    """

    instrument: uuid.UUID | None
    acquired: dt.date | None
    settings: Mapping[str, tuple[float, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Flag:
    """Where a calibration does not hold, or cannot be judged: a code for programs, a sentence for people."""

    code: str
    words: str


def local_date(text: object) -> dt.date | None:
    """Return the date of an instrument's local time, as text; None where it is no date."""
    if not isinstance(text, str):
        return None
    try:
        return dt.date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None


def judge(calibration: Calibration, conditions: Conditions) -> list[Flag]:
    """Return where a calibration does not hold for a measurement; empty where it holds."""
    flags = []
    if conditions.instrument is None:
        flags.append(Flag("not_judged:instrument", "the acquisition does not state its instrument"))
    flags += _judge_date(calibration, conditions.acquired)
    for name, (low, high) in calibration.valid_range.items():
        flags += _judge_setting(name, low, high, conditions.settings)
    return flags


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _judge_date(calibration: Calibration, acquired: dt.date | None) -> list[Flag]:
    if acquired is None:
        words = "the acquisition does not state its date, so that the calibration's dates cannot be judged"
        return [Flag("not_judged:acquired_at", words)]
    if acquired < calibration.measured_at:
        early = _days((calibration.measured_at - acquired).days)
        return [Flag("before_measured", f"acquired {early} before the calibration was measured")]
    if calibration.due_at is not None and acquired > calibration.due_at:
        late = _days((acquired - calibration.due_at).days)
        return [Flag("overdue", f"acquired {late} after the calibration was due")]
    return []


def _setting(name: str) -> tuple[str, str | None]:
    """The fact and the unit that a name in a range stands for; without a known unit (None) that of the fact counts."""
    key = name.strip().lower()
    if key in _SETTINGS:
        return _SETTINGS[key]
    stem, _, suffix = key.rpartition("_")
    unit = next((unit for unit in _UNITS if unit.lower() == suffix), None)
    if stem and unit is not None:
        return _SETTINGS.get(stem, (stem, unit))[0], unit
    return key, None


def _stated(name: str, settings: Mapping[str, tuple[float, str]]) -> tuple[float, str] | None:
    """The value that a measurement states for a name in a range, in the range's unit; None where it states none."""
    fact, unit = _setting(name)
    if fact not in settings:
        return None
    value, given = settings[fact]
    if unit is None or given == unit:
        return value, given
    scale = _UNITS[unit].get(given)
    return None if scale is None else (value * scale, unit)


def _judge_setting(name: str, low: float, high: float, settings: Mapping[str, tuple[float, str]]) -> list[Flag]:
    stated = _stated(name, settings)
    if stated is None:
        words = f"the calibration holds for a range of {name}, which the acquisition does not state"
        return [Flag(f"not_judged:{name}", words)]
    value, unit = stated
    slack = 1e-9 * max(abs(low), abs(high))  # the unit's conversion rounds; a bound belongs to the range
    if low - slack <= value <= high + slack:
        return []
    shown = f"{value:.6g}" if unit in ("1", "") else f"{value:.6g} {unit}"
    return [Flag(f"out_of_range:{name}", f"{name} {shown} lies outside the calibrated range {low:.6g} to {high:.6g}")]
