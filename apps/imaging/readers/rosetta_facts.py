"""Facts that Bruker and Gatan keep in their own headers, as rosettasciio hands them over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.imaging.readers.base import fact
from apps.imaging.readers.hspy import instrument_facts
from apps.imaging.readers.quantities import (
    Facts,
    local_moment,
    number,
    put,
    put_moment,
    put_positive,
    put_text,
    words,
)

Signal = Mapping[str, Any]
_SLASHED = re.compile(r"^(\d{1,2})/(\d{1,2})/(\d{4})$")
_FILETIME_START = datetime(1601, 1, 1, tzinfo=UTC)


def _within(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _common_facts(signal: Signal) -> Facts:
    """What the library itself found."""
    facts: Facts = {}
    metadata = signal["metadata"]
    general = metadata.get("General", {})
    put_moment(facts, general.get("date"), general.get("time"), tag="General.date General.time")
    for branch in ("SEM", "TEM"):
        found = _within(metadata, f"Acquisition_instrument.{branch}")
        if isinstance(found, Mapping):
            instrument_facts(facts, found, f"Acquisition_instrument.{branch}")
    return facts


def bruker_facts(signal: Signal) -> Facts:
    """Bruker: stage in um and degrees, working distance in mm; a state without figures is a stage that is not there."""
    facts, header = _common_facts(signal), signal["original_metadata"]
    for name, path, unit in (
        ("accelerating_voltage", "Microscope.HV", "kV"),
        ("working_distance", "Microscope.WD", "mm"),
        ("magnification", "Microscope.Mag", "1"),
    ):
        put_positive(facts, name, _within(header, path), unit, tag=path)
    for name, path, unit in (
        ("stage_x", "Stage.X", "um"),
        ("stage_y", "Stage.Y", "um"),
        ("stage_z", "Stage.Z", "um"),
        ("stage_rotation", "Stage.Rotation", "deg"),
        ("stage_tilt", "Stage.Tilt", "deg"),
    ):
        put(facts, name, _within(header, path), unit, tag=path)
    put_text(facts, "sample", _within(signal["metadata"], "Sample.name"), tag="Sample.name")
    put_text(facts, "detector", _within(header, "Detector.Type"), tag="Detector.Type")
    facts["manufacturer"] = fact("Bruker", source="derived")
    return facts


def gatan_facts(signal: Signal) -> Facts:
    """Gatan: voltage in V, stage in um and degrees, camera length in mm."""
    facts = _common_facts(signal)
    tags = _within(signal["original_metadata"], "ImageList.TagGroup0.ImageTags")
    for name, path in (
        ("instrument", "Session Info.Microscope"),
        ("instrument", "Microscope Info.Microscope"),
        ("instrument", "Microscope Info.Name"),
        ("operator", "Session Info.Operator"),
        ("sample", "Session Info.Specimen"),
        ("mode", "Microscope Info.Illumination Mode"),
        ("detector", "DataBar.Device Name"),
        ("detector", "Acquisition.Device.Name"),
    ):
        if name not in facts and _within(tags, path) not in (None, "[]"):
            put_text(facts, name, _within(tags, path), tag=path)
    for name, path, unit, power, raw in (
        ("accelerating_voltage", "Microscope Info.Voltage", "kV", -3, "V"),
        ("magnification", "Microscope Info.Indicated Magnification", "1", 0, ""),
        ("camera_length", "Microscope Info.STEM Camera Length", "mm", 0, ""),
        ("beam_current", "Microscope Info.Probe Current (nA)", "nA", 0, ""),
        ("dwell_time", "DigiScan.Sample Time", "us", 0, ""),
        ("exposure_time", "Acquisition.Parameters.High Level.Exposure (s)", "s", 0, ""),
    ):
        put_positive(facts, name, _within(tags, path), unit, tag=path, power=power, raw_unit=raw)
    for name, key, unit in (
        ("stage_x", "X", "um"),
        ("stage_y", "Y", "um"),
        ("stage_z", "Z", "um"),
        ("stage_tilt", "Alpha", "deg"),
        ("stage_tilt_beta", "Beta", "deg"),
    ):
        path = f"Microscope Info.Stage Position.Stage {key}"
        put(facts, name, _within(tags, path), unit, tag=path)
    _put_gatan_moment(facts, tags)
    return facts


def _put_gatan_moment(facts: Facts, tags: Any) -> None:
    """Date and time as the program shows them; the order of day and month is taken from the system's clock beside them.

    Where both orders are possible and there is no clock, the date stays the text that it is.
    """
    for group, day, clock in (
        ("DataBar", "Acquisition Date", "Acquisition Time"),
        ("EELS.Acquisition", "Date", "Start time"),
        ("SI.Acquisition", "Date", "Start time"),
    ):
        date, time = words(_within(tags, f"{group}.{day}")), words(_within(tags, f"{group}.{clock}"))
        if not date:
            continue
        facts.pop("acquired_at", None)
        written = unslashed(date, _within(tags, f"{group}.Acquisition Time (OS)"))
        moment = local_moment(written, time) if written else None
        tag, raw = f"{group}.{day}", f"{date} {time}".strip()
        facts["acquired_at" if moment else "acquired_at_as_written"] = fact(moment or raw, tag=tag, raw=raw)
        return


def unslashed(date: str, filetime: Any) -> str | None:
    """A date ``a/b/year`` as ``year-month-day``; other forms as they are, None where the order is not known."""
    found = _SLASHED.match(date)
    if found is None:
        return date
    first, second, year = int(found[1]), int(found[2]), int(found[3])
    orders = {(month, day) for month, day in ((first, second), (second, first)) if 1 <= month <= 12 and 1 <= day <= 31}
    ticks = number(filetime)
    if len(orders) > 1 and ticks and 0 < ticks < 1e18:
        clock = _FILETIME_START + timedelta(microseconds=ticks / 10)
        near = {order for order in orders if abs((datetime(year, *order, 12, tzinfo=UTC) - clock).days) <= 1}
        orders = near or orders
    return f"{year:04d}-{min(orders)[0]:02d}-{min(orders)[1]:02d}" if len(orders) == 1 else None
