"""Numbers, lengths, angles and dates as vendor files write them, as facts in the units of the vocabulary.

A conversion by a power of ten is decimal, so that 0.009654 m is 9654 um and not 9654.000000000001 um.  What is no
finite number is absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, DecimalException
from typing import Any

from apps.imaging.readers.base import fact
from apps.imaging.readers.tiff_header import json_value, text
from apps.imaging.readers.tiff_spacing import usable

Facts = dict[str, dict[str, Any]]

# Powers of ten from a unit to the micrometre; the keys are lower case, but for the letters that differ by case.
_LENGTH_POWERS = {
    "m": 6, "meter": 6, "metre": 6, "meters": 6, "metres": 6, "cm": 4, "mm": 3, "millimeter": 3, "millimetre": 3,
    "um": 0, "µm": 0, "μm": 0, "micron": 0, "microns": 0, "micrometer": 0, "micrometre": 0, "micrometers": 0,
    "nm": -3, "nanometer": -3, "nanometre": -3, "nanometers": -3, "pm": -6,
    "a": -4, "å": -4, "\u212b": -4, "ao": -4, "angstrom": -4, "angstroms": -4, "ångström": -4,
}  # fmt: skip
_INVERSE = re.compile(r"^(?:1\s*/\s*(?P<over>\S+)|(?P<under>[^\s^$-]+?)\s*(?:\^?-1|\^\{-1\}|\$\^\{-1\}\$))$")
_TIME_S = {"s": 0, "sec": 0, "second": 0, "seconds": 0, "ms": -3, "us": -6, "µs": -6, "ns": -9}
_DATES = (
    "%Y-%m-%d", "%d-%b-%Y", "%Y/%m/%d", "%d.%m.%Y", "%d %b %Y", "%d-%B-%Y", "%d-%b-%y", "%Y%m%d",
)  # fmt: skip
_TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
_LONGEST_TEXT = 2000


def number(value: Any) -> float | None:
    """A finite number, or None; text may have a decimal comma and blanks around it."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.strip().rstrip("\0")
        value = value.replace(",", ".") if value.count(",") == 1 and "." not in value else value
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """A whole number (``21.`` counts), or None."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def shifted(value: Any, power: int) -> float | None:
    """``value * 10**power``, exactly as decimal figures."""
    found = number(value)
    if found is None:
        return None
    try:
        result = float(Decimal(repr(found)).scaleb(power))
    except DecimalException:
        return None
    return result if math.isfinite(result) else None


def length_power(unit: Any) -> int | None:
    """Power of ten from a unit of length to the micrometre; None for what is no unit of length."""
    return _LENGTH_POWERS.get(_plain(unit).lower())


def length_um(value: Any, unit: Any) -> float | None:
    """A distance of samples in micrometres; None where zero, negative, not finite or of no unit of length."""
    power = length_power(unit)
    return None if power is None else usable(shifted(value, power))


def inverse_nm_factor(unit: Any) -> float | None:
    """Factor from a reciprocal length to ``1/nm``, None for another unit."""
    found = _INVERSE.match(_plain(unit))
    power = None if found is None else length_power(found["over"] or found["under"])
    return None if power is None else float(Decimal(1).scaleb(-3 - power))


def time_power(unit: Any) -> int | None:
    """Power of ten from a unit of time to the second."""
    return _TIME_S.get(_plain(unit))


def words(value: Any) -> str:
    """Text of a header value in one line, empty for what is no text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    return text(value.rstrip("\0").strip())[:_LONGEST_TEXT]


def put(
    facts: Facts, name: str, value: Any, unit: str | None = None, *, tag: str, power: int = 0, raw_unit: str = ""
) -> None:
    """Add a number as a fact in ``unit``; ``power`` leads from ``raw_unit``, the unit of the file, to it."""
    found = shifted(value, power)
    if found is not None:
        raw = f"{words(value) or number(value)} {raw_unit}".strip() if power or raw_unit else None
        facts[name] = fact(found, unit, tag=tag, raw=raw)


def put_positive(
    facts: Facts, name: str, value: Any, unit: str | None = None, *, tag: str, power: int = 0, raw_unit: str = ""
) -> None:
    """The same for what cannot be zero or negative: programs write 0 for what they do not know."""
    if (number(value) or 0) > 0:
        put(facts, name, value, unit, tag=tag, power=power, raw_unit=raw_unit)


def put_degrees(facts: Facts, name: str, radians: Any, *, tag: str) -> None:
    """Add an angle that the file has in radians."""
    found = number(radians)
    if found is not None:
        facts[name] = fact(math.degrees(found), "deg", tag=tag, raw=f"{words(radians) or found} rad")


def put_text(facts: Facts, name: str, value: Any, *, tag: str) -> None:
    """Add text that says something."""
    found = words(value)
    if found and found.lower() not in {"undefined", "<undefined>", "none", "_none_", "unknown", "[unknown]"}:
        facts[name] = fact(found, tag=tag)


def put_moment(facts: Facts, date: Any, time: Any, *, tag: str) -> None:
    """Add the moment of acquisition, local as the file has it; a date without a time stays a date."""
    moment = local_moment(words(date), words(time))
    if moment:
        facts["acquired_at"] = fact(moment, tag=tag, raw=f"{words(date)} {words(time)}".strip())


def local_moment(date: str, time: str = "") -> str | None:
    """ISO 8601 text of a date and a time of day in one of the usual forms, without a zone; None if it is neither."""
    day = next((found for form in _DATES if (found := _parsed(date.title(), form))), None)
    if day is None:
        return None
    clock = next((found for form in _TIMES if (found := _parsed(time.upper(), form))), None)
    return day.date().isoformat() + (f"T{clock.time().isoformat()}" if clock else "")


def unix_moment(seconds: Any) -> str | None:
    """ISO 8601 text in UTC of seconds since 1970; None for zero, which stands for "not known"."""
    found = number(seconds)
    if found is None or found <= 0:
        return None
    try:
        return datetime.fromtimestamp(found, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):
        return None


def jsonable(values: Mapping[str, Any]) -> dict[str, Any]:
    """A header as JSON values."""
    return {text(key): json_value(value) for key, value in values.items()}


def _parsed(value: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(value.strip(), form)  # noqa: DTZ007 - the file has no zone
    except ValueError:
        return None


def _plain(unit: Any) -> str:
    return unit.strip() if isinstance(unit, str) else ""
