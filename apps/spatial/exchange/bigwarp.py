"""Landmarks of BigWarp: lines of ``name, active, moving x, y(, z), fixed x, y(, z)`` without a header.

BigWarp writes the physical units of its images; a point that was not set yet is ``Infinity``.
"""

from __future__ import annotations

import csv
import io
from typing import Any, Final

from apps.spatial.exchange.errors import ExchangeError, number

_ACTIVE: Final = {"true": True, "false": False}
_UNSET: Final = {"infinity", "-infinity", "inf", "-inf", "nan"}
_MAX_PAIRS: Final = 10_000
INACTIVE: Final = "not active in BigWarp"


def read_bigwarp(text: str, *, unit_um: float = 1.0) -> list[dict[str, Any]]:
    """Return landmark pairs as ``POST transforms/`` takes them, source = moving, target = fixed.

    Parameters
    ----------
    text : str
        The CSV file; 6 columns in the plane (z = 0), 8 in space.
    unit_um : float
        Micrometres in one unit of the file.

    Returns
    -------
    list of dict
        ``{source, target, state, reason}`` in um; pairs that are not active are rejected with that reason, pairs with a
        point not set are left out.

    Raises
    ------
    ExchangeError
        Names the line.
    """
    try:
        rows = [
            (index, row) for index, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1) if row
        ]
    except csv.Error as error:
        raise ExchangeError(f"the file is no CSV: {error}", field="file") from error
    if not rows or len(rows) > _MAX_PAIRS:
        raise ExchangeError(f"the file has {len(rows)} lines; 1 to {_MAX_PAIRS} can be", field="file")
    widths = {len(row) for _, row in rows}
    if not widths <= {6, 8} or len(widths) > 1:
        raise ExchangeError("each line has 6 fields (in the plane), or each has 8 (in space)", field="file")
    pairs = [_pair(row, f"line {index}", unit_um) for index, row in rows]
    return [pair for pair in pairs if pair is not None]


def _pair(row: list[str], where: str, unit_um: float) -> dict[str, Any] | None:
    name, active, *fields = (field.strip() for field in row)
    if active.lower() not in _ACTIVE:
        raise ExchangeError(f"{where} ({name[:40]}): {active[:40]!r} is neither true nor false", field="file")
    if any(field.lower() in _UNSET for field in fields):
        return None
    numbers = [number(field, where) * unit_um for field in fields]
    half = len(numbers) // 2
    flat = [0.0] * (3 - half)
    pair: dict[str, Any] = {"source": numbers[:half] + flat, "target": numbers[half:] + flat, "state": "active"}
    return pair if _ACTIVE[active.lower()] else pair | {"state": "rejected", "reason": INACTIVE}
