"""Stage positions: CSV in a vendor's units, and the list of positions that fibsemOS reads.

A position is what the stage shows, not a point of a frame: signs and origin are the stage's.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.spatial.exchange.errors import ExchangeError, number

LENGTHS: Final = {"m": 1e6, "mm": 1e3, "um": 1.0}  # um in one
ANGLES: Final = {"deg": 1.0, "rad": 180.0 / math.pi}  # degrees in one
_MAX_POSITIONS: Final = 10_000


@dataclass(frozen=True)
class StagePosition:
    """What a stage shows: lengths in um, angles in degrees; None where it is not known."""

    name: str
    x: float
    y: float
    z: float
    rotation: float | None = None
    tilt: float | None = None
    working_distance: float | None = None


@dataclass(frozen=True)
class StageUnits:
    """In which units a stage shows lengths (``m``, ``mm``, ``um``) and angles (``deg``, ``rad``)."""

    length: str
    angle: str


# ----------------------------------------------------------------------------------------------------------------- CSV


def write_csv(positions: Sequence[StagePosition], units: StageUnits) -> str:
    """Return a table, one line a position, units in the names of the columns; an empty field is not known.

    Numbers have all their digits, so that they read back the same to the last place but one.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_columns(units))
    for position in positions:
        lengths = [_in(position.x, LENGTHS[units.length]), _in(position.y, LENGTHS[units.length])]
        lengths.append(_in(position.z, LENGTHS[units.length]))
        angles = [_in(position.rotation, ANGLES[units.angle]), _in(position.tilt, ANGLES[units.angle])]
        writer.writerow([_plain(position.name), *lengths, *angles, _in(position.working_distance, 1e3)])
    return out.getvalue()


def _columns(units: StageUnits) -> list[str]:
    lengths = [f"{axis}_{units.length}" for axis in "xyz"]
    return ["name", *lengths, f"rotation_{units.angle}", f"tilt_{units.angle}", "working_distance_mm"]


def _in(value: float | None, unit: float) -> str:
    return "" if value is None else repr(value / unit)


def _plain(name: str) -> str:
    """A name that a spreadsheet would take for a formula is kept as text by a leading apostrophe."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r", "'") else name


def read_csv(text: str) -> list[StagePosition]:
    """Return the positions of such a table; ExchangeError names what is wrong."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or len(rows) > _MAX_POSITIONS:
        raise ExchangeError(f"there are {len(rows)} lines; 1 to {_MAX_POSITIONS} can be", field="file")
    units = _units_of(rows[0])
    return [_position(row, units, f"line {index}") for index, row in enumerate(rows[1:], 2) if row]


def _units_of(header: list[str]) -> StageUnits:
    for length in LENGTHS:
        for angle in ANGLES:
            if header == _columns(StageUnits(length, angle)):
                return StageUnits(length, angle)
    wanted = ", ".join(_columns(StageUnits("mm", "deg")))
    raise ExchangeError(f"the columns are {', '.join(header)[:200]}; they should be like {wanted}", field="file")


def _position(row: list[str], units: StageUnits, where: str) -> StagePosition:
    if len(row) != 7:
        raise ExchangeError(f"{where} has {len(row)} fields; there are 7 columns", field="file")
    name, *fields, distance = row
    scales = [LENGTHS[units.length]] * 3 + [ANGLES[units.angle]] * 2
    x, y, z, rotation, tilt = (
        None if field == "" else number(field, where) * scale for field, scale in zip(fields, scales, strict=True)
    )
    if x is None or y is None or z is None:
        raise ExchangeError(f"{where}: x, y and z must be given", field="file")
    working = None if distance == "" else number(distance, where) * 1e3
    return StagePosition(name.removeprefix("'"), x, y, z, rotation, tilt, working)


# ------------------------------------------------------------------------------------------------------------ fibsemOS

COORDINATE_SYSTEM: Final = "RAW"


def write_fibsemos(positions: Sequence[StagePosition]) -> str:
    """Return the list of positions that ``FibsemStagePosition.from_dict`` takes: metres and radians.

    The text is JSON and YAML at once: PyYAML takes ``1e-05`` for a word, so every number has a point and a signed
    exponent.
    """
    entries = []
    for position in positions:
        fields = {
            "x": _exact(position.x / LENGTHS["m"]),
            "y": _exact(position.y / LENGTHS["m"]),
            "z": _exact(position.z / LENGTHS["m"]),
            "r": _exact(position.rotation, ANGLES["rad"]),
            "t": _exact(position.tilt, ANGLES["rad"]),
        }
        head = f'"name": {_quoted(position.name)}, '
        body = ", ".join(f'"{key}": {value}' for key, value in fields.items())
        entries.append(f'  {{{head}{body}, "coordinate_system": "{COORDINATE_SYSTEM}"}}')
    return "[\n" + ",\n".join(entries) + "\n]\n"


def _quoted(name: str) -> str:
    """A string of JSON and of YAML: YAML takes an escaped surrogate pair for two characters, so emoji stand as is."""
    return '"' + "".join(char if char > "\uffff" else json.dumps(char)[1:-1] for char in name) + '"'


def _exact(value: float | None, unit: float = 1.0) -> str:
    return "null" if value is None else f"{value / unit:.16e}"


def read_fibsemos(text: str) -> list[StagePosition]:
    """Return the positions of such a list, given as JSON; ExchangeError names what is wrong."""
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExchangeError(f"the text is no JSON: {error}", field="file") from error
    if not isinstance(entries, list) or len(entries) > _MAX_POSITIONS:
        raise ExchangeError(f"it should be a list of at most {_MAX_POSITIONS} positions", field="file")
    return [_entry(entry, f"position {index}") for index, entry in enumerate(entries, 1)]


def _entry(entry: Any, where: str) -> StagePosition:
    if not isinstance(entry, dict):
        raise ExchangeError(f"{where} is no object {{name, x, y, z, r, t, coordinate_system}}", field="file")
    if entry.get("coordinate_system") != COORDINATE_SYSTEM:
        said = str(entry.get("coordinate_system"))[:40]
        raise ExchangeError(f"{where}: its coordinate system is {said}; {COORDINATE_SYSTEM} is read", field="file")
    x, y, z = (_value(entry, key, where) for key in "xyz")
    rotation, tilt = _value(entry, "r", where), _value(entry, "t", where)
    if x is None or y is None or z is None:
        raise ExchangeError(f"{where}: x, y and z must be given", field="file")
    return StagePosition(
        str(entry.get("name") or ""),
        x * LENGTHS["m"],
        y * LENGTHS["m"],
        z * LENGTHS["m"],
        None if rotation is None else rotation * ANGLES["rad"],
        None if tilt is None else tilt * ANGLES["rad"],
    )


def _value(entry: dict[str, Any], key: str, where: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExchangeError(f"{where}: {key} is no number", field="file")
    return number(repr(value), f"{where}, {key}")
