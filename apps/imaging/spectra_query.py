"""What is asked of a spectrum image: places, a window of channels, a form of answer; checked against the image.

The whole-channel rule: a window of energies is summed over the channels whose centre, ``offset + i * step``, lies in
it; no channel is divided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analyses.sdk.values import SignalAxis
from analyses.sdk.xray_lines import ASSUMED_FWHM_EV, SOURCE, Line, find_line, fwhm_kev
from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging.models import Image

RESOLUTION_FACT = "energy_resolution"
FORMATS = ("png", "json", "npy")
BACKGROUNDS = ("none", "sides")
SPECTRUM_PARAMS = ("x", "y", "z", "t", "width", "height")
MAP_PARAMS = ("low", "high", "unit", "line", "background", "z", "t", "format")
_KEV = {"keV": 1.0, "eV": 1000.0}  # units of an energy axis, a keV


class NoSpectrumError(ConflictError):
    """The image has no spectrum at each place, or no energy axis where one is needed."""

    code = "no_spectrum"
    title = "The image is no spectrum image"


@dataclass(frozen=True)
class Region:
    """Places, as half-open ranges of samples in one plane at one time."""

    x: tuple[int, int]
    y: tuple[int, int]
    z: int
    t: int


@dataclass(frozen=True)
class Background:
    """Two windows of whole channels beside a line's, each (first, last); the line through their means is taken off."""

    below: tuple[int, int]
    above: tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Channels ``first`` to ``last`` inclusive, and how they were chosen: bounds in the axis's unit, or a line."""

    first: int
    last: int
    asked: Mapping[str, Any]
    background: Background | None = None

    @property
    def count(self) -> int:
        """Number of channels."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Plane:
    """Which plane, at which time, a map is made of."""

    z: int
    t: int


def signal_axes(image: Image) -> tuple[SignalAxis, ...]:
    """The signal axes of a spectrum image.

    Raises
    ------
    NoSpectrumError
        It is an image of another kind.
    """
    if image.kind != Image.Kind.SPECTRUM or not image.signal:
        raise NoSpectrumError(f"image {image.pk} is of kind {image.kind!r}; only a spectrum image has spectra")
    return tuple(SignalAxis(**axis) for axis in image.signal)


def _whole(params: Mapping[str, str], name: str, low: int, high: int, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high):
        raise InvalidValueError(f"{text[:40]!r} is not a whole number from {low} to {high}", field=name)
    return int(text)


def _number(params: Mapping[str, str], name: str) -> float:
    text = params.get(name)
    if text is None:
        raise InvalidValueError("is missing; give low and high, or a line", field=name)
    try:
        value = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidValueError(f"{text[:40]!r} is not a finite number", field=name)
    return value


def parse_region(image: Image, params: Mapping[str, str]) -> Region | None:
    """The places whose spectrum is asked for; None for all of them.

    Raises
    ------
    InvalidValueError
        One of x and y without the other, a place outside of the image, a region that reaches out of it.
    """
    sizes = dict(zip(image.axes, image.shape, strict=True))
    given = [name for name in SPECTRUM_PARAMS if name in params]
    if not given:
        return None
    for name in ("x", "y"):
        if name not in params:
            raise InvalidValueError(
                f"is missing beside {given[0]}; without any of them all places are summed", field=name
            )
    x = _whole(params, "x", 0, sizes["x"] - 1, 0)
    y = _whole(params, "y", 0, sizes["y"] - 1, 0)
    width = _whole(params, "width", 1, sizes["x"] - x, 1)
    height = _whole(params, "height", 1, sizes["y"] - y, 1)
    plane = _plane(sizes, params)
    return Region((x, x + width), (y, y + height), plane.z, plane.t)


def _plane(sizes: Mapping[str, int], params: Mapping[str, str]) -> Plane:
    return Plane(
        _whole(params, "z", 0, sizes["z"] - 1, 0),
        _whole(params, "t", 0, sizes.get("t", 1) - 1, 0),
    )


def parse_plane(image: Image, params: Mapping[str, str]) -> Plane:
    """The plane that a map is made of: z and t, 0 by default."""
    return _plane(dict(zip(image.axes, image.shape, strict=True)), params)


def parse_window(image: Image, params: Mapping[str, str]) -> Window:
    """The channels that a map sums.

    Raises
    ------
    NoSpectrumError
        The image has no axis that is a single energy, wavelength or the like.
    InvalidValueError
        Bounds that are no numbers, the wrong way round, outside of the axis, or between two channels; an unknown line;
        a line together with bounds; an unknown unit or background.
    """
    axes = signal_axes(image)
    if len(axes) != 1:
        names = ", ".join(axis.name for axis in axes)
        raise NoSpectrumError(f"image {image.pk} has the signal axes {names}; a window needs one axis")
    axis = axes[0]
    if "line" in params:
        low, high, asked = _line_window(image, axis, params)
    else:
        low, high, asked = _typed_window(axis, params)
    first, last = _channels(axis, low, high, "line" if "line" in params else "low")
    background = params.get("background", "none")
    if background not in BACKGROUNDS:
        raise InvalidValueError(f"{background[:40]!r} is none of {', '.join(BACKGROUNDS)}", field="background")
    return Window(first, last, asked, _sides(axis, first, last) if background == "sides" else None)


def _typed_window(axis: SignalAxis, params: Mapping[str, str]) -> tuple[float, float, dict[str, Any]]:
    low, high = _number(params, "low"), _number(params, "high")
    if low >= high:
        raise InvalidValueError(f"{high!r} is not above low = {low!r}", field="high")
    unit = params.get("unit", axis.unit)
    if unit != axis.unit and not {unit, axis.unit} <= set(_KEV):
        raise InvalidValueError(f"{unit[:40]!r} is not the unit of the axis, {axis.unit}", field="unit")
    factor = 1.0 if unit == axis.unit else _KEV[axis.unit] / _KEV[unit]
    return low * factor, high * factor, {"low": low, "high": high, "unit": unit}


def _line_window(image: Image, axis: SignalAxis, params: Mapping[str, str]) -> tuple[float, float, dict[str, Any]]:
    """From one full width at half maximum below a line to one above: 98 % of a Gaussian peak."""
    for name in ("low", "high", "unit"):
        if name in params:
            raise InvalidValueError("is given together with a line; give one or the other", field=name)
    if axis.unit not in _KEV:
        raise NoSpectrumError(f"image {image.pk} has the axis {axis.name} in {axis.unit}; a line needs an energy")
    try:
        line = find_line(params["line"])
    except ValueError as error:
        raise InvalidValueError(str(error), field="line") from error
    stated = _resolution(image)
    width = fwhm_kev(line.energy_kev, stated or ASSUMED_FWHM_EV)
    asked = _told(line, width, stated)
    factor = _KEV[axis.unit]
    return (line.energy_kev - width) * factor, (line.energy_kev + width) * factor, asked


def _resolution(image: Image) -> float | None:
    """Width that the file states of its detector, in eV; None where it says none that a detector could have."""
    stated = image.facts.get(RESOLUTION_FACT) or {}
    value = stated.get("value")
    if stated.get("unit") != "eV" or not isinstance(value, int | float) or not 10 < value < 1000:
        return None
    return float(value)


def _told(line: Line, width: float, stated: float | None) -> dict[str, Any]:
    return {
        "line": line.name,
        "energy": line.energy_kev,
        "half_width": width,
        "unit": "keV",
        "source": SOURCE,
        "detector_resolution": {
            "value": stated if stated is not None else ASSUMED_FWHM_EV,
            "unit": "eV",
            "at": "Mn_Ka",
            "source": "file" if stated is not None else "assumed",
        },
    }


def _channels(axis: SignalAxis, low: float, high: float, field: str) -> tuple[int, int]:
    """First and last channel whose centre lies from ``low`` to ``high``."""
    ends = sorted(((low - axis.offset) / axis.step, (high - axis.offset) / axis.step))
    # a centre that is meant to lie on a bound must not fall out by the last digit of a double
    first, last = math.ceil(ends[0] - 1e-9), math.floor(ends[1] + 1e-9)
    begin, end = sorted((axis.offset, axis.offset + (axis.size - 1) * axis.step))
    span = f"the axis runs from {begin:.6g} to {end:.6g} {axis.unit} in steps of {abs(axis.step):.6g}"
    if first < 0 or last >= axis.size:
        raise InvalidValueError(f"{low:.6g} to {high:.6g} {axis.unit} reaches out of the axis; {span}", field=field)
    if last < first:
        raise InvalidValueError(f"no channel has its centre from {low:.6g} to {high:.6g}; {span}", field=field)
    return first, last


def _sides(axis: SignalAxis, first: int, last: int) -> Background:
    """Windows of half the line's width, rounded up, directly below and above it."""
    half = -(-(last - first + 1) // 2)
    if first - half < 0 or last + half >= axis.size:
        raise InvalidValueError(
            f"there are no {half} channels on either side of the window {first} to {last}; use none", field="background"
        )
    return Background((first - half, first - 1), (last + 1, last + half))


def parse_format(params: Mapping[str, str]) -> str:
    """How a map is answered: png, json or npy."""
    text = params.get("format", "png")
    if text not in FORMATS:
        raise InvalidValueError(f"{text[:40]!r} is none of {', '.join(FORMATS)}", field="format")
    return text
