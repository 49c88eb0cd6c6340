"""Lengths for people: micrometres in, a readable unit out; scale bars that are true."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.imaging.selectors import effective_spacing

_UNITS = ((1e4, "cm"), (1e3, "mm"), (1.0, "µm"), (1e-3, "nm"))
_SPATIAL = ("z", "y", "x")


def significant(value: float, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits, no exponent between 1e-3 and 1e6, no trailing zeros."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    text = f"{value:.{max(0, digits - 1 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_length(um: float, digits: int = 3) -> str:
    """Return a length in the unit that reads best, with its unit.

    Parameters
    ----------
    um : float
        Length in micrometres.
    """
    if um == 0:
        return "0 µm"
    size, unit = next(((s, u) for s, u in _UNITS if abs(um) >= s * 0.9995), _UNITS[-1])
    return f"{significant(um / size, digits)} {unit}"


def format_length_pair(um: float, u_um: float | None) -> str:
    """Return a length with its standard uncertainty, both in the unit that reads best for the length."""
    if not u_um:
        return format_length(um, 5)
    size, unit = next(((s, u) for s, u in _UNITS if abs(um) >= s * 0.9995), _UNITS[-1])
    return f"{significant(um / size, 5)} ± {significant(u_um / size, 2)} {unit}"


def nice_length(at_most_um: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten (um) that is not above ``at_most_um``."""
    power = 10.0 ** math.floor(math.log10(at_most_um))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= at_most_um * (1 + 1e-9))


@dataclass(frozen=True)
class ScaleBar:
    """A bar to draw over a picture: its length in words, and as a share of the picture's width in percent."""

    label: str
    percent: float


def scale_bar(field_um: float | None) -> ScaleBar | None:
    """Return the bar for a picture that is ``field_um`` micrometres wide; None where the width is not known."""
    if not field_um or field_um <= 0:
        return None
    length = nice_length(field_um * 0.3)
    return ScaleBar(format_length(length), 100.0 * length / field_um)


def spacing_of(spacing: Mapping[str, Any] | None, axis: str) -> float | None:
    """Return the sample distance along an axis in um; None where the image has none."""
    entry = (spacing or {}).get(axis)
    return float(entry["value"]) if entry and entry.get("value") else None


def samples_of(axes: Sequence[str], shape: Sequence[int]) -> dict[str, int]:
    """Return the number of samples by axis name."""
    return dict(zip(axes, shape, strict=True))


def field_of(image: Any, axis: str) -> float | None:
    """Return how far an image reaches along an axis, um, voxel faces included; None where it has no spacing."""
    step = spacing_of(effective_spacing(image), axis)
    count = samples_of(image.axes, image.shape).get(axis)
    return None if step is None or count is None else step * count


def extent_sentence(image: Any) -> str:
    """Return the size of an image in samples and, where it has a scale, in lengths."""
    counts = samples_of(image.axes, image.shape)
    named = [axis for axis in reversed(_SPATIAL) if counts.get(axis, 1) > 1] or ["x"]
    samples = " × ".join(str(counts.get(axis, 1)) for axis in named)
    lengths = [field_of(image, axis) for axis in named]
    known = [format_length(length) for length in lengths if length is not None]
    return f"{samples} samples" + (f", {' × '.join(known)}" if len(known) == len(named) else "")
