"""Fibics TIFF (NPVE, ATLAS): tag 51023, XML with the root ``Fibics``.

``Scan`` has the steps from sample to sample in um as two vectors: U along a row, V along a column; a rotated scan has
both components in each, so the distance of samples is the length of the vector.  With ``Stage/X`` and ``Y`` they are
the only complete map from samples to the stage that a vendor writes, and are kept as facts.  ``Image`` has the size of
the frame that they hold for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from apps.imaging.readers.sem_quantities import Facts, believable, number, sample_distance, whole
from apps.imaging.readers.vendor import Description, Frame, area_above_bar, isotropic, xml_values

TAG = 51023
_QUANTITIES = (
    ("accelerating_voltage", "BeamInfo/AccV", "V"),
    ("beam_current", "BeamInfo/BeamI", "pA"),
    ("working_distance", "BeamInfo/WD", "mm"),
    ("dwell_time", "Scan/Dwell", "ns"),
    ("scan_rotation", "Scan/ScanRot", "deg"),
    ("field_width", "Scan/FOV_X", "um"),
    ("field_height", "Scan/FOV_Y", "um"),
    ("affine_ux", "Scan/Ux", "um"),
    ("affine_uy", "Scan/Uy", "um"),
    ("affine_vx", "Scan/Vx", "um"),
    ("affine_vy", "Scan/Vy", "um"),
    ("stage_x", "Stage/X", "um"),
    ("stage_y", "Stage/Y", "um"),
    ("stage_z", "Stage/Z", "um"),
    ("stage_rotation", "Stage/Rot", "deg"),
    ("stage_tilt", "Stage/Tilt", "deg"),
)
_WORDS = (
    ("instrument", "Image/Machine"),
    ("software", "Application/Version"),
    ("detector", "Image/Detector"),
    ("mode", "Image/Beam"),
    ("operator", "Application/User"),
)


def describe(frame: Frame) -> Description | None:
    """What the XML says; a tag of this number with another root is nobody's."""
    if TAG not in frame.tags or "<Fibics" not in frame.text(TAG):
        return None
    root, xml = xml_values(frame.tags[TAG], f"{frame.name}: tag {TAG}")
    if root != "Fibics":
        return None
    spacing, source, withheld = _spacing(xml, frame)
    columns, rows = whole(xml.get("Image/Width", "")), whole(xml.get("Image/Height", ""))
    return Description(
        dialect="Fibics",
        facts=_facts(xml),
        header={"xml": xml},
        spacing_um=spacing,
        spacing_source=source,
        specimen_area=area_above_bar(frame, rows, columns),
        modality=_modality(xml),
        withheld=withheld,
    )


def _facts(xml: Mapping[str, str]) -> dict[str, dict[str, object]]:
    facts = Facts()
    for name, path, unit in _QUANTITIES:
        value = xml.get(path, "")
        facts.quantity(name, value, path, xml.get(f"{path}@units", unit))
        facts.quantity(name, value, path)  # some items have the unit in the text, "=500.0 V"
    for name, path in _WORDS:
        facts.words(name, xml.get(path), path)
    facts.moment(xml.get("Application/Date", ""), "Application/Date")
    facts.derived("manufacturer", "Fibics")
    return facts.found


def _spacing(xml: Mapping[str, str], frame: Frame) -> tuple[dict[str, float | None], str | None, str | None]:
    """Lengths of the vectors, else the field over its samples; and why they are withheld."""
    columns, rows = whole(xml.get("Image/Width", "")), whole(xml.get("Image/Height", ""))
    if columns is not None and columns != frame.width:
        reason = f"the header describes {columns} columns and {frame.width} are stored: the frame was cut or resampled"
        return isotropic(None), None, reason
    steps = {axis: _length(xml, letter) for axis, letter in (("y", "V"), ("x", "U"))}
    if any(steps.values()):
        return steps, "Scan Ux, Uy, Vx, Vy", None
    fields = {"y": _field(xml, "FOV_Y", rows), "x": _field(xml, "FOV_X", columns)}
    return fields, "Scan FOV over Image size" if any(fields.values()) else None, None


def _length(xml: Mapping[str, str], letter: str) -> float | None:
    """Length of a step; both components must be there."""
    parts = [number(xml.get(f"Scan/{letter}{axis}", "")) for axis in "xy"]
    units = [xml.get(f"Scan/{letter}{axis}@units", "um") for axis in "xy"]
    if None in parts or units[0] != units[1]:
        return None
    return sample_distance(repr(math.hypot(*(part or 0.0 for part in parts))), units[0])


def _field(xml: Mapping[str, str], key: str, count: int | None) -> float | None:
    length = sample_distance(xml.get(f"Scan/{key}", ""), xml.get(f"Scan/{key}@units", "um"))
    return None if length is None or count is None else believable(length / count)


def _modality(xml: Mapping[str, str]) -> str:
    beam = xml.get("Image/Beam", "").lower()
    if "BeamInfo/GFISGas" in xml or "gfis" in beam:
        return "other"
    if any(word in beam for word in ("fib", "ion", "ga")):
        return "fib_sem"
    return "sem" if any(word in beam for word in ("sem", "electron")) else ""
