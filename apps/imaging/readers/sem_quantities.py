"""Quantities, moments and small tables of text as microscope vendors write them, as facts of the vocabulary.

``Facts`` knows the unit, the sign and the bounds of each name: the modules of the vendors only say where a value
stands.  Conversions are decimal: 0.009654 m is 9654 um.  What is no number, not finite or beyond any instrument is
absent, and so is zero or less where a program writes it for what it does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from apps.imaging.readers.base import fact
from apps.imaging.readers.tiff_header import text as clean_text

DateOrder = Literal["month first", "day first", "unknown"]

MAX_LINES = 50_000
SHORTEST_UM, LONGEST_UM = 1e-6, 1e5
_LONGEST_WORD = 2000
_NOTHING = frozenset({"none", "n/a", "undefined", "unknown"})
_QUANTITY = re.compile(
    r"=?\s*([+-]?(?:[0-9]{1,40}(?:[.,][0-9]{0,40})?|[.,][0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?)(.*)", re.S
)
_NEW_LINE = re.compile(r"\r\n|\r|\n")
_SECTION = re.compile(r"\[([^\[\]]{1,100})\]\s*$")


def _powers(units: Mapping[str, int]) -> dict[str, Decimal]:
    return {unit: Decimal(1).scaleb(power) for unit, power in units.items()}


_UM = _powers({
    "m": 6, "cm": 4, "mm": 3, "um": 0, "nm": -3, "pm": -6, "å": -4, "angstrom": -4,
    "meter": 6, "meters": 6, "millimeters": 3, "micron": 0, "microns": 0, "micrometers": 0, "nanometers": -3,
})  # fmt: skip
_MM = {unit: factor / 1000 for unit, factor in _UM.items()}
_KV = _powers({"v": -3, "kv": 0, "MV": 3, "mV": -6, "volt": -3, "volts": -3, "kilovolts": 0})
_NA = _powers({"a": 9, "mA": 6, "ua": 3, "na": 0, "pa": -3, "fa": -6, "picoamps": -3, "nanoamps": 0, "amps": 9})
_US = _powers({"s": 6, "sec": 6, "secs": 6, "ms": 3, "us": 0, "usec": 0, "µsec": 0, "ns": -3, "nsec": -3})
_PA = _powers({"Pa": 0, "hpa": 2, "kpa": 3, "mPa": -3, "mbar": 2, "bar": 5})
_PA |= {"torr": Decimal(101325) / 760, "mtorr": Decimal(101325) / 760_000}
_DEG = _powers({"°": 0, "deg": 0, "degs": 0, "degree": 0, "degrees": 0})
_TIMES = _powers({"": 0, "x": 0, "kx": 3, "k x": 3, "mx": 6, "m x": 6})
_RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "mrad": 1e-3}


@dataclass(frozen=True)
class _Kind:
    """Unit of a name of the vocabulary, the units that lead to it, and the largest magnitude that is believed."""

    unit: str
    units: Mapping[str, Decimal]
    largest: float
    positive: bool = False


_STAGE, _ANGLE = _Kind("um", _UM, 1e7), _Kind("deg", _DEG, 3600.0)
_FIELD = _Kind("um", _UM, 1e7, positive=True)
_KINDS = {
    "accelerating_voltage": _Kind("kV", _KV, 1e4, positive=True),
    "beam_current": _Kind("nA", _NA, 1e9, positive=True),
    "working_distance": _Kind("mm", _MM, 1e3, positive=True),
    "magnification": _Kind("1", _TIMES, 1e9, positive=True),
    "dwell_time": _Kind("us", _US, 1e12, positive=True),
    "pressure": _Kind("Pa", _PA, 1e7, positive=True),
    "scan_rotation": _ANGLE,
    "specimen_tilt": _ANGLE,
    "stage_rotation": _ANGLE,
    "stage_tilt": _ANGLE,
    "tilt_correction_angle": _ANGLE,
    "stage_x": _STAGE,
    "stage_y": _STAGE,
    "stage_z": _STAGE,
    "image_shift_x": _STAGE,
    "image_shift_y": _STAGE,
    "field_width": _FIELD,
    "field_height": _FIELD,
    "slice_thickness": _FIELD,
    # Steps from sample to sample in the coordinates of the stage: u along a row, v along a column.
    "affine_ux": _STAGE,
    "affine_uy": _STAGE,
    "affine_vx": _STAGE,
    "affine_vy": _STAGE,
}


def split_quantity(value: Any) -> tuple[Decimal, str] | None:
    """Number and unit of ``" 5.825 nm"``, ``"50.00 K X"`` or ``"=500.0 V"``; a single comma may be the decimal sign."""
    if not isinstance(value, str):
        return None
    found = _QUANTITY.match(value.replace("\u2212", "-").strip()[:200])
    if found is None:
        return None
    return Decimal(found[1].replace(",", ".")), found[2].strip()


def number(value: Any) -> float | None:
    """A bare finite number, or None."""
    found = split_quantity(value)
    if found is None or found[1]:
        return None
    return float(found[0]) if math.isfinite(float(found[0])) else None


def whole(value: Any, largest: int = 1 << 31) -> int | None:
    """A whole number from 1 to ``largest``, or None."""
    found = number(value)
    return int(found) if found is not None and 1 <= found <= largest and found == int(found) else None


def factor_of(unit: str, units: Mapping[str, Decimal]) -> Decimal | None:
    """Factor of a unit as written: its case counts where two units differ by nothing else."""
    plain = unit.replace("\u00b5", "u").replace("\u03bc", "u").replace("\u212b", "å").strip()
    return units.get(plain, units.get(plain.lower()))


def sample_distance(value: Any, unit: str | None = None) -> float | None:
    """Length in um that samples of a microscope can be apart, from a quantity or from a number in ``unit``."""
    found = split_quantity(value)
    factor = None if found is None else factor_of(found[1] if unit is None else unit, _UM)
    if found is None or factor is None or (unit is not None and found[1]):
        return None
    return believable(float(found[0] * factor))


def believable(length: float) -> float | None:
    """A length in um that samples of a microscope can be apart: from a picometre to ten centimetres; false for NaN."""
    return length if SHORTEST_UM <= length <= LONGEST_UM else None


class Facts:
    """Facts of one image as they are found: of each name the first that is usable stays."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}

    def quantity(self, name: str, value: Any, tag: str, unit: str | None = None) -> None:
        """Add a number: in ``unit`` by the vendor's convention, else in the unit that the text itself has."""
        split = split_quantity(value)
        if split is None or name in self.found or (unit is not None and split[1]):
            return
        written = split[1] if unit is None else unit
        result = self._converted(name, split[0], written)
        if result is not None:
            raw = " ".join(f"{value} {unit or ''}".strip().lstrip("=").split())
            self.found[name] = fact(result, _KINDS[name].unit, tag=tag, raw=clean_text(raw))

    @staticmethod
    def _converted(name: str, value: Decimal, unit: str) -> float | None:
        kind = _KINDS[name]
        factor = factor_of(unit, kind.units)
        if factor is not None:
            result = float(value * factor)
        elif kind.units is _DEG and unit.lower() in _RADIANS:
            result = math.degrees(float(value) * _RADIANS[unit.lower()])
        else:
            return None
        if kind.positive and result <= 0:
            return None
        return result if abs(result) <= kind.largest else None  # false for NaN

    def words(self, name: str, value: Any, tag: str) -> None:
        """Add text that says something."""
        found = clean_text(value).replace("\ufffd", "").strip()[:_LONGEST_WORD] if isinstance(value, str) else ""
        if found and found.lower() not in _NOTHING and name not in self.found:
            self.found[name] = fact(found, tag=tag)

    def switch(self, name: str, value: Any, tag: str) -> None:
        """Add yes or no."""
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in {"yes", "on", "true", "no", "off", "false"} and name not in self.found:
            self.found[name] = fact(word in {"yes", "on", "true"}, tag=tag, raw=value.strip())

    def moment(self, value: Any, tag: str, order: DateOrder = "unknown") -> None:
        """Add the local moment of acquisition."""
        found = moment(value, order) if isinstance(value, str) else None
        if found and "acquired_at" not in self.found:
            self.found["acquired_at"] = fact(found, tag=tag, raw=clean_text(" ".join(value.split())))

    def derived(self, name: str, value: Any, unit: str | None = None) -> None:
        """Add what the reader concludes, which no field of the file says in so many words."""
        self.found.setdefault(name, fact(value, unit, source="derived"))


