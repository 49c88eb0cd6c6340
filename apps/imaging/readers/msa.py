"""EMSA/MAS spectra as text: the form of 1991 and ISO 22029.

Lines ``#KEYWORD -unit: value``, then the points between ``#SPECTRUM`` and ``#ENDOFDATA``, as ``x, y`` or as y alone.
The points count, not the number that the header announces for them; a spectrum without its end is cut off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.values import SignalAxis
from apps.imaging.readers.base import Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.quantities import (
    Facts,
    length_power,
    number,
    put,
    put_moment,
    put_positive,
    put_text,
    time_power,
    whole,
    words,
)
from apps.imaging.readers.tiff_header import text

Array = npt.NDArray[Any]
_MOST_BYTES = 64 << 20
_LINE = re.compile(r"^#(#?)\s*([^:\s-][^:-]*?)\s*(?:-\s*([^:]*?))?\s*:(.*)$")
_ENERGY = re.compile(r"\b(k?ev)\b", re.IGNORECASE)
_EVEN = 0.05  # of the span: beyond it the header's step describes another spectrum
_KINDS = {"EDS": "eds", "EDX": "eds", "XEDS": "eds", "WDS": "other", "ELS": "other", "EELS": "other"}


def looks_like_msa(path: Path, head: bytes) -> bool:
    """True for the first bytes of an EMSA/MAS file."""
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:200].upper().split(b"\n")[0]
    return first.startswith(b"#FORMAT") and b"EMSA" in first


class MsaReader:
    """Reader of EMSA/MAS spectra."""

    format = "EMSA/MAS"

    def claims(self, path: Path, head: bytes) -> int:
        """The first line says what it is."""
        return 90 if path.is_file() and looks_like_msa(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The spectrum, of shape (n, 1, 1, 1).

        Raises
        ------
        ReaderError
            Cut off, or with a line that is no number where one belongs.
        """
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise TooLargeError(f"{name} has {size} bytes; a spectrum as text has at most {_MOST_BYTES}", size=size)
        content = text(path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
        return [_image(_parse(content.splitlines(), name), name)]


@dataclass
class _Spectrum:
    values: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    rows: list[list[float]] = field(default_factory=list)


def _parse(lines: Sequence[str], name: str) -> _Spectrum:
    found, in_data, ended = _Spectrum(), False, False
    for at, line in enumerate(lines, 1):
        if line.lstrip().startswith("#"):
            key = _keyword(line.strip(), found)
            if key == "FORMAT" and ended:
                raise UnsupportedFormatError(f"{name} holds several spectra; send one file for each")
            in_data, ended = (in_data or key == "SPECTRUM") and key != "ENDOFDATA", ended or key == "ENDOFDATA"
        elif in_data and line.strip():
            found.rows.append(_numbers(line, at, name))
    if not ended:
        raise TruncatedFileError(f"{name} has no #ENDOFDATA: its end is missing", lines=len(lines))
    if not any(found.rows):
        raise MetadataError(f"{name} has no points between #SPECTRUM and #ENDOFDATA")
    return found


def _keyword(line: str, found: _Spectrum) -> str:
    """Keep one line of the header, the first of its name; its keyword."""
    parts = _LINE.match(line)
    if parts is None:
        return line.strip("# ").split(" ")[0].upper()
    own, key, unit, value = parts[1], parts[2].upper(), (parts[3] or "").strip(), parts[4].strip()
    shown = f"{'##' if own else ''}{parts[2]}{f' -{unit}' if unit else ''}"
    found.header[shown] = [*found.header[shown], value] if shown in found.header else [value]
    if not own:
        found.values.setdefault(key, value)
        found.units.setdefault(key, unit)
    return "" if own else key


def _numbers(line: str, at: int, name: str) -> list[float]:
    try:
        found = [float(part) for part in line.replace(",", " ").replace("\t", " ").split()]
    except ValueError as error:
        raise MetadataError(
            f"{name}: line {at} is {line.strip()[:40]!r}, not numbers of a spectrum", line=at
        ) from error
    if not all(map(math.isfinite, found)):
        raise MetadataError(f"{name}: line {at} has a number that is not finite", line=at)
    return found


def _points(spectrum: _Spectrum, name: str) -> tuple[Array | None, Array]:
    """Positions, where the file has them, and counts."""
    if words(spectrum.values.get("DATATYPE")).upper() != "XY":
        return None, np.array([value for row in spectrum.rows for value in row])
    flat = [value for row in spectrum.rows for value in row]
    if len(flat) % 2 or any(len(row) % 2 for row in spectrum.rows):
        raise MetadataError(f"{name} says XY and has a line without both numbers of a point")
    return np.array(flat[::2]), np.array(flat[1::2])


def _image(spectrum: _Spectrum, name: str) -> ReadImage:
    positions, counts = _points(spectrum, name)
    stated = whole(spectrum.values.get("NPOINTS"))
    if stated is not None and len(counts) < stated:
        raise TruncatedFileError(f"{name} announces {stated} points and has {len(counts)}", found=len(counts))
    axis, deviation = _axis(spectrum, positions, len(counts), name)
    facts = _facts(spectrum)
    if stated is not None and stated != len(counts):
        facts["points_stated"] = fact(stated, "1", tag="NPOINTS")
    if deviation is not None:
        facts["axis_deviation"] = fact(deviation, axis.unit, "derived", raw="x of the points against OFFSET, XPERCHAN")
    return ReadImage(
        name=words(spectrum.values.get("TITLE")) or Path(name).stem,
        axes=("e", "z", "y", "x"),
        array=counts.astype("<f8").reshape(-1, 1, 1, 1),
        spacing_um=dict.fromkeys("zyx"),
        kind="spectrum",
        signal=(axis,),
        facts=facts,
        header={"format": "EMSA/MAS", "keywords": spectrum.header},
        modality=_KINDS.get(_kind(spectrum), ""),
    )


def _kind(spectrum: _Spectrum) -> str:
    return words(spectrum.values.get("SIGNALTYPE")).upper()


def _axis(spectrum: _Spectrum, positions: Array | None, count: int, name: str) -> tuple[SignalAxis, float | None]:
    """The axis of the signal, and how far a point lies from it if that is over half a channel."""
    step, offset = number(spectrum.values.get("XPERCHAN")), number(spectrum.values.get("OFFSET"))
    if positions is not None and count > 1 and not step:
        step = float(positions[-1] - positions[0]) / (count - 1)
    if positions is not None and offset is None:
        offset = float(positions[0])
    if not step or offset is None:
        raise MetadataError(f"{name} states no width of a channel (XPERCHAN) or no OFFSET")
    deviation = None
    if positions is not None:
        off = float(np.abs(positions - (offset + step * np.arange(count))).max())
        if off > _EVEN * abs(step) * count and off > abs(step):
            raise UnsupportedFormatError(f"{name} has points up to {off:g} from an even axis of step {step:g}")
        deviation = off if off > abs(step) / 2 else None
    return _named_axis(spectrum, count, offset, step, deviation)


def _named_axis(
    spectrum: _Spectrum, count: int, offset: float, step: float, deviation: float | None
) -> tuple[SignalAxis, float | None]:
    said, kind = words(spectrum.values.get("XUNITS")), _kind(spectrum)
    energy = _ENERGY.search(said)
    label = "energy_loss" if kind in ("ELS", "EELS") else "energy"
    if energy is None:
        unit = said if length_power(said) is not None or time_power(said) is not None else "1"
        return SignalAxis(words(spectrum.values.get("XLABEL")) or "signal", count, offset, step, unit), deviation
    unit, power = ("keV", 0) if energy[1].lower() == "kev" else ("eV", 0)
    if label == "energy" and unit == "eV":
        unit, power = "keV", 3
    scale = 10.0**power
    moved = None if deviation is None else deviation / scale
    return SignalAxis(label, count, offset / scale, step / scale, unit), moved


def _facts(spectrum: _Spectrum) -> Facts:
    """Facts in the units that the standard gives a keyword, unless the file gives another."""
    facts: Facts = {}
    values, units = spectrum.values, spectrum.units
    put_moment(facts, values.get("DATE"), values.get("TIME"), tag="DATE TIME")
    for name, key in (("owner", "OWNER"), ("mode", "OPERMODE"), ("detector", "EDSDET"), ("spectrometer", "ELSDET")):
        put_text(facts, name, values.get(key), tag=key)
    for name, key, unit, power in (
        ("accelerating_voltage", "BEAMKV", "kV", 0),
        ("beam_current", "PROBECUR", "nA", 0),
        ("emission_current", "EMISSION", "uA", 0),
        ("magnification", "MAGCAM", "1", 0),
        ("live_time", "LIVETIME", "s", 0),
        ("real_time", "REALTIME", "s", 0),
        ("dwell_time", "DWELLTIME", "us", 3),
        ("convergence_angle", "CONVANGLE", "mrad", 0),
        ("collection_angle", "COLLANGLE", "mrad", 0),
        ("specimen_thickness", "THICKNESS", "nm", 0),
    ):
        put_positive(facts, name, values.get(key), unit, tag=key, power=power, raw_unit="ms" if power else "")
    for name, key in (
        ("elevation_angle", "ELEVANGLE"),
        ("azimuth_angle", "AZIMANGLE"),
        ("stage_tilt", "XTILTSTGE"),
        ("stage_tilt_beta", "YTILTSTGE"),
    ):
        put(facts, name, values.get(key), "deg", tag=key)
    for axis in "xyz":
        key = f"{axis.upper()}POSITION"
        power_um = length_power(units.get(key, ""))
        if power_um is not None:
            put(facts, f"stage_{axis}", values.get(key), "um", tag=key, power=power_um, raw_unit=units[key])
    return facts
