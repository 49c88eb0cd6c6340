"""What a spacing is, what it makes of an image's frame, and which spacings a person may type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from analyses.sdk.values import SPATIAL_AXES
from apps.core.errors import InvalidValueError

POINT_AXES = ("x", "y", "z")
# A femtometre and a kilometre: outside of them a length is a slip, and its powers leave the range of a double.
SHORTEST_UM = 1e-9
LONGEST_UM = 1e9
HANDEDNESS = ("right", "left", "unknown")
_SENSE = {
    "right": "The samples are declared right-handed: the frame is not mirrored against the specimen.",
    "left": "The samples are declared left-handed: the frame is mirrored against the specimen, short of a reflection.",
    "unknown": "Whether the samples are mirrored against the specimen is unknown.",
}


def _positive(value: Any, field: str) -> float:
    """A finite length above zero; NaN, infinities, strings and booleans are refused by name."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"{value!r} is not a number; give a length in um", field=field)
    if not math.isfinite(value) or value <= 0:
        raise InvalidValueError(f"{value!r} is not a sample distance; it must be finite and above 0 um", field=field)
    if not SHORTEST_UM <= value <= LONGEST_UM:
        raise InvalidValueError(
            f"{value!r} um is no distance of samples; it lies between {SHORTEST_UM:g} and {LONGEST_UM:g} um",
            field=field,
        )
    return float(value)


def _uncertainty(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"{value!r} is not a number; give a standard uncertainty in um", field=field)
    if not 0 <= value <= LONGEST_UM:  # false for NaN too
        raise InvalidValueError(
            f"{value!r} is not a standard uncertainty; it must be finite and not negative", field=field
        )
    return float(value)


