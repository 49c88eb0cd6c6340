"""Which lengths a TIFF states, by the conventions of ImageJ and OME.

Resolution tags in inches or without a unit are no calibration: most programs write a default there.  ImageJ's
resolution and spacing count only together with a unit of length; OME's PhysicalSize has a unit, micrometres unless
stated.  Zero, negative, infinite, NaN and what is no distance of samples (``apps.imaging.scale``) mean
"absent".  An axis that is not stated stays None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from apps.imaging.scale import LONGEST_UM, SHORTEST_UM

SPATIAL = ("z", "y", "x")
# Inches are left out on purpose: ImageJ writes them for files that were never calibrated.
_IMAGEJ_UM = {
    "pm": 1e-6,
    "angstrom": 1e-4,
    "å": 1e-4,
    "a": 1e-4,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometers": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimeters": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
}
_IMAGEJ_UM |= {unit.replace("meter", "metre"): factor for unit, factor in _IMAGEJ_UM.items() if "meter" in unit}
# Symbols of OME's UnitsLength; "pixel" and "reference frame" are none.
_OME_UM = {
    "Ym": 1e30, "Zm": 1e27, "Em": 1e24, "Pm": 1e21, "Tm": 1e18, "Gm": 1e15, "Mm": 1e12, "km": 1e9, "hm": 1e8,
    "dam": 1e7, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "pm": 1e-6,
    "fm": 1e-9, "am": 1e-12, "zm": 1e-15, "ym": 1e-18, "Å": 1e-4, "\u212b": 1e-4, "thou": 25.4,
    "li": 2116.666666666667, "in": 25400.0, "ft": 304800.0, "yd": 914400.0, "mi": 1609344000.0,
}  # fmt: skip
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def usable(value: Any, factor: float = 1.0) -> float | None:
    """``value * factor`` if that is a length samples can be apart, in micrometres, else None."""
    try:
        length = float(value) * factor
    except (TypeError, ValueError, OverflowError):
        return None
    return length if SHORTEST_UM <= length <= LONGEST_UM else None  # false for NaN too


def imagej_factor(unit: Any) -> float | None:
    """Micrometres of an ImageJ unit, None if it is no length; the micro sign may be written as an escape."""
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), str(unit)).strip().lower()
    return _IMAGEJ_UM.get(text.replace("\u00b5", "u").replace("\u03bc", "u"))


def imagej_spacing(metadata: Mapping[str, Any], resolution: Mapping[str, Any]) -> dict[str, float | None]:
    """Spacing of an ImageJ TIFF in micrometres.

    Parameters
    ----------
    metadata
        Key-values of the image description: ``unit``, ``yunit``, ``zunit``, ``spacing``.
    resolution
        Rationals ``x`` and ``y`` of the resolution tags, samples per unit, as (numerator, denominator).
    """
    unit = metadata.get("unit")
    factors = {axis: imagej_factor(metadata.get(f"{axis}unit", unit)) for axis in SPATIAL}
    found: dict[str, float | None] = dict.fromkeys(SPATIAL)
    for axis in ("x", "y"):
        rational, factor = resolution.get(axis), factors[axis]
        if rational is not None and factor is not None and rational[0]:
            found[axis] = usable(rational[1] / rational[0], factor)
    depth = factors["z"]
    if depth is not None and "spacing" in metadata:
        found["z"] = usable(metadata["spacing"], depth)
    return found


def ome_spacing(pixels: Mapping[str, str]) -> dict[str, float | None]:
    """Spacing from the attributes of an OME ``Pixels`` element, in micrometres."""
    found: dict[str, float | None] = dict.fromkeys(SPATIAL)
    for axis in SPATIAL:
        factor = _OME_UM.get(pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm"))
        if factor is not None:
            found[axis] = usable(pixels.get(f"PhysicalSize{axis.upper()}"), factor)
    return found
