"""JEOL SEM and EPMA images (TIFF, BMP) with the text file beside them: lines ``$KEY value``, some with ``$$``.

The only length is the micron bar: ``SM_MICRON_MARKER`` is its length, ``SM_MICRON_BAR`` its whole number n of samples
**in the frame of ``CM_FULL_SIZE``**, although the image may be stored smaller or larger.  Whether that number was
rounded or cut off is not said: the bar is taken as uniform within one sample to either side, so that a distance has the
relative standard uncertainty 1 / (sqrt(3) n) (JCGM 100:2008, 4.3.7).  Rows below the specimen, at the scale of the
stored image, are the data bar.  Stage positions are in mm and degrees, in the order x, y, z, rotation, tilt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from apps.imaging.readers.sem_quantities import Facts, lines, number, sample_distance, whole
from apps.imaging.readers.tiff_header import text as clean_text
from apps.imaging.readers.vendor import Description, Frame, area_above_bar, isotropic

_LINE = re.compile(r"\${1,2}([A-Z][A-Z0-9_]{1,40}(?:%[0-9]{1,4})?)(?:\s+(.*))?$")
_COLUMNS = 1280  # of the frame that the bar counts in where the file does not say
_OURS = ("SEM_DATA_VERSION", "CM_FORMAT", "CM_INSTRUMENT", "CM_MAG", "SM_MICRON_BAR")
_QUANTITIES = (
    ("accelerating_voltage", "CM_ACCEL_VOLT", "kV"),
    ("beam_current", "SM_PROBE_CURRENT", "A"),
    ("working_distance", "SM_WD", "mm"),
    ("magnification", "CM_MAG", ""),
    ("scan_rotation", "SM_SCAN_ROTATION", "deg"),
    ("scan_rotation", "CM_SCAN_ROTATION", "deg"),
)
_STAGE = (("stage_x", "mm"), ("stage_y", "mm"), ("stage_z", "mm"), ("stage_rotation", "deg"), ("stage_tilt", "deg"))
_WORDS = (
    ("instrument", "CM_INSTRUMENT"),
    ("operator", "CM_OPERATOR"),
    ("detector", "CM_DETECTOR_NAME"),
    ("detector", "CM_DETECTOR"),
    ("detector", "CM_SIGNAL_NAME"),
    ("detector", "CM_SIGNAL"),
    ("mode", "CM_SIGNAL_NAME"),
    ("mode", "CM_SIGNAL"),
    ("comment", "CM_COMMENT"),
    ("title", "CM_TITLE"),
)


def parse(content: str) -> dict[str, str]:
    """Values by key without its dollar signs; of equal keys the first stays."""
    found: dict[str, str] = {}
    for line in lines(content):
        match = _LINE.match(line)
        if match:
            found.setdefault(match[1], clean_text((match[2] or "").strip()))
    return found


def describe(frame: Frame) -> Description | None:
    """What the text file beside the image says, if there is one of this vendor."""
    beside = frame.side_car(".txt")
    values = parse(beside[1]) if beside else {}
    if beside is None or sum(key in values for key in _OURS) < 2:
        return None
    full = [whole(part) for part in values.get("CM_FULL_SIZE", "").split()[:2]]
    columns, rows = (full[0], full[1]) if len(full) == 2 else (None, None)
    shown = round(rows * frame.width / columns) if rows and columns else None
    length, relative, withheld = _spacing(values, columns, shown, frame)
    return Description(
        dialect="JEOL SEM",
        facts=_facts(values),
        header={"side_car": beside[0], "values": values},
        spacing_um=isotropic(length),
        spacing_source="SM_MICRON_MARKER over SM_MICRON_BAR" if length is not None else None,
        spacing_u_um={} if length is None else {"y": length * relative, "x": length * relative},
        specimen_area=area_above_bar(frame, shown),
        modality="sem",
        side_cars=(beside[0],),
        withheld=withheld,
    )


def _spacing(
    values: Mapping[str, str], columns: int | None, shown: int | None, frame: Frame
) -> tuple[float | None, float, str | None]:
    """Distance of samples, its relative standard uncertainty, and why it is withheld."""
    marker, bar = sample_distance(values.get("SM_MICRON_MARKER", "")), number(values.get("SM_MICRON_BAR", ""))
    if marker is None or bar is None or not 2 <= bar <= 1e6:
        return None, 0.0, None
    if columns is None and frame.width != _COLUMNS:
        reason = f"CM_FULL_SIZE is missing, and {frame.width} columns are stored: the frame of the bar is unknown"
        return None, 0.0, reason
    if shown is not None and shown > frame.height:
        reason = f"CM_FULL_SIZE gives {shown} rows at {frame.width} columns, {frame.height} are stored: it was cut"
        return None, 0.0, reason
    length = sample_distance(repr(marker / bar * (columns or _COLUMNS) / frame.width), "um")
    return length, 1 / (math.sqrt(3) * bar), None


def _facts(values: Mapping[str, str]) -> dict[str, dict[str, object]]:
    facts = Facts()
    for name, key, unit in _QUANTITIES:
        facts.quantity(name, values.get(key, ""), key, unit)
    for (name, unit), part in zip(_STAGE, values.get("CM_STAGE_POS", "").split(), strict=False):
        facts.quantity(name, part, "CM_STAGE_POS", unit)
    for name, key in _WORDS:
        facts.words(name, values.get(key), key)
    facts.moment(f"{values.get('CM_DATE', '')} {values.get('CM_TIME', '')}", "CM_DATE, CM_TIME", "month first")
    facts.derived("manufacturer", "JEOL")
    return facts.found
