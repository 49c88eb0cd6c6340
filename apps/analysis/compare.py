"""The verdict of a rerun: identical, within tolerance, or differs, and where by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

RELATIVE_TOLERANCE = 1e-6  # float32 fields summed in another order; results are reported to fewer digits


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _leaves(item, f"{path}[{position}]")
    else:
        yield path, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def compare_values(old: Any, new: Any) -> dict[str, Any]:
    """Compare two JSON values.

    Returns
    -------
    dict
        ``verdict``: ``identical``, ``within_tolerance`` (every number within a relative 1e-6, nothing else differs) or
        ``differs``;
        ``differences``: up to 20 of ``{where, old, new, relative}``; ``largest``: largest relative difference or None.
    """
    before, after = dict(_leaves(old)), dict(_leaves(new))
    differences: list[dict[str, Any]] = []
    largest, within = 0.0, True
    for where in sorted(set(before) | set(after)):
        a: Any = before.get(where)
        b: Any = after.get(where)
        if a == b and isinstance(a, bool) == isinstance(b, bool) and (where in before) == (where in after):
            continue
        relative = None
        if _is_number(a) and _is_number(b):
            relative = abs(a - b) / max(abs(a), abs(b))
            largest = max(largest, relative)
            within = within and relative <= RELATIVE_TOLERANCE
        else:
            largest, within = math.inf, False
        differences.append({"where": where, "old": a, "new": b, "relative": relative})
    verdict = "identical" if not differences else "within_tolerance" if within else "differs"
    return {
        "verdict": verdict,
        "tolerance": RELATIVE_TOLERANCE,
        "largest": largest if math.isfinite(largest) else None,
        "differences": differences[:20],
        "count": len(differences),
    }
