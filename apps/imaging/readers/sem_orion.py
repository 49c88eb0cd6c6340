"""ZEISS Orion and NanoFab (helium and neon ions) TIFF: tag 65000, XML with the root ``ImageTags``.

Each element has a ``Value`` and its ``Units`` in words.  ``ScalingX`` and ``ScalingY`` are the distances of samples in
a frame of ``ImageWidth x ImageHeight``; rows below it are the data bar.  The date is in the regional form of the
computer: one that could be read both ways is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.imaging.readers.sem_quantities import Facts, sample_distance, whole
from apps.imaging.readers.vendor import Description, Frame, area_above_bar, isotropic, xml_values

TAG = 65000
_QUANTITIES = (
    ("accelerating_voltage", "AccelerationVoltage"),
    ("accelerating_voltage", "GFIS.AccelerationVoltage"),
    ("beam_current", "GFIS.BeamCurrent"),
    ("beam_current", "BlankerCurrent"),
    ("working_distance", "WorkingDistance"),
    ("working_distance", "GFIS.WorkingDistance"),
    ("magnification", "Magnification4x5"),
    ("dwell_time", "DwellTime"),
    ("scan_rotation", "ScanRotate"),
    ("scan_rotation", "GFIS.ScanRotation"),
    ("field_width", "Fov"),
    ("field_width", "GFIS.FieldOfView"),
    ("stage_x", "StageX"),
    ("stage_y", "StageY"),
    ("stage_x", "Stage.XLocation"),
    ("stage_y", "Stage.YLocation"),
    ("stage_z", "StageZ"),
    ("stage_rotation", "StageRotate"),
    ("stage_tilt", "StageTilt"),
    ("image_shift_x", "PanX"),
    ("image_shift_y", "PanY"),
    ("image_shift_x", "GFIS.PanX"),
    ("image_shift_y", "GFIS.PanY"),
    ("pressure", "ChamberPressure"),
)
_WORDS = (
    ("instrument", "System.Model"),
    ("instrument", "System.Name"),
    ("detector", "DetectorName"),
    ("mode", "ColumnMode"),
    ("ion_gas", "GFIS.IonGas"),
)


def describe(frame: Frame) -> Description | None:
    """What the XML says; a tag of this number with another root is nobody's."""
    if TAG not in frame.tags or "<ImageTags" not in frame.text(TAG):
        return None
    root, xml = xml_values(frame.tags[TAG], f"{frame.name}: tag {TAG}")
    if root != "ImageTags":
        return None
    columns, rows = (whole(_value(xml, name)) for name in ("ImageWidth", "ImageHeight"))
    spacing = {axis: sample_distance(_quantity(xml, f"Scaling{axis.upper()}")) for axis in "yx"}
    withheld = None
    if columns is not None and columns != frame.width:
        withheld = f"ImageWidth says {columns} columns and {frame.width} are stored: the frame was cut or resampled"
        spacing = isotropic(None)
    return Description(
        dialect="ZEISS Orion",
        facts=_facts(xml),
        header={"xml": xml},
        spacing_um=spacing,
        spacing_source="tag 65000 ScalingX, ScalingY" if any(spacing.values()) else None,
        specimen_area=area_above_bar(frame, rows, columns),
        modality="other",  # ions, and no electron microscope
        withheld=withheld,
    )


def _value(xml: Mapping[str, str], name: str) -> str:
    return xml.get(f"{name}/Value", "")


def _quantity(xml: Mapping[str, str], name: str) -> str:
    unit = xml.get(f"{name}/Units", "")
    return f"{_value(xml, name)} {'' if unit.lower() == 'unitless' else unit}".strip()


def _facts(xml: Mapping[str, str]) -> dict[str, dict[str, object]]:
    facts = Facts()
    for name, tag in _QUANTITIES:
        facts.quantity(name, _quantity(xml, tag), tag)
    for name, tag in _WORDS:
        facts.words(name, _value(xml, tag).strip("_"), tag)
    facts.moment(_value(xml, "TimeStamp"), "TimeStamp")
    facts.derived("manufacturer", "ZEISS")
    return facts.found