_TIME = re.compile(
    r"[T\s]+([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2})(?:[.,]([0-9]{1,9}))?)?\s*([AaPp])?\.?[Mm]?\.?\s*(Z|[+-][0-9]{2}:[0-9]{2})?$"
)
_YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])\s*([0-9]{1,2})[-/.]\s*([0-9]{4})")
_MONTH_NAME = re.compile(r"([0-9]{1,2})[ .-]+([A-Za-zä]{3,9})\.?[ -]+([0-9]{4})")
_MONTHS = (
    ("jan",), ("feb",), ("mar", "mär", "mrz"), ("apr",), ("may", "mai"), ("jun",), ("jul",), ("aug",), ("sep",),
    ("oct", "okt"), ("nov",), ("dec", "dez"),
)  # fmt: skip


def moment(value: str, order: DateOrder = "unknown") -> str | None:
    """ISO 8601 text of a date with a time of day; a zone only where the text has one, None for what is neither.

    A date with dots is day first, one with slashes by ``order``; where that is unknown and both readings are dates,
    there is no telling them apart, and the moment is absent.
    """
    line = " ".join(value.split())[:100]
    found = _day(line, order)
    if found is None:
        return None
    (year, month, day), rest = found
    clock = _TIME.match(rest)
    if clock is None:
        return None
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if clock[5]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if clock[5].lower() == "p" else 0)
    try:
        moment_ = datetime(year, month, day, hour, minute, second, int((clock[4] or "0")[:6].ljust(6, "0")))  # noqa: DTZ001 - the file has no zone
    except ValueError:
        return None
    return moment_.isoformat() + (clock[6] or "") if 1900 <= year < 2200 else None


