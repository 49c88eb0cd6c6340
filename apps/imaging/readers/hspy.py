"""HyperSpy (``.hspy``): HDF5 of signals with navigation and signal axes, format 1.x to 3.x.

Navigation axes are the places that were measured; signal axes are what was measured at each: an energy axis, or the two
axes of a diffraction pattern.  Signal axes in units of length are an image and so places, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyses.sdk.values import SignalAxis
from apps.imaging.readers.base import Limits, ReadImage
from apps.imaging.readers.errors import MetadataError, TooLargeError, UnsupportedFormatError
from apps.imaging.readers.hdf5 import Hdf5Array, Hdf5File, claim, guarded
from apps.imaging.readers.quantities import (
    Facts,
    inverse_nm_factor,
    length_power,
    length_um,
    number,
    put,
    put_moment,
    put_positive,
    put_text,
    time_power,
    words,
)

_ANGLES = {"mrad": "mrad", "rad": "rad", "deg": "deg", "°": "deg"}
_SAMPLE_PLACES = ("x", "y", "z")  # from the innermost axis outwards


@dataclass(frozen=True)
class Axis:
    """An axis of stored samples; ``step`` None where samples are not evenly spaced or it is not said."""

    name: str
    size: int
    offset: float
    step: float | None
    unit: str
    navigates: bool
    at: int

    @property
    def is_length(self) -> bool:
        """Along a direction in the sample."""
        return length_power(self.unit) is not None

    @property
    def is_energy(self) -> bool:
        """Along energy."""
        return self.unit in ("eV", "keV")

    def spacing_um(self) -> float | None:
        """Distance of samples."""
        return None if self.step is None else length_um(abs(self.step), self.unit)


class HspyReader:
    """Reader of HyperSpy files."""

    format = "HyperSpy"

    def claims(self, path: Path, head: bytes) -> int:
        """HDF5 that says it is of HyperSpy."""
        return claim(path, head, "hspy")

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """One image a signal.

        Raises
        ------
        ReaderError
            Broken, unsafe, too large, or with axes that no image has.
        """
        source = Hdf5File(path, name, limits)
        with guarded(name):
            experiments = source.group("Experiments")
            signals = [source.group(key, experiments) for key in experiments or ()]
            found = [signal for signal in signals if signal is not None and source.dataset("data", signal) is not None]
            if not found:
                raise UnsupportedFormatError(f"{name} has no signal with samples under Experiments")
            if len(found) > limits.max_images:
                raise TooLargeError(f"{name} has {len(found)} signals; at most {limits.max_images} are read")
            return [_image(source, signal) for signal in found]


def _image(source: Hdf5File, group: Any) -> ReadImage:
    data = source.dataset("data", group)
    axes = _axes(source, group, data)
    header = source.tree(group)
    said = header.get("metadata")
    metadata: Mapping[str, Any] = said if isinstance(said, dict) else {}
    kind = words(_within(metadata, "Signal", "signal_type"))
    signal = _signal_axes(axes)
    layout = arrange(axes, signal, source.name)
    array = Hdf5Array(source, data, [tuple(axis.at for axis in part) for part in layout.values()])
    spacing = {axis: layout[axis][0].spacing_um() if layout[axis] else None for axis in ("z", "y", "x")}
    title, called = words(_within(metadata, "General", "title")), words(group.name.rsplit("/", 1)[-1])
    return ReadImage(
        name=title or (Path(source.name).stem if called == "__unnamed__" else called),
        axes=tuple(layout),
        array=array,
        spacing_um=spacing,
        spacing_source="axes scale and units" if any(spacing.values()) else None,
        kind="spectrum" if signal else "intensity",
        signal=signal_axes(signal, kind, source.name),
        facts=_facts(metadata),
        header={"format": "HyperSpy", "signal": header},
        modality=_modality(kind, signal),
    )


def _within(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _axes(source: Hdf5File, group: Any, data: Any) -> list[Axis]:
    if data.dtype.kind not in "biuf":
        raise UnsupportedFormatError(f"{source.name} has a signal of type {data.dtype}; numbers of one shape are read")
    found = []
    for at, size in enumerate(data.shape):
        part = source.group(f"axis-{at}", group)
        said = {} if part is None else source.attributes(part)
        if (stated := number(said.get("size"))) is not None and stated != size:
            raise MetadataError(f"{source.name}: axis {at} states {stated:g} samples, the data have {size}")
        even = words(said.get("_type")) in ("", "UniformDataAxis")
        step, navigates = (number(said.get("scale")) if even else None), said.get("navigate")
        unit = words(said.get("units")).strip("<>")
        found.append(
            Axis(
                words(said.get("name")).strip("<>"),
                size,
                number(said.get("offset")) or 0.0,
                step if step else None,
                "" if unit in ("undefined", "_None_") else unit,
                bool(navigates) if isinstance(navigates, bool | int) else at < len(data.shape) - 1,
                at,
            )
        )
    return found


def _signal_axes(axes: Sequence[Axis]) -> list[Axis]:
    """The axes along which a signal was recorded at each place; none for an image.

    Two signal axes without a unit are a picture, unless they were recorded on a grid of places.
    """
    signal = [axis for axis in axes if not axis.navigates]
    if not signal or any(axis.is_energy for axis in signal):
        return [axis for axis in signal if axis.is_energy] if len(signal) > 1 else signal
    if len(signal) == 1:
        alone = signal[0]
        line = alone.is_length and alone.name.lower() in ("", "x", "y", "z", "width", "height")
        return [] if line else signal
    if all(axis.is_length for axis in signal):
        return []
    reciprocal = all(inverse_nm_factor(axis.unit) or axis.unit in _ANGLES for axis in signal)
    grid = sum(axis.navigates for axis in axes) >= 2
    return signal if reciprocal or grid else []


def arrange(axes: Sequence[Axis], signal: Sequence[Axis], name: str) -> dict[str, tuple[Axis, ...]]:
    """Which stored axes make up each axis of the image, in the order of the image.

    Raises
    ------
    UnsupportedFormatError
        More places than z, y, x and t can hold.
    """
    chosen: dict[str, tuple[Axis, ...]] = {}
    places = [axis for axis in axes if axis not in signal]
    for axis in [a for a in places if time_power(a.unit) is not None or a.name.lower() in ("time", "t", "frame")][:1]:
        chosen["t"] = (axis,)
    rest = [axis for axis in places if (axis,) != chosen.get("t")]
    # An axis that says its direction gets it; the others fill what is free, innermost first.
    for axis in rest:
        if axis.name.lower() in _SAMPLE_PLACES and axis.name.lower() not in chosen:
            chosen[axis.name.lower()] = (axis,)
    for axis in reversed([a for a in rest if (a,) not in chosen.values()]):
        free = [place for place in (*_SAMPLE_PLACES, "t") if place not in chosen]
        if not free:
            raise UnsupportedFormatError(f"{name} has {len(places)} axes of places; t, z, y and x are read")
        if free[0] == "z" and not axis.is_length and "t" in free:
            free = ["t"]
        chosen[free[0]] = (axis,)
    if signal:
        chosen["e"] = tuple(signal)
    present = [axis for axis in "tezyx" if axis in chosen or axis in "zyx"]
    return {axis: chosen.get(axis, ()) for axis in present}


def signal_axes(signal: Sequence[Axis], kind: str, name: str) -> tuple[SignalAxis, ...]:
    """The signal axes in units of the vocabulary: keV for EDS, 1/nm for diffraction.

    Raises
    ------
    UnsupportedFormatError
        Samples that are not evenly spaced.
    """
    found = []
    directions = ("ky", "kx") if len(signal) == 2 else ("",) * len(signal)
    for axis, direction in zip(signal, directions, strict=True):
        if axis.step is None:
            raise UnsupportedFormatError(f"{name}: the signal axis {axis.name or axis.at} is not evenly spaced")
        found.append(_signal_axis(axis, axis.step, kind, direction))
    return tuple(found)


def _signal_axis(axis: Axis, step: float, kind: str, direction: str) -> SignalAxis:
    label, unit, factor = axis.name or "signal", axis.unit, 1.0
    if axis.is_energy and kind.startswith("EDS"):
        label, unit, factor = "energy", "keV", 1e-3 if axis.unit == "eV" else 1.0
    elif axis.is_energy:
        label = "energy_loss" if kind.startswith("EELS") else "energy"
    elif reciprocal := inverse_nm_factor(axis.unit):
        label, unit, factor = direction or "k", "1/nm", reciprocal
    elif axis.unit in _ANGLES:
        label, unit = direction or "angle", _ANGLES[axis.unit]
    else:
        label = direction or label
        unit = axis.unit if axis.is_length or time_power(axis.unit) is not None else axis.unit or "1"
    if not math.isfinite(axis.offset):
        raise MetadataError(f"the signal axis {label} begins at {axis.offset}")
    return SignalAxis(label, axis.size, _scaled(axis.offset, factor), _scaled(step, factor), unit)


def _scaled(value: float, factor: float) -> float:
    return value if factor == 1 else float(f"{value * factor:.15g}")


def _modality(kind: str, signal: Sequence[Axis]) -> str:
    if kind.startswith("EDS"):
        return "eds"
    if len(signal) == 2:
        return "stem"
    return "other" if kind.startswith("EELS") else ""


def _facts(metadata: Mapping[str, Any]) -> Facts:
    """Facts of HyperSpy's own vocabulary: keV, nA, mm, degrees, s."""
    facts: Facts = {}
    general = _within(metadata, "General")
    put_moment(facts, _within(general, "date"), _within(general, "time"), tag="General.date General.time")
    put_text(facts, "operator", _within(general, "authors"), tag="General.authors")
    put_text(facts, "sample", _within(metadata, "Sample", "description"), tag="Sample.description")
    for branch in ("SEM", "TEM"):
        instrument = _within(metadata, "Acquisition_instrument", branch)
        if isinstance(instrument, Mapping):
            instrument_facts(facts, instrument, f"Acquisition_instrument.{branch}")
    return facts


