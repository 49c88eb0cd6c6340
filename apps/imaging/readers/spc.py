"""EDAX spectra (``.spc``) of TEAM and Genesis: a header of fixed places, then the counts.

Offsets after EDAX's published description of versions 0.61 and 0.70.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from analyses.sdk.values import SignalAxis
from apps.imaging.readers.base import Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TruncatedFileError
from apps.imaging.readers.quantities import Facts, put, put_positive
from apps.imaging.readers.tiff_header import json_value, text

_HEADER_BYTES = 736
_MOST_POINTS = 1 << 15
_VERSIONS = (0.61, 0.7)
# Name, offset, type of the fields that say something here.
_FIELDS = (
    ("fVersion", 0, "f"),
    ("collectDateYear", 16, "h"),
    ("collectDateDay", 18, "b"),
    ("collectDateMon", 19, "b"),
    ("collectTimeMin", 20, "b"),
    ("collectTimeHour", 21, "b"),
    ("collectTimeSec", 23, "b"),
    ("dataStart", 28, "i"),
    ("numPts", 32, "h"),
    ("workingDist", 36, "h"),
    ("evPerChan", 384, "i"),
    ("startEnergy", 448, "f"),
    ("endEnergy", 452, "f"),
    ("liveTime", 456, "f"),
    ("tilt", 460, "f"),
    ("takeoff", 464, "f"),
    ("detReso", 472, "f"),
    ("azimuth", 508, "f"),
    ("elevation", 512, "f"),
    ("kV", 532, "f"),
    ("numElem", 638, "h"),
)


class SpcReader:
    """Reader of EDAX point spectra."""

    format = "EDAX SPC"

    def claims(self, path: Path, head: bytes) -> int:
        """A version that is known, and counts that the file has room for: there is no other mark."""
        return 60 if path.is_file() and looks_like_spc(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The spectrum, of shape (n, 1, 1, 1).

        Raises
        ------
        ReaderError
            Cut off, or with a header that contradicts itself.
        """
        with path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
            said = _header(head)
            if said is None:
                raise MetadataError(f"{name} has no header of an EDAX spectrum")
            start, count = said["dataStart"], said["numPts"]
            stream.seek(start)
            data = stream.read(4 * count)
        if len(data) < 4 * count:
            raise TruncatedFileError(
                f"{name} announces {count} channels from {start} on and has {path.stat().st_size} bytes", channels=count
            )
        counts = np.frombuffer(data, f"{_order(head)}u4").astype("<u4").reshape(-1, 1, 1, 1)
        label = text(head[64:320].split(b"\0")[0].decode("latin-1")).strip()
        return [
            ReadImage(
                name=label or Path(name).stem,
                axes=("e", "z", "y", "x"),
                array=counts,
                spacing_um=dict.fromkeys("zyx"),
                kind="spectrum",
                signal=(_axis(said, name),),
                facts=_facts(said),
                header={"format": "EDAX SPC", "fields": json_value(said), "elements": _elements(head, said)},
                modality="eds",
            )
        ]


def looks_like_spc(path: Path, head: bytes) -> bool:
    """True for the first bytes of an EDAX spectrum."""
    return _header(head) is not None


def _order(head: bytes) -> str | None:
    """Byte order by which the version is one that exists."""
    for order in "<>":
        version = struct.unpack_from(order + "f", head)[0] if len(head) >= 4 else 0
        if any(math.isclose(version, known, rel_tol=1e-6) for known in _VERSIONS):
            return order
    return None


def _header(head: bytes) -> dict[str, Any] | None:
    order = _order(head)
    if order is None or len(head) < _HEADER_BYTES:
        return None
    said = {name: struct.unpack_from(order + form, head, at)[0] for name, at, form in _FIELDS}
    sane = 0 < said["numPts"] <= _MOST_POINTS and _HEADER_BYTES <= said["dataStart"] <= 1 << 20
    return said if sane else None


def _axis(said: Mapping[str, Any], name: str) -> SignalAxis:
    """Energy in keV; the width of a channel is in whole eV."""
    step, offset = said["evPerChan"] / 1000, said["startEnergy"]
    if not 0 < step < 1000 or not math.isfinite(offset):
        raise MetadataError(f"{name} states channels of {step} keV from {offset} keV on")
    return SignalAxis("energy", said["numPts"], _short(offset), step, "keV")


def _facts(said: Mapping[str, Any]) -> Facts:
    facts: Facts = {}
    parts = ("DateYear", "DateMon", "DateDay", "TimeHour", "TimeMin", "TimeSec")
    try:
        moment = datetime(*(said[f"collect{part}"] for part in parts))  # noqa: DTZ001 - the file has no zone
        facts["acquired_at"] = fact(moment.isoformat(), tag="collectDate, collectTime")
    except (ValueError, OverflowError):
        pass
    facts["manufacturer"] = fact("EDAX", source="derived")
    put_positive(facts, "accelerating_voltage", _short(said["kV"]), "kV", tag="kV")
    put_positive(facts, "live_time", _short(said["liveTime"]), "s", tag="liveTime")
    put_positive(facts, "energy_resolution", _short(said["detReso"]), "eV", tag="detReso")
    for name, tag in (("stage_tilt", "tilt"), ("elevation_angle", "elevation"), ("azimuth_angle", "azimuth")):
        put(facts, name, _short(said[tag]), "deg", tag=tag)
    put_positive(facts, "take_off_angle", _short(said["takeoff"]), "deg", tag="takeoff")
    return facts


def _short(value: float) -> float:
    """A 32-bit number with the figures that it had when it was written: 125.2, not 125.19999695."""
    return float(f"{value:.7g}")


def _elements(head: bytes, said: Mapping[str, Any]) -> list[int]:
    """Atomic numbers of the elements that were marked."""
    count = min(max(said["numElem"], 0), 48)
    return list(struct.unpack_from(f"{_order(head)}{count}H", head, 640))
