"""TIFF files with a vendor's header: pages of one field become the channels of one image.

Each page is described by its own tags; a page without any belongs to the field before it.  Pages are of one field if
they have the same size, type and distance of samples and the stage stood still between them, to one part in a hundred
of the field.  Detectors are channels; pages that all name the same detector are planes along z, as in any TIFF.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from analyses.sdk.values import Channel
from apps.imaging.readers import dialects
from apps.imaging.readers.base import Limits, ReadImage, fact, stored_dtype
from apps.imaging.readers.errors import TooLargeError, UnsupportedFormatError
from apps.imaging.readers.tiff_array import PagedArray, TiffSource
from apps.imaging.readers.tiff_header import facts_of, tags_of
from apps.imaging.readers.vendor import Description, Frame

COLOURS = {1: ("",), 2: ("grey", "alpha"), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
_RECENT = 8  # fields that a page may belong to: sessions go from field to field
_STILL = 0.01  # of the width of the field
_STILL_DEG = 0.05
_POSITIONS = ("stage_x", "stage_y", "image_shift_x", "image_shift_y")
_ANGLES = ("stage_rotation", "stage_tilt", "scan_rotation")


@dataclass
class _Field:
    """Pages of one field."""

    layout: tuple[Any, ...]
    first: Description
    page: Any
    numbers: list[int] = field(default_factory=list)
    descriptions: list[Description | None] = field(default_factory=list)


def vendor_images(source: TiffSource, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage] | None:
    """The images of a TIFF whose first page a vendor describes, None for every other TIFF.

    Must be called before tifffile has sorted the pages into series, since pages then lose their tags.
    """
    tiff = source.tiff
    if tiff.is_ome or tiff.is_imagej or _is_one_for_all(tiff.pages[0]):
        return None
    first = _describe(source, tiff.pages[0], name, beside)
    if first is None:
        return None
    fields = _fields(source, first, name, limits)
    images = [_image(source, found, _name(name, number, len(fields)), limits) for number, found in enumerate(fields)]
    total = sum(math.prod(image.shape) * image.dtype.itemsize for image in images)
    limits.check_ratio(total, source.size, name)
    return images


def _is_one_for_all(page: Any) -> bool:
    """True if one directory stands for several planes: then the pages are not the planes."""
    return bool(page.is_shaped) and '"truncate": true' in str(page.description)


def _describe(source: TiffSource, page: Any, name: str, beside: Mapping[str, Path]) -> Description | None:
    tags = {}
    for code in dialects.TAGS:
        tag = page.tags.get(code)
        if tag is not None:
            tags[code] = source.read(tag.valueoffset, tag.valuebytecount)
    return dialects.describe(Frame(name, int(page.imagewidth), int(page.imagelength), tags, beside))


def _fields(source: TiffSource, first: Description, name: str, limits: Limits) -> list[_Field]:
    fields: list[_Field] = []
    pages: Any = source.tiff.pages
    for number in range(len(pages)):
        page = pages[number]
        if number and (page.is_reduced or page.is_mask):
            continue
        # Files beside this one describe it as a whole: they are read once, and name no detector of a page.
        own = first if not number else _describe(source, page, name, {})
        layout = (page.imagewidth, page.imagelength, page.samplesperpixel, str(page.dtype), page.planarconfig)
        found = next((f for f in reversed(fields[-_RECENT:]) if f.layout == layout and _same_field(f.first, own)), None)
        if found is None:
            # A page of another size without a header of its own is not described by that of the first.
            found = _Field(layout, own or Description(first.dialect, {}, {}), page)
            fields.append(found)
        found.numbers.append(number)
        found.descriptions.append(own)
        if len(fields) > limits.max_images:
            raise TooLargeError(f"{name} has more than {limits.max_images} fields", limit=limits.max_images)
    return fields


def _same_field(one: Description, other: Description | None) -> bool:
    if other is None:
        return True
    steps = [(one.spacing_um.get(axis), other.spacing_um.get(axis)) for axis in "yx"]
    if any((a is None) != (b is None) for a, b in steps):
        return False
    if any(a is not None and b is not None and not math.isclose(a, b, rel_tol=1e-6) for a, b in steps):
        return False
    width = one.facts.get("field_width", {}).get("value")
    still = _STILL * float(width) if isinstance(width, int | float) else 0.0
    return all(_near(one, other, name, still) for name in _POSITIONS) and all(
        _near(one, other, name, _STILL_DEG) for name in _ANGLES
    )


def _near(one: Description, other: Description, name: str, tolerance: float) -> bool:
    a, b = (found.facts.get(name, {}).get("value") for found in (one, other))
    if a is None or b is None:
        return a is b
    return abs(float(a) - float(b)) <= tolerance


def _name(name: str, number: int, count: int) -> str:
    stem = PurePath(name).stem
    return stem if count == 1 else f"{stem} {number}"


def _image(source: TiffSource, found: _Field, name: str, limits: Limits) -> ReadImage:
    page, first = found.page, found.first
    if page.imagedepth != 1:
        raise UnsupportedFormatError(f"{source.name} has pages with a depth of their own; pages must be planes")
    labels, numbers = _arranged(found)
    samples = int(page.samplesperpixel)
    channels, depth = numbers.shape[1:]
    shape = (channels * samples, depth, int(page.imagelength), int(page.imagewidth))
    limits.check_samples(shape, stored_dtype(page.dtype, source.name).itemsize, source.size, source.name)
    axes = (["c"] if shape[0] > 1 else []) + list("zyx")
    facts = facts_of(page) | _facts(found)
    if depth > 1:
        facts["page_axis"] = fact("z", source="derived")
    return ReadImage(
        name=name,
        axes=tuple(axes),
        array=PagedArray(source, numbers, samples, axes),
        spacing_um={"z": None, "y": first.spacing_um.get("y"), "x": first.spacing_um.get("x")},
        spacing_source=first.spacing_source,
        channels=channels_of(labels, samples),
        facts=facts,
        header=_header(found),
        specimen_area=first.specimen_area,
        spacing_u_um=dict(first.spacing_u_um),
        modality=first.modality,
        side_cars=first.side_cars,
    )


def _arranged(found: _Field) -> tuple[list[str], Any]:
    """Detector of each channel, and the pages by (t, c, z)."""
    detectors = [description.detector if description else "" for description in found.descriptions]
    numbers = np.array(found.numbers, np.int64)
    different = list(dict.fromkeys(detectors))
    planes = len(numbers) // len(different)
    if len(numbers) == 1 or "" in different or any(detectors.count(d) != planes for d in different):
        return detectors, numbers.reshape(1, -1, 1)
    by_detector = [[n for n, d in zip(found.numbers, detectors, strict=True) if d == name] for name in different]
    return different, np.array(by_detector, np.int64).reshape(1, len(different), planes)


def channels_of(detectors: Sequence[str], samples: int) -> tuple[Channel, ...]:
    """A channel for each sample of each detector; labels differ."""
    colours = COLOURS.get(samples, tuple(f"sample {number}" for number in range(samples)))
    if len(detectors) == 1 and samples == 1 and not detectors[0]:
        return ()
    channels: list[Channel] = []
    seen: dict[str, int] = {}
    for number, detector in enumerate(detectors):
        label = detector or (f"channel {number}" if len(detectors) > 1 else "")
        seen[label] = seen.get(label, 0) + 1
        label = f"{label} {seen[label]}" if seen[label] > 1 else label
        channels += [Channel(f"{label} {colour}".strip(), detector=detector or None) for colour in colours]
    return tuple(channels)


def description_facts(description: Description) -> dict[str, dict[str, Any]]:
    """Facts of a description, and why a length was withheld."""
    facts = {name: dict(entry) for name, entry in description.facts.items()}
    if description.withheld:
        facts["spacing_withheld"] = fact(description.withheld, source="derived")
    return facts


def _facts(found: _Field) -> dict[str, dict[str, Any]]:
    """What holds for all pages: values that differ stand in the header; the moment is that of the first page."""
    facts = description_facts(found.first)
    for other in found.descriptions[1:]:
        if other is None:
            continue
        for name in [n for n in facts if n in other.facts and n != "acquired_at" and other.facts[n] != facts[n]]:
            if name not in _POSITIONS:
                del facts[name]
    detectors = list(dict.fromkeys(d.detector for d in found.descriptions if d and d.detector))
    if len(detectors) > 1:
        facts["detector"] = fact(", ".join(detectors), tag=found.first.facts["detector"].get("tag"))
    return facts


def _header(found: _Field) -> dict[str, Any]:
    header: dict[str, Any] = {
        "format": "TIFF",
        "series": "vendor",
        "dialect": found.first.dialect,
        "tags": tags_of(found.page),
        "vendor": dict(found.first.header),
    }
    more = zip(found.numbers[1:], found.descriptions[1:], strict=True)
    pages = [{"page": number, "vendor": dict(said.header)} for number, said in more if said is not None]
    return header | ({"pages": pages} if pages else {})