def instrument_facts(facts: Facts, instrument: Mapping[str, Any], base: str) -> None:
    """Facts of a branch ``Acquisition_instrument.SEM`` or ``.TEM`` of metadata as HyperSpy has them."""
    put_text(facts, "instrument", instrument.get("microscope"), tag=f"{base}.microscope")
    put_text(facts, "mode", instrument.get("acquisition_mode"), tag=f"{base}.acquisition_mode")
    for name, key, unit in (
        ("accelerating_voltage", "beam_energy", "kV"),
        ("beam_current", "beam_current", "nA"),
        ("working_distance", "working_distance", "mm"),
        ("magnification", "magnification", "1"),
        ("camera_length", "camera_length", "mm"),
    ):
        put_positive(facts, name, instrument.get(key), unit, tag=f"{base}.{key}")
    stage, tag = instrument.get("Stage"), f"{base}.Stage"
    for axis in "xyz":
        put(facts, f"stage_{axis}", _within(stage, axis), "um", tag=f"{tag}.{axis}", power=3, raw_unit="mm")
    put(facts, "stage_rotation", _within(stage, "rotation"), "deg", tag=f"{tag}.rotation")
    put(facts, "stage_tilt", _within(stage, "tilt_alpha"), "deg", tag=f"{tag}.tilt_alpha")
    put(facts, "stage_tilt_beta", _within(stage, "tilt_beta"), "deg", tag=f"{tag}.tilt_beta")
    eds, tag = _within(instrument, "Detector", "EDS"), f"{base}.Detector.EDS"
    put_text(facts, "detector", _within(eds, "detector") or _within(eds, "detector_type"), tag=f"{tag}.detector")
    put(facts, "elevation_angle", _within(eds, "elevation_angle"), "deg", tag=f"{tag}.elevation_angle")
    put(facts, "azimuth_angle", _within(eds, "azimuth_angle"), "deg", tag=f"{tag}.azimuth_angle")
    put_positive(facts, "live_time", _within(eds, "live_time"), "s", tag=f"{tag}.live_time")
    put_positive(facts, "real_time", _within(eds, "real_time"), "s", tag=f"{tag}.real_time")
