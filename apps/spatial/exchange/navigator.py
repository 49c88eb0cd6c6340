"""SerialEM Navigator files: sections of ``key = value`` lines, stage positions in micrometres.

A point is an item of type 0 with one vertex; polygons (1) and maps (2) are passed over on the way in.  Items carry
no rotation, tilt or working distance.
Format: https://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm, "Navigator Files".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from apps.spatial.exchange.errors import ExchangeError, number
from apps.spatial.exchange.positions import StagePosition

VERSION: Final = "2.00"
_POINT: Final = "0"
_SECTION: Final = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]")
_ENTRY: Final = re.compile(r"([^=\s]+)\s*=\s*(.*?)\s*")
_MAX_LINES: Final = 200_000


def write_nav(positions: Sequence[StagePosition], notes: Sequence[str] = ()) -> str:
    """Return a Navigator file of points; a note a position, if given, goes with it.

    The label of an item is its number; the name of the position begins its note.
    """
    lines = [f"AdocVersion = {VERSION}", ""]
    for index, position in enumerate(positions):
        note = ", ".join(part for part in (position.name, notes[index] if index < len(notes) else "") if part)
        lines += [
            f"[Item = {index + 1}]",
            "Color = 0",
            f"StageXYZ = {position.x!r} {position.y!r} {position.z!r}",
            "NumPts = 1",
            "Regis = 1",
            f"Type = {_POINT}",
            f"Note = {_one_line(note)}",
            f"PtsX = {position.x!r}",
            f"PtsY = {position.y!r}",
            "",
        ]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def read_nav(text: str) -> list[StagePosition]:
    """Return the points of a Navigator file, the note of each as its name; ExchangeError names what is wrong."""
    lines = text.splitlines()
    if len(lines) > _MAX_LINES:
        raise ExchangeError(f"the file has {len(lines)} lines; at most {_MAX_LINES} are read", field="file")
    version, items = "", list[tuple[str, dict[str, str]]]()
    for count, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        section, entry = _SECTION.fullmatch(line.strip()), _ENTRY.fullmatch(line.strip())
        if section:
            items.append((section[2], {}))
        elif entry is None:
            raise ExchangeError(f"line {count} is neither [Item = ...] nor key = value", field="file")
        elif items:
            items[-1][1][entry[1]] = entry[2]
        elif entry[1] == "AdocVersion":
            version = entry[2]
    if not version:
        raise ExchangeError("the file has no AdocVersion: it is no Navigator file in the text form", field="file")
    return [_point(label, item) for label, item in items if item.get("Type", _POINT) == _POINT]


def _point(label: str, item: dict[str, str]) -> StagePosition:
    where = f"item {label[:40]}"
    parts = item.get("StageXYZ", "").split()
    if len(parts) != 3:
        raise ExchangeError(f"{where} has no StageXYZ of three numbers", field="file")
    x, y, z = (number(part, where) for part in parts)
    return StagePosition(item.get("Note", "") or label, x, y, z)
