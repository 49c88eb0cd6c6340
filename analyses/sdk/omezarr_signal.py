"""The signal axis ``e`` of a spectrum image in OME-Zarr metadata, written and read back.

NGFF 0.5 admits one axis of a type of one's own beside time, channel and space.  Ours is ``energy`` where the signal
has one axis, an energy, else ``signal``; its scale and translation are step and offset where there is one axis of a
positive step.  Several axes, such as the two of a diffraction pattern, are flattened into ``e`` in C order; what they
are stands under our own attribute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analyses.sdk.storable import storable_text
from analyses.sdk.values import SIGNAL_AXIS, SignalAxis

MAX_AXES = 4
MAX_TEXT = 50
# UCUM code -> name in the style of UDUNITS-2, which NGFF recommends.
_NGFF_UNITS = {
    "eV": "electronvolt",
    "keV": "kiloelectronvolt",
    "nm": "nanometer",
    "um": "micrometer",
    "s": "second",
    "deg": "degree",
}
_UCUM_UNITS = {name: code for code, name in _NGFF_UNITS.items()}


def check_signal(signal: Sequence[SignalAxis], size: int) -> None:
    """Refuse with ValueError a description that does not fit ``size`` samples along ``e``."""
    if not 1 <= len(signal) <= MAX_AXES:
        raise ValueError(f"{len(signal)} signal axes are described; a spectrum image has 1 to {MAX_AXES}")
    if math.prod(axis.size for axis in signal) != size or any(axis.size < 1 for axis in signal):
        raise ValueError(f"signal axes have sizes {[axis.size for axis in signal]}, the axis e has {size} samples")
    for axis in signal:
        if not (math.isfinite(axis.offset) and math.isfinite(axis.step)) or axis.step == 0:
            raise ValueError(
                f"signal axis {axis.name!r} has offset {axis.offset} and step {axis.step}; both must be finite and the "
                "step must not be 0"
            )


def axis_entry(signal: Sequence[SignalAxis]) -> dict[str, str]:
    """The entry of ``e`` in the list of axes."""
    if not _plain(signal):
        return {"name": SIGNAL_AXIS, "type": "signal"}
    (axis,) = signal
    kind = "energy" if axis.name == "energy" else "signal"
    return {"name": SIGNAL_AXIS, "type": kind, "unit": _NGFF_UNITS.get(axis.unit, axis.unit)}


def scale_and_shift(signal: Sequence[SignalAxis]) -> tuple[float, float]:
    """Scale and translation of ``e``: step and offset of the only axis, else those that count samples."""
    return (signal[0].step, signal[0].offset) if _plain(signal) else (1.0, 0.0)


def own_entry(signal: Sequence[SignalAxis]) -> list[dict[str, Any]]:
    """What stands under our own attribute."""
    return [asdict(axis) for axis in signal]


def _plain(signal: Sequence[SignalAxis]) -> bool:
    return len(signal) == 1 and signal[0].step > 0


def read_signal(
    own: Any, axis: Mapping[str, Any], size: int, scale: float, translation: float
) -> tuple[SignalAxis, ...]:
    """The signal axes of a store with ``size`` samples along ``e``.

    Parameters
    ----------
    own
        What stands under our own attribute, whoever wrote it: taken where it is well formed and fits, else not.
    axis
        The entry of ``e`` in the list of axes.
    scale, translation
        Of ``e`` at level 0, in the unit of the axis.

    Returns
    -------
    tuple of SignalAxis
        At least one; without a unit its samples are counted: offset 0, step 1, unit ``1``.
    """
    stated = _stated(own, size)
    if stated is not None:
        return stated
    unit = axis.get("unit")
    if not isinstance(unit, str) or not unit or not (math.isfinite(scale) and scale > 0 and math.isfinite(translation)):
        return (SignalAxis("channel", size, 0.0, 1.0, "1"),)
    name = "energy" if axis.get("type") == "energy" else "signal"
    return (SignalAxis(name, size, translation, scale, _UCUM_UNITS.get(unit, storable_text(unit, MAX_TEXT))),)


def _stated(own: Any, size: int) -> tuple[SignalAxis, ...] | None:
    try:
        axes = tuple(_axis(item) for item in own)
        check_signal(axes, size)
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    return axes


def _axis(item: Any) -> SignalAxis:
    name, unit = item["name"], item["unit"]
    if not (isinstance(name, str) and isinstance(unit, str) and name and unit):
        raise ValueError("name and unit of a signal axis are text")
    size = item["size"]
    if isinstance(size, bool) or not isinstance(size, int):
        raise ValueError("the size of a signal axis is a whole number")
    return SignalAxis(
        storable_text(name, MAX_TEXT), size, float(item["offset"]), float(item["step"]), storable_text(unit, MAX_TEXT)
    )
