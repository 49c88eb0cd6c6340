"""TESCAN: tag 50431 of a TIFF, or the side-car ``.hdr`` beside an image.

The tag is a chain of blocks: length of the rest (32 bits), kind (16 bits), content; a thumbnail (1), then ``key=value``
lines of the sections MAIN (2) and SEM (3).  The side-car has the same sections in brackets.  Older software may write
the lines without a chain, so that a tag which is none is read as text.  Lengths are in m, angles in degrees; the last
``ImageStripSize`` rows are the data bar.  ``Date`` and ``Time`` are those of the image; the TIFF's own DateTime is that
of the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from apps.imaging.readers.sem_quantities import Facts, ini, number, sample_distance, whole
from apps.imaging.readers.vendor import Description, Frame, area_above_bar, decoded

TAG = 50431
Sections = Mapping[str, Mapping[str, str]]

_BLOCK = struct.Struct("<IH")
_MAX_BLOCKS = 64
_SECTIONS = {2: "MAIN", 3: "SEM"}
_THUMBNAIL = 1
_KEY_LINE = re.compile(rb"(?:\[[A-Za-z]{2,20}\]|[A-Za-z][A-Za-z0-9]{1,40}=)[\x20-\x7e\x80-\xff]{0,200}\r?\n")
_QUANTITIES = (
    ("accelerating_voltage", "HV", "V"),
    ("accelerating_voltage", "AcceleratorVoltage", "V"),
    ("beam_current", "BeamCurrent", "A"),
    ("beam_current", "PredictedBeamCurrent", "A"),
    ("working_distance", "WD", "m"),
    ("magnification", "Magnification", ""),
    ("dwell_time", "DwellTime", "s"),
    ("scan_rotation", "ScanRotation", "deg"),
    ("stage_x", "StageX", "m"),
    ("stage_y", "StageY", "m"),
    ("stage_z", "StageZ", "m"),
    ("stage_rotation", "StageRotation", "deg"),
    ("stage_tilt", "StageTilt", "deg"),
    ("image_shift_x", "ImageShiftX", "m"),
    ("image_shift_y", "ImageShiftY", "m"),
    ("pressure", "ChamberPressure", "Pa"),
)
_WORDS = (
    ("instrument", "Device"),
    ("instrument_model", "DeviceModel"),
    ("serial_number", "SerialNumber"),
    ("software", "SoftwareVersion"),
    ("operator", "FullUserName"),
    ("operator", "UserName"),
    ("detector", "Detector"),
    ("detector", "Detector0"),
    ("mode", "ScanMode"),
    ("comment", "Description"),
)


def describe(frame: Frame) -> Description | None:
    """What the tag says; without one, what a side-car says that begins like TESCAN's."""
    sections = blocks(frame.tags[TAG]) if TAG in frame.tags else {}
    found = frame.side_car(".hdr")
    beside = ini(found[1]) if found else {}
    if not _ours(sections):
        if not _ours(beside):
            return None
        sections = beside
    # The section of the beam comes before MAIN, which has no key of the same name but those of no beam.
    flat = _flat(sections)
    lengths = {axis: sample_distance(flat.get(f"PixelSize{axis.upper()}", ""), "m") for axis in "yx"}
    bar = whole(flat.get("ImageStripSize", ""))
    return Description(
        dialect="TESCAN",
        facts=_facts(flat),
        header={"sections": {name: dict(values) for name, values in sections.items()}}
        | ({"side_car": beside} if _ours(beside) and sections is not beside else {}),
        spacing_um=lengths,
        spacing_source="PixelSizeX, PixelSizeY" if any(lengths.values()) else None,
        specimen_area=area_above_bar(frame, frame.height - bar if bar else None),
        modality="fib_sem" if "FIB" in sections and "SEM" not in sections else "sem",
        side_cars=(found[0],) if found and _ours(beside) else (),
    )


def blocks(data: bytes) -> dict[str, dict[str, str]]:
    """Sections of the tag; all lines that look like ``key=value`` where it is no chain of blocks."""
    found: dict[str, dict[str, str]] = {}
    at = 0
    for number_ in range(_MAX_BLOCKS):
        if at + _BLOCK.size > len(data):
            break
        length, kind = _BLOCK.unpack_from(data, at)
        end = at + 4 + length
        if length < 2 or end > len(data):
            break
        if kind != _THUMBNAIL and length > 2:
            for section, values in ini(decoded(data[at + _BLOCK.size : end])).items():
                found.setdefault(section or _SECTIONS.get(kind, f"block {number_}"), {}).update(values)
        at = end
    return found if _ours(found) else ini(decoded(b"".join(_KEY_LINE.findall(data))))


def _flat(sections: Sections) -> dict[str, str]:
    order = sorted(sections, key=lambda name: (name != "SEM", name == "MAIN"))
    return {key: value for name in reversed(order) for key, value in sections[name].items()}


def _ours(sections: Sections) -> bool:
    """Sections of this vendor: MAIN with a device or a distance of samples, or the same keys of no section."""
    main = sections.get("MAIN", sections.get("", {}))
    return "PixelSizeX" in main or ("Device" in main and "SoftwareVersion" in main)


def _facts(flat: Mapping[str, str]) -> dict[str, dict[str, object]]:
    facts = Facts()
    for name, key, unit in _QUANTITIES:
        facts.quantity(name, flat.get(key, ""), key, unit)
    for name, key in _WORDS:
        facts.words(name, flat.get(key), key)
    tilt = number(flat.get("TiltCorrection", ""))
    if tilt is not None:  # an angle: 0 stands for no correction
        facts.switch("tilt_correction", "on" if tilt else "off", "TiltCorrection")
        facts.found["tilt_correction"]["raw"] = flat["TiltCorrection"]
        if tilt:
            facts.quantity("tilt_correction_angle", flat["TiltCorrection"], "TiltCorrection", "deg")
    facts.moment(f"{flat.get('Date', '')} {flat.get('Time', '')}", "Date, Time")
    facts.derived("manufacturer", "TESCAN")
    return facts.found
