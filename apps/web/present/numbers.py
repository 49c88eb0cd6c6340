"""Numbers for people: as many digits as their uncertainty bears, units as they are written by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.web.present.lengths import significant

AXES = ("x", "y", "z")
_EXPONENT = re.compile(r"(?<=[A-Za-zµ\]])-?\d+")
# Units whose code is not how they are written, where they stand alone.
_WRITTEN = {"us": "µs", "deg": "°", "Cel": "°C"}
_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def readable_unit(ucum: str) -> str:
    """Return a UCUM unit as it is written by hand: ``um3`` is µm³, ``W/(m.K)`` is W/(m·K), ``1`` is nothing."""
    if ucum == "1":
        return ""
    if ucum in _WRITTEN:
        return _WRITTEN[ucum]
    text = ucum.replace("um", "µm").replace(".", "·")
    return _EXPONENT.sub(lambda found: found[0].translate(_SUPERSCRIPT), text)


def decimals_for(value: float, uncertainty: float | None) -> int:
    """Return how many decimals show a value to the second digit of its uncertainty; four digits where none is known."""
    if uncertainty and math.isfinite(uncertainty) and uncertainty > 0:
        return max(0, 1 - math.floor(math.log10(uncertainty)))
    if value == 0 or not math.isfinite(value):
        return 0
    return max(0, 3 - math.floor(math.log10(abs(value))))


def format_value(value: Any, uncertainty: float | None = None) -> str:
    """Return one number as text; a dash with words for what has none."""
    if value is None:
        return "not known"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    decimals = decimals_for(value, uncertainty)
    if decimals > 9 or abs(value) >= 1e7:
        return significant(value, 4)
    text = f"{value:.{decimals}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def flat(value: Any) -> list[float]:
    """Return the numbers in a nested list; what is none is left out."""
    if isinstance(value, list | tuple):
        return [number for item in value for number in flat(item)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def is_tensor(value: Any) -> bool:
    """Return True for a 3 x 3 nested list."""
    return _is_list(value, 3) and all(_is_list(row, 3) and not any(isinstance(x, list) for x in row) for row in value)


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def element(nested: Any, *place: int) -> Any:
    """Return the entry of a nested list at a place; a plain number stands for all places, None where the list ends."""
    for index in place:
        if not isinstance(nested, list):
            return nested
        nested = nested[index] if index < len(nested) else None
    return nested


def half_width(interval: dict[str, Any] | None, *place: int) -> float | None:
    """Return half the width of an interval at a place of the value; None where there is none."""
    if not interval:
        return None
    low, high = element(interval.get("low"), *place), element(interval.get("high"), *place)
    if isinstance(low, int | float) and isinstance(high, int | float) and high > low:
        return (float(high) - float(low)) / 2
    return None


@dataclass(frozen=True)
class Cell:
    """One entry of a value: as text, with its interval as text, and whether it is on the diagonal."""

    text: str
    interval: str
    diagonal: bool = False


def cell(value: Any, interval: dict[str, Any] | None, *place: int, resolution: float | None = None) -> Cell:
    """Return the entry at ``place`` with digits that fit ``resolution``, by default its interval."""
    number = element(value, *place)
    half = half_width(interval, *place)
    digits = resolution or half
    low, high = (element((interval or {}).get(end), *place) for end in ("low", "high"))
    bounds = f"{format_value(low, digits)} to {format_value(high, digits)}" if half else ""
    return Cell(format_value(number, digits), bounds, len(place) == 2 and place[0] == place[1])


def tensor_resolution(value: list[list[Any]], interval: dict[str, Any] | None) -> float | None:
    """Return the uncertainty whose digits the whole of a tensor is shown with.

    The smallest half width on the diagonal; where there is none, a thousandth of the largest entry.  One for all
    entries: the small ones off the diagonal are read beside the large ones on it.
    """
    halves = [half for i in range(3) if (half := half_width(interval, i, i))]
    largest = max((abs(number) for number in flat(value)), default=0.0)
    return min(halves) if halves else largest * 1e-3 or None


def list_resolution(value: Sequence[Any], interval: dict[str, Any] | None) -> float | None:
    """Return the uncertainty whose digits all entries of a list are shown with: the smallest half width, if any."""
    halves = [half for place in range(len(value)) if (half := half_width(interval, place))]
    return min(halves) if halves else None


def tensor_rows(value: list[list[Any]], interval: dict[str, Any] | None) -> list[tuple[str, list[Cell]]]:
    """Return the rows of a 3 x 3 tensor, each with the name of its axis, all with the same digits."""
    resolution = tensor_resolution(value, interval)
    return [
        (name, [cell(value, interval, row, column, resolution=resolution) for column in range(3)])
        for row, name in enumerate(AXES)
    ]


def column_title(name: str) -> str:
    """Return the name of a column as words; its unit, which stands beside it, is left off."""
    for suffix in ("_um3", "_um2", "_um", "_deg"):
        name = name.removesuffix(suffix)
    text = name.replace("_", " ")
    return "ID" if text == "id" else text[:1].upper() + text[1:]


def one_line(value: Any, interval: dict[str, Any] | None, unit: str, error: dict[str, Any] | None = None) -> str:
    """Return a value in one line: a number, a pair, a tensor by its diagonal, a list by its entries."""
    tail = f" {readable_unit(unit)}".rstrip()
    if value is None:
        return "no value"
    if is_tensor(value):
        rows = tensor_rows(value, interval)
        return f"diagonal {', '.join(rows[i][1][i].text for i in range(3))}{tail}"
    if isinstance(value, list):
        return _list_line(value, interval) + tail
    return f"{format_value(value, half_width(interval) or _total(error))}{tail}"


def _list_line(value: Sequence[Any], interval: dict[str, Any] | None) -> str:
    if any(isinstance(item, list) for item in value):
        numbers = flat(value)
        return f"{len(numbers)} values"
    resolution = list_resolution(value, interval)
    shown = [format_value(item, resolution) for item in value[:6]]
    return ", ".join(shown) + (", …" if len(value) > 6 else "")


def _total(error: dict[str, Any] | None) -> float | None:
    parts = [abs(number) for part in (error or {}).values() for number in flat(part)]
    return math.hypot(*parts) if parts else None
