"""FEI and Thermo Fisher TIFF: tag 34682 (or 34680) with sections of ``key=value``, tag 34683 with XML.

All numbers are in SI units and radians.  ``[Scan] PixelWidth`` is the distance of samples in the frame of
``[Image] ResolutionX x ResolutionY``; rows beyond it are the data bar.  The section of the beam is named by
``[Beam] Beam``.  An optical camera (Nav-Cam) has no scan: its field width is a hint and no scale.  Where the sections
lack a value, the XML of newer versions may have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from apps.imaging.readers.errors import MetadataError
from apps.imaging.readers.sem_quantities import Facts, believable, ini, moment, sample_distance, whole
from apps.imaging.readers.vendor import (
    MAX_SIDE_CAR_BYTES,
    Description,
    Frame,
    area_above_bar,
    decoded,
    isotropic,
    xml_values,
)

TAGS = (34682, 34680)
XML_TAG = 34683
Sections = Mapping[str, Mapping[str, str]]

_ELECTRONS, _IONS = "EBeam", "IBeam"
_QUANTITIES = (
    ("accelerating_voltage", "{beam}.HV", "V"),
    ("accelerating_voltage", "Beam.HV", "V"),
    ("beam_current", "{beam}.BeamCurrent", "A"),
    ("working_distance", "{beam}.WD", "m"),
    ("working_distance", "Stage.WorkingDistance", "m"),
    ("dwell_time", "Scan.Dwelltime", "s"),
    ("dwell_time", "{scan}.Dwell", "s"),
    ("scan_rotation", "{beam}.ScanRotation", "rad"),
    ("scan_rotation", "Beam.ScanRotation", "rad"),
    ("field_width", "{beam}.HFW", "m"),
    ("field_height", "{beam}.VFW", "m"),
    ("field_width", "Scan.HorFieldsize", "m"),
    ("field_height", "Scan.VerFieldsize", "m"),
    ("stage_x", "Stage.StageX", "m"),
    ("stage_y", "Stage.StageY", "m"),
    ("stage_z", "Stage.StageZ", "m"),
    ("stage_rotation", "Stage.StageR", "rad"),
    ("stage_tilt", "Stage.StageT", "rad"),
    ("stage_x", "{beam}.StageX", "m"),
    ("stage_y", "{beam}.StageY", "m"),
    ("stage_z", "{beam}.StageZ", "m"),
    ("stage_rotation", "{beam}.StageR", "rad"),
    ("stage_tilt", "{beam}.StageTa", "rad"),
    ("specimen_tilt", "Stage.SpecTilt", "rad"),
    ("image_shift_x", "{beam}.BeamShiftX", "m"),
    ("image_shift_y", "{beam}.BeamShiftY", "m"),
    ("image_shift_x", "Beam.BeamShiftX", "m"),
    ("image_shift_y", "Beam.BeamShiftY", "m"),
    ("pressure", "Vacuum.ChPressure", "Pa"),
)
_WORDS = (
    ("instrument", "System.SystemType"),
    ("instrument", "SYSTEM.SystemType"),
    ("software", "System.Software"),
    ("software", "SYSTEM.Software"),
    ("operator", "User.User"),
    ("detector", "Detectors.Name"),
    ("mode", "Detectors.Mode"),
    ("mode", "{detector}.Signal"),
    ("comment", "User.UserText"),
)
_XML_QUANTITIES = (
    ("accelerating_voltage", "Optics/AccelerationVoltage", "V"),
    ("beam_current", "Optics/BeamCurrent", "A"),
    ("working_distance", "Optics/WorkingDistance", "m"),
    ("dwell_time", "ScanSettings/DwellTime", "s"),
    ("scan_rotation", "ScanSettings/ScanRotation", "rad"),
    ("field_width", "Optics/ScanFieldOfView/X", "m"),
    ("field_height", "Optics/ScanFieldOfView/Y", "m"),
    ("stage_x", "StageSettings/StagePosition/X", "m"),
    ("stage_y", "StageSettings/StagePosition/Y", "m"),
    ("stage_z", "StageSettings/StagePosition/Z", "m"),
    ("stage_rotation", "StageSettings/StagePosition/Rotation", "rad"),
    ("stage_tilt", "StageSettings/StagePosition/Tilt/Alpha", "rad"),
    ("image_shift_x", "Optics/BeamShift/X", "m"),
    ("image_shift_y", "Optics/BeamShift/Y", "m"),
    ("pressure", "VacuumProperties/SamplePressure", "Pa"),
)
_XML_WORDS = (
    ("instrument", "Instrument/InstrumentClass"),
    ("manufacturer", "Instrument/Manufacturer"),
    ("software", "Instrument/ControlSoftwareVersion"),
    ("operator", "Core/UserID"),
    ("detector", "Detectors/ScanningDetector/DetectorName"),
    ("mode", "Detectors/ScanningDetector/Signal"),
)
_SLICE = re.compile(r"SliceImage-[0-9]+", re.I)  # as Auto Slice & View names its files
_SLASHES = re.compile(r"[0-9]{1,2}/[0-9]{1,2}/")


def describe(frame: Frame) -> Description | None:
    """What the tags say, and the project of Auto Slice & View where it came with the image."""
    tag = next((tag for tag in TAGS if tag in frame.tags), None)
    if tag is None and XML_TAG not in frame.tags:
        return None
    sections = ini(frame.text(tag)) if tag is not None else {}
    if "User" not in sections and 34680 in frame.tags and tag != 34680:
        sections = ini(frame.text(34680)) or sections
    xml = xml_values(frame.text(XML_TAG), f"{frame.name}: tag {XML_TAG}")[1] if XML_TAG in frame.tags else {}
    facts = Facts()
    names = _names(sections)
    _section_facts(facts, sections, names)
    _xml_facts(facts, xml)
    project = _slices(facts, frame)
    spacing, source, withheld = _spacing(sections, xml, names, frame)
    facts.derived("manufacturer", "FEI / Thermo Fisher")
    return Description(
        dialect="FEI SEM",
        facts=facts.found,
        header={"sections": sections} | ({"xml": xml} if xml else {}) | ({"project": project[1]} if project else {}),
        spacing_um=spacing,
        spacing_source=source,
        specimen_area=_area(sections, frame),
        modality=_modality(names["beam"], bool(project or _SLICE.search(frame.name))),
        side_cars=(project[0],) if project else (),
        withheld=withheld,
    )


def _names(sections: Sections) -> dict[str, str]:
    """Names of the sections of the beam, the scan and the detector that made the image."""
    beam = sections.get("Beam", {})
    kind = beam.get("Beam") or next((name for name in (_ELECTRONS, _IONS) if name in sections), "Beam")
    scan = beam.get("Scan") or {_ELECTRONS: "EScan", _IONS: "IScan"}.get(kind, "")
    return {"beam": kind, "scan": scan, "detector": sections.get("Detectors", {}).get("Name", "")}


def _value(sections: Sections, path: str, names: Mapping[str, str]) -> tuple[str, str]:
    """Value and full name of ``section.key``."""
    section, _, key = path.rpartition(".")
    section = names.get(section.strip("{}"), "") if section.startswith("{") else section
    return sections.get(section, {}).get(key, ""), f"{section}.{key}"


def _section_facts(facts: Facts, sections: Sections, names: Mapping[str, str]) -> None:
    for name, path, unit in _QUANTITIES:
        value, tag = _value(sections, path, names)
        facts.quantity(name, value, tag, unit)
    for name, path in _WORDS:
        facts.words(name, *_value(sections, path, names))
    facts.switch("tilt_correction", *_value(sections, "{beam}.TiltCorrectionIsOn", names))
    if facts.found.get("tilt_correction", {}).get("value"):
        facts.quantity("tilt_correction_angle", *_value(sections, "{beam}.TiltCorrectionAngle", names), "rad")
    _moment(facts, sections)


def _moment(facts: Facts, sections: Sections) -> None:
    """``[User]`` has month/day/year; a date that could be read both ways follows ``TimeOfCreation``, which has dots."""
    user = sections.get("User", {})
    stated = f"{user.get('Date', '')} {user.get('Time', '')}"
    created = sections.get("PrivateFei", {}).get("TimeOfCreation", "")
    if _SLASHES.match(stated) and moment(stated) is None and moment(created) is not None:
        by_day, by_month = moment(stated, "day first"), moment(stated, "month first")
        same_day = [m for m in (by_month, by_day) if m and m[:10] == str(moment(created))[:10]]
        facts.moment(stated, "User.Date, User.Time", "day first" if same_day == [by_day] else "month first")
    facts.moment(stated, "User.Date, User.Time", "month first")
    facts.moment(created, "PrivateFei.TimeOfCreation")


def _xml_facts(facts: Facts, xml: Mapping[str, str]) -> None:
    for name, path, unit in _XML_QUANTITIES:
        facts.quantity(name, xml.get(path, ""), path, unit)
    for name, path in _XML_WORDS:
        facts.words(name, xml.get(path, ""), path)
    facts.moment(xml.get("Acquisition/AcquisitionDatetime", ""), "Acquisition/AcquisitionDatetime")


def _spacing(
    sections: Sections, xml: Mapping[str, str], names: Mapping[str, str], frame: Frame
) -> tuple[dict[str, float | None], str | None, str | None]:
    """Distance of samples, the field it was taken from, and why it is withheld."""
    image = sections.get("Image", {})
    columns = whole(image.get("ResolutionX", "")) or whole(xml.get("BinaryResult/ImageSize/X", ""))
    if names["beam"] not in (_ELECTRONS, _IONS, "Beam"):
        return isotropic(None), None, f"{names['beam']} is no scanned beam: its field width is a hint and no scale"
    if columns is not None and columns != frame.width:
        reason = f"the header describes {columns} columns and {frame.width} are stored: the frame was cut or resampled"
        return isotropic(None), None, reason
    for section in (names["scan"], "Scan"):
        scan = sections.get(section, {})
        found = {"y": sample_distance(scan.get("PixelHeight", ""), "m")}
        found["x"] = sample_distance(scan.get("PixelWidth", ""), "m")
        if found["x"] is not None or found["y"] is not None:
            return found, f"[{section}] PixelWidth, PixelHeight", None
    found = {axis: _xml_length(xml, f"BinaryResult/PixelSize/{axis.upper()}") for axis in "yx"}
    if any(found.values()):
        return found, "tag 34683 PixelSize", None
    return _of_the_field(sections, names, frame, columns)


def _of_the_field(
    sections: Sections, names: Mapping[str, str], frame: Frame, columns: int | None
) -> tuple[dict[str, float | None], str | None, str | None]:
    """A scanned field over its columns and rows; the rows must be known, since a data bar may be stored below them."""
    beam = sections.get(names["beam"], {})
    rows = whole(sections.get("Image", {}).get("ResolutionY", ""))
    found: dict[str, float | None] = {"y": None, "x": None}
    for axis, key, count, stored in (("x", "HFW", columns, frame.width), ("y", "VFW", rows, frame.height)):
        length = sample_distance(beam.get(key, ""), "m")
        if length is not None and count is not None and count <= stored:
            found[axis] = believable(length / count)
    return found, "field width over columns" if any(found.values()) else None, None


def _xml_length(xml: Mapping[str, str], path: str) -> float | None:
    """A length of the XML; its prefix is a factor, and only 1 was ever seen."""
    if xml.get(f"{path}@unit", "m") != "m" or xml.get(f"{path}@unitPrefixPower", "1") != "1":
        return None
    return sample_distance(xml.get(path, ""), "m")


def _area(sections: Sections, frame: Frame) -> tuple[int, int, int, int] | None:
    image = sections.get("Image", {})
    rows, columns = whole(image.get("ResolutionY", "")), whole(image.get("ResolutionX", ""))
    bar = whole(sections.get("PrivateFei", {}).get("DatabarHeight", ""))
    if rows is None and bar is not None:
        rows = frame.height - bar
    return area_above_bar(frame, rows, columns)


def _modality(beam: str, slices: bool) -> str:
    """A slice of a FIB tomogram or an ion image is ``fib_sem``; slices are told by their project or their name."""
    if slices or beam == _IONS:
        return "fib_sem"
    return "sem" if beam in (_ELECTRONS, "Beam") else "light"


def _slices(facts: Facts, frame: Frame) -> tuple[str, dict[str, str]] | None:
    """Name and values of an Auto Slice & View project beside the image; a project that is no XML is left alone."""
    for name, path in frame.beside.items():
        if not name.lower().endswith(".emxml"):
            continue
        try:
            if path.is_symlink() or path.stat().st_size > MAX_SIDE_CAR_BYTES:
                continue
            root, values = xml_values(decoded(path.read_bytes()), name)
        except (OSError, MetadataError):
            continue
        if root == "EMProject" and values.get("ApplicationId") == "ASV":
            facts.quantity("slice_thickness", values.get("ZCutSpacing", ""), f"{name}: ZCutSpacing", "m")
            return name, values
    return None
