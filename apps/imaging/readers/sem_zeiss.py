"""ZEISS SEM TIFF (SmartSEM, LEO): tag 34118.

The tag begins with nameless numbers in SI units, a line each; the fourth is the distance of samples **of a frame of
1024 columns**.  Pairs of lines follow, a key and ``label = value unit``; ``AP_PIXEL_SIZE`` repeats the fourth number,
rounded and for 1024 columns too.  Newer versions add ``AP_IMAGE_PIXEL_SIZE``, which holds for the stored frame, and
``DP_IMAGE_STORE``, its size.  ``AP_WIDTH`` is the width of the field.  Where they contradict each other, two that agree
win; a frame that is not as wide as ``DP_IMAGE_STORE`` says was cut or resampled, and has no scale.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from apps.imaging.readers.sem_quantities import Facts, believable, lines, sample_distance, whole
from apps.imaging.readers.tiff_header import text as clean_text
from apps.imaging.readers.vendor import Description, Frame, area_above_bar, isotropic

TAG = 34118
_ORION_TAG = 65000
_COLUMNS = 1024  # of the frame that the nameless numbers and AP_PIXEL_SIZE hold for
_SCALE_LINE = 3
_MAX_NUMBERS = 200
_TOLERANCE = 0.005  # lengths are written with four figures, or three
_KEY = re.compile(r"[A-Z]{2}_[A-Z0-9_]{1,60}$")
_LABEL = re.compile(r"([^=:]{0,100}?)\s*[=:]\s*(.*)$")
_STORE = re.compile(r"([0-9]{1,6})\s*[*xX]\s*([0-9]{1,6})")

Entries = Mapping[str, tuple[str, str]]

_QUANTITIES = (
    ("accelerating_voltage", "AP_ACTUALKV"),
    ("beam_current", "AP_IPROBE"),
    ("working_distance", "AP_WD"),
    ("magnification", "AP_MAG"),
    ("dwell_time", "DP_DWELL_TIME"),
    ("field_width", "AP_WIDTH"),
    ("field_height", "AP_HEIGHT"),
    ("stage_x", "AP_STAGE_AT_X"),
    ("stage_y", "AP_STAGE_AT_Y"),
    ("stage_z", "AP_STAGE_AT_Z"),
    ("stage_rotation", "AP_STAGE_AT_R"),
    ("stage_tilt", "AP_STAGE_AT_T"),
    ("image_shift_x", "AP_BEAMSHIFT_X"),
    ("image_shift_y", "AP_BEAMSHIFT_Y"),
    ("pressure", "AP_CHAMBER_PRESSURE"),
    ("pressure", "AP_SYSTEM_VAC"),
)
_WORDS = (
    ("instrument", "SV_SERIAL_NUMBER"),
    ("instrument", "DP_SEM"),
    ("instrument_model", "DP_SEM"),
    ("software", "SV_VERSION"),
    ("operator", "SV_OPERATOR"),
    ("operator", "SV_USER_NAME"),
    ("sample", "SV_SAMPLE_ID"),
    ("detector", "DP_DETECTOR_CHANNEL"),
    ("detector", "DP_DETECTOR_TYPE"),
    ("mode", "DP_OPERATING_MODE"),
)


def parse(content: str) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """The nameless numbers, and label and value of each key; of equal keys the first stays."""
    numbers: list[str] = []
    entries: dict[str, tuple[str, str]] = {}
    key = None
    for line in lines(content):
        if key is not None:
            found = _LABEL.match(line)
            if found:
                entries.setdefault(key, (clean_text(found[1].strip()), clean_text(found[2].strip())))
            key = None
            if found:
                continue
        if _KEY.match(line):
            key = line
        elif not entries and len(numbers) < _MAX_NUMBERS:
            numbers.append(clean_text(line[:100]))
    return numbers, entries


def describe(frame: Frame) -> Description | None:
    """What tag 34118 says; the helium-ion microscopes write it too, with little in it and their own tag beside it."""
    if TAG not in frame.tags or _ORION_TAG in frame.tags:
        return None
    numbers, entries = parse(frame.text(TAG))
    length, source, withheld = _spacing(numbers, entries, frame.width)
    store = _store(entries)
    return Description(
        dialect="ZEISS SEM",
        facts=_facts(entries),
        header={
            "numbers": numbers,
            "entries": {key: {"label": label, "value": value} for key, (label, value) in entries.items()},
        },
        spacing_um=isotropic(length),
        spacing_source=source,
        specimen_area=area_above_bar(frame, store[1], store[0]) if store else None,
        modality="sem",
        withheld=withheld,
    )


def _spacing(numbers: list[str], entries: Entries, width: int) -> tuple[float | None, str | None, str | None]:
    """Distance of samples in um, the field it was taken from, and why it is withheld."""
    store = _store(entries)
    if store is not None and store[0] != width:
        reason = f"DP_IMAGE_STORE says {store[0]} columns and {width} are stored: the frame was cut or resampled"
        return None, None, reason
    screen, screen_source = _of_1024(numbers, entries, width)
    stored, stored_source = _of_the_frame(entries)
    if screen is None or stored is None or _agree(screen, stored):
        found = (screen, screen_source) if screen is not None else (stored, stored_source)
        return *(found if found[0] is not None else (None, None)), None
    field_width = sample_distance(entries.get("AP_WIDTH", ("", ""))[1])
    if field_width is not None and _agree(stored, field_width / width):
        return stored, stored_source, None
    if field_width is not None and _agree(screen, field_width / width):
        return screen, screen_source, None
    reason = f"{screen_source} gives {screen:.5g} um and {stored_source} {stored:.5g} um; nothing says which holds"
    return None, None, reason


def _of_1024(numbers: list[str], entries: Entries, width: int) -> tuple[float | None, str]:
    """From what holds for 1024 columns: the nameless number, or where there is none the rounded text."""
    label, value = entries.get("AP_PIXEL_SIZE", ("", ""))
    nameless = sample_distance(numbers[_SCALE_LINE], "m") if len(numbers) > _SCALE_LINE else None
    if nameless is not None:
        return believable(nameless * _COLUMNS / width), "tag 34118 line 4, for 1024 columns"
    rounded = sample_distance(value) if not label.lower().startswith("image") else None
    return (None if rounded is None else believable(rounded * _COLUMNS / width)), "AP_PIXEL_SIZE, for 1024 columns"


def _of_the_frame(entries: Entries) -> tuple[float | None, str]:
    """From what holds for the stored frame; some versions write its label under the older key."""
    for key in ("AP_IMAGE_PIXEL_SIZE", "AP_PIXEL_SIZE"):
        label, value = entries.get(key, ("", ""))
        if key == "AP_IMAGE_PIXEL_SIZE" or label.lower().startswith("image"):
            found = sample_distance(value)
            if found is not None:
                return found, key
    return None, "AP_IMAGE_PIXEL_SIZE"


def _agree(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE)


def _store(entries: Entries) -> tuple[int, int] | None:
    """Columns and rows of the stored frame."""
    found = _STORE.match(entries.get("DP_IMAGE_STORE", ("", ""))[1])
    columns, rows = (whole(found[1]), whole(found[2])) if found else (None, None)
    return (columns, rows) if columns and rows else None


def _facts(entries: Entries) -> dict[str, dict[str, object]]:
    facts = Facts()
    for name, key in _QUANTITIES:
        facts.quantity(name, entries.get(key, ("", ""))[1], key)
    for name, key in _WORDS:
        facts.words(name, entries.get(key, ("", ""))[1], key)
    _scan_rotation(facts, entries)
    facts.switch("tilt_correction", entries.get("DP_TILT_CORRECTION", ("", ""))[1], "DP_TILT_CORRECTION")
    date, time = entries.get("AP_DATE", ("", ""))[1], entries.get("AP_TIME", ("", ""))[1]
    facts.moment(f"{date} {time}", "AP_DATE, AP_TIME", "day first")
    facts.derived("manufacturer", "ZEISS")
    return facts.found


def _scan_rotation(facts: Facts, entries: Entries) -> None:
    """The angle counts only while rotation is on: switched off, it keeps the last one that was set."""
    switch = entries.get("DP_SCAN_ROT", ("", ""))[1]
    if switch.lower() == "off":
        facts.quantity("scan_rotation", "0", "DP_SCAN_ROT", "deg")
        facts.found["scan_rotation"]["raw"] = switch
    else:
        facts.quantity("scan_rotation", entries.get("AP_SCANROTATION", ("", ""))[1], "AP_SCANROTATION")