def _day(line: str, order: DateOrder) -> tuple[tuple[int, int, int], str] | None:
    """Year, month, day, and what follows them."""
    if found := _YEAR_FIRST.match(line):
        return (int(found[1]), int(found[2]), int(found[3])), line[found.end() :]
    if found := _MONTH_NAME.match(line):
        name = found[2].lower()
        month = next((n for n, names in enumerate(_MONTHS, 1) if name.startswith(names)), 0)
        return (int(found[3]), month, int(found[1])), line[found.end() :]
    found = _YEAR_LAST.match(line)
    if found is None:
        return None
    one, two, year = int(found[1]), int(found[3]), int(found[4])
    if found[2] == "." or one > 12 or order == "day first" or one == two:
        return (year, two, one), line[found.end() :]
    if two > 12 or order == "month first":
        return (year, one, two), line[found.end() :]
    return None


def lines(content: str) -> Iterator[str]:
    """Lines with any end of line, at most ``MAX_LINES``."""
    yield from (line.strip() for line in _NEW_LINE.split(content, maxsplit=MAX_LINES)[:MAX_LINES])


def ini(content: str) -> dict[str, dict[str, str]]:
    """Sections of ``key=value`` lines, those before the first under ``""``; of equal keys the first stays."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in lines(content):
        heading = _SECTION.match(line)
        if heading:
            section = heading[1].strip()
            continue
        key, equals, value = line.partition("=")
        if equals and 0 < len(key) <= 100:
            found.setdefault(section, {}).setdefault(clean_text(key.strip()), clean_text(value.strip()))
    return found
