"""X-ray lines that a spectrum image can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analyses.sdk.xray_lines import all_lines

_KEV = {"keV": 1.0, "eV": 0.001}


@dataclass(frozen=True)
class LineChoice:
    """A line by the name that an address takes, and in words."""

    name: str
    words: str


def lines_within(signal: Sequence[dict[str, Any]] | None) -> list[LineChoice]:
    """Return the tabulated lines within the energies of a spectrum image, by element; none where it has no energy."""
    if not signal or len(signal) != 1 or signal[0].get("unit") not in _KEV:
        return []
    axis = signal[0]
    scale = _KEV[axis["unit"]]
    ends = sorted((axis["offset"] * scale, (axis["offset"] + axis["step"] * (axis["size"] - 1)) * scale))
    found = [line for line in all_lines() if ends[0] + 0.1 <= line.energy_kev <= ends[1]]
    return [
        LineChoice(line.name, f"{line.name.replace('_', ' ')} ({line.energy_kev:.3f} keV)")
        for line in sorted(found, key=lambda line: line.name)
    ]