def _check_axes(given: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidValueError(f"must be an object of lengths in um by axis, not {type(given).__name__}", field=field)
    for axis in given:
        if axis not in POINT_AXES:
            raise InvalidValueError(f"{axis!r} is no spatial axis; axes are x, y, z", field=f"{field}.{axis}")
    return given


def _uncertainties(given: Any, axes: Sequence[str], field: str) -> dict[str, float]:
    """One uncertainty an axis; a bare number holds for every axis that is typed."""
    if given is None:
        raise InvalidValueError(
            "a spacing typed by hand needs its standard uncertainty: a number in um for all axes, or {x, y, z}",
            field=field,
        )
    if not isinstance(given, Mapping):
        return dict.fromkeys(axes, _uncertainty(given, field))
    _check_axes(given, field)
    for axis in axes:
        if axis not in given:
            raise InvalidValueError(
                f"the spacing along {axis} is typed and needs its uncertainty", field=f"{field}.{axis}"
            )
    for axis in given:
        if axis not in axes:
            raise InvalidValueError(f"there is no typed spacing along {axis}", field=f"{field}.{axis}")
    return {axis: _uncertainty(given[axis], f"{field}.{axis}") for axis in axes}


def check_spacing(spacing_um: Any, spacing_u_um: Any, *, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Check a spacing typed by hand.

    Parameters
    ----------
    spacing_um : mapping
        Sample distance along ``x`` and ``y``, and ``z`` where it is known, in micrometres.
    spacing_u_um : float or mapping
        Standard uncertainty in micrometres: one for all axes, or one an axis; 0 says that the spacing is exact.
    prefix : str
        Put before the names of the fields in a refusal.

    Returns
    -------
    dict
        Axis -> ``{"value", "unit", "source", "u"}`` as an image's ``spacing`` holds it, source ``user``.

    Raises
    ------
    InvalidValueError
        Unknown or missing axis, a length that is not finite and positive, no uncertainty, or one as large as the
        spacing itself.
    """
    field = f"{prefix}spacing_um"
    given = _check_axes(spacing_um, field)
    for axis in ("x", "y"):
        if axis not in given:
            raise InvalidValueError(
                f"the spacing along {axis} is missing; give x and y, and z for a volume", field=field
            )
    lengths = {axis: _positive(value, f"{field}.{axis}") for axis, value in given.items()}
    errors = _uncertainties(spacing_u_um, list(lengths), f"{prefix}spacing_u_um")
    for axis, length in lengths.items():
        if errors[axis] >= length:
            name = f"{prefix}spacing_u_um"
            raise InvalidValueError(
                f"{errors[axis]!r} um is no standard uncertainty of a spacing of {length!r} um along {axis}; "
                "it is smaller than the spacing",
                field=f"{name}.{axis}" if isinstance(spacing_u_um, Mapping) else name,
            )
    return {
        axis: {"value": length, "unit": "um", "source": "user", "u": errors[axis]} for axis, length in lengths.items()
    }


def missing_axes(axes: Sequence[str], shape: Sequence[int], spacing: Mapping[str, Any] | None) -> list[str]:
    """Spatial axes longer than one sample that have no spacing; an image is calibrated if there is none."""
    known = spacing or {}
    return [
        axis
        for axis, size in zip(axes, shape, strict=True)
        if axis in SPATIAL_AXES and size > 1 and known.get(axis) is None
    ]


def plain_spacing(spacing: Mapping[str, Any] | None, key: str = "value") -> dict[str, float | None]:
    """Numbers of the axes z, y, x in um or None: the spacing (``value``) or its standard uncertainty (``u``)."""
    known = spacing or {}
    return {axis: (known.get(axis) or {}).get(key) for axis in SPATIAL_AXES}


def long_axes(axes: Sequence[str], shape: Sequence[int]) -> list[str]:
    """Spatial axes longer than one sample, in the order x, y, z: those along which lengths are measured."""
    sizes = dict(zip(axes, shape, strict=True))
    return [axis for axis in POINT_AXES if sizes.get(axis, 1) > 1]


def calibrated_spacing(
    spacing: Mapping[str, Any] | None, *, axes: str, factor: float, u_factor: float
) -> dict[str, dict[str, Any] | None]:
    """The spacing in the calibrated frame.

    Parameters
    ----------
    spacing : mapping
        Axis -> {value, unit, source, u} or None: the nominal one.
    axes : str
        Those that the calibration holds for, any of x, y, z; the others stay.
    factor, u_factor : float
        Calibrated length / nominal length and its standard uncertainty.

    Returns
    -------
    dict
        The same form, source ``calibration``.  The nominal spacing that a file states is the number that the factor
        was measured against: where no uncertainty of it is stated it adds none.  One that is stated is taken as
        independent of the factor: ``(u/s)^2 = (u_nominal/s_nominal)^2 + (u_factor/factor)^2`` (GUM, 5.1.6).
    """
    found: dict[str, dict[str, Any] | None] = {}
    for axis, entry in (spacing or {}).items():
        if entry is None or axis not in axes:
            found[axis] = entry
            continue
        nominal, own = float(entry["value"]), float(entry.get("u") or 0.0)
        u = math.hypot(factor * own, nominal * u_factor)
        found[axis] = {"value": factor * nominal, "unit": "um", "source": "calibration", "u": u}
    return found


def extent_um(axes: Sequence[str], shape: Sequence[int], spacing: Mapping[str, Any]) -> dict[str, float]:
    """The box of an image in its frame, voxel faces included.

    Returns
    -------
    dict
        ``x_min``, ``x_max``, ... in um.  The origin is the centre of the first sample, so a box begins half a sample
        before it; an axis of one sample without a spacing has no thickness.
    """
    sizes = dict(zip(axes, shape, strict=True))
    lengths = plain_spacing(spacing)
    box: dict[str, float] = {}
    for axis in POINT_AXES:
        step = lengths[axis] or 0.0
        box[f"{axis}_min"] = -0.5 * step
        box[f"{axis}_max"] = (sizes[axis] - 0.5) * step
    return box


def describe_frame(handedness: str) -> str:
    """Origin and axes of an image's frame in words."""
    return (
        "Origin: the centre of the first sample of level 0. x runs along the columns, y along the rows in the order in "
        f"which they are stored, z along the planes; micrometres. {_SENSE[handedness]}"
    )


def check_handedness(value: Any, *, field: str = "handedness") -> str:
    """A declared handedness."""
    if value not in HANDEDNESS:
        raise InvalidValueError(f"{value!r} is no handedness; it is one of {', '.join(HANDEDNESS)}", field=field)
    return str(value)


def spacing_change(
    axes: Sequence[str], shape: Sequence[int], old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Literal["none", "uniform", "unequal"]:
    """How the spacings of the axes longer than one sample change: not, by one factor, or by different ones.

    Without a former scale voxels counted as cubes.
    """
    factors = []
    for axis, size in zip(axes, shape, strict=True):
        entry, former = (new or {}).get(axis), (old or {}).get(axis)
        if size > 1 and entry:
            factors.append(entry["value"] / (former["value"] if former else 1.0))
    if not all(math.isclose(factor, factors[0], rel_tol=1e-9) for factor in factors):
        return "unequal"
    unchanged = old is not None and all(math.isclose(factor, 1.0, rel_tol=1e-9) for factor in factors)
    return "none" if unchanged else "uniform"
