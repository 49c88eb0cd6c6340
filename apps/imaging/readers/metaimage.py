"""MetaImage: ``.mha`` with the samples after the header, ``.mhd`` with the samples in files beside it.

``ElementSpacing`` is in millimetres by convention (``DistanceUnits``, where given, says otherwise), so that it is a
calibration.  Axes are x, y, z and t, fastest first; channels of a sample lie together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analyses.sdk.values import Channel
from apps.imaging.readers.base import Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.itk_common import (
    HEADER_BYTES,
    Packed,
    check_sizes,
    direction_facts,
    is_mirrored,
    numbered,
    numbers,
    samples_in,
    side_files,
)
from apps.imaging.readers.quantities import Facts, length_um, put_text
from apps.imaging.readers.stored import StoredArray, inflate, parse_numbers
from apps.imaging.readers.tiff_header import text

_TYPES = {
    "MET_CHAR": "i1", "MET_ASCII_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_WIDE = {"MET_LONG": "i8", "MET_ULONG": "u8"}  # as some 64-bit builds wrote them
_STARTS = ("ObjectType", "NDims", "Comment", "ObjectSubType", "Name", "ID", "DimSize", "BinaryData")
_NEEDED = ("NDims", "DimSize", "ElementType", "ElementDataFile")
_COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
_MAX_CHANNELS = 10_000


class MetaImageReader:
    """Reader of MetaImage files."""

    format = "MetaImage"

    def claims(self, path: Path, head: bytes) -> int:
        """Lines ``key = value`` from the first on, one of them ``NDims``."""
        return 60 if path.is_file() and looks_like_metaimage(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The one image of the header.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, of a sample type that cannot be stored, or with samples
            in a file that was not sent.
        """
        return [_Image(path, name, limits, beside).image()]


def looks_like_metaimage(path: Path, head: bytes) -> bool:
    """True for the first lines of a MetaImage header."""
    lines = [line.partition(b"=") for line in head[:2048].split(b"\n")[:20]]
    keys = [key.strip().decode("latin-1") for key, sign, _ in lines if sign]
    return bool(lines[0][1]) and keys[0] in _STARTS and ("NDims" in keys or "ObjectType" in keys)


def _parse(path: Path, name: str) -> tuple[dict[str, str], list[str], int]:
    """Key-values of the header, the lines after a list of files, and where the samples begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    at = 0
    while "ElementDataFile" not in fields:
        end = head.find(b"\n", at)
        if end < 0:
            raise TruncatedFileError(f"{name} ends inside its header: ElementDataFile is not there", size=len(head))
        key, sign, value = head[at:end].decode("latin-1").partition("=")
        at = end + 1
        if sign:
            fields[text(key.strip())] = text(value.strip())
        elif key.strip():
            raise MetadataError(f"{name} has the header line {key.strip()[:100]!r}; lines are 'key = value'")
    listed = head[at:].decode("latin-1").splitlines() if fields["ElementDataFile"].upper().startswith("LIST") else []
    missing = [key for key in _NEEDED if key not in fields]
    if missing:
        raise MetadataError(f"{name} has no {', '.join(missing)} in its header")
    return fields, [line.strip() for line in listed if line.strip()], at


class _Image:
    """One header with its samples."""

    def __init__(self, path: Path, name: str, limits: Limits, beside: Mapping[str, Path]) -> None:
        self.path, self.name, self.limits, self.beside = path, name, limits, beside
        self.fields, self.listed, self.start = _parse(path, name)
        if self.fields.get("ObjectType", "Image").lower() != "image":
            raise UnsupportedFormatError(f"{name} holds a MetaIO {self.fields['ObjectType'][:50]}; images are read")
        self.sizes = numbers(self.fields["DimSize"], name, "DimSize", int)
        check_sizes(self.sizes, name)
        if self._number("NDims", 0) != len(self.sizes):
            raise MetadataError(f"{name} has NDims {self.fields['NDims'][:20]} and {len(self.sizes)} sizes in DimSize")
        if len(self.sizes) > 4:
            raise UnsupportedFormatError(f"{name} has {len(self.sizes)} axes; x, y, z and t are read")
        self.channels = self._number("ElementNumberOfChannels", 1)
        if not 0 < self.channels <= _MAX_CHANNELS:
            raise MetadataError(f"{name} has {self.channels} channels a sample; 1 to {_MAX_CHANNELS} are read")
        self.files: tuple[str, ...] = ()

    def image(self) -> ReadImage:
        array = self._array()
        spacing = self._spacing()
        rows = self._directions()
        colours = _COLOURS.get(self.channels, tuple(f"component {n}" for n in range(self.channels)))
        return ReadImage(
            name=self.fields.get("Name") or Path(self.name).stem,
            axes=array.axes,
            array=array,
            spacing_um=spacing,
            spacing_source=f"MetaImage {self._spacing_key()}" if any(spacing.values()) else None,
            channels=tuple(Channel(colour) for colour in colours) if self.channels > 1 else (),
            facts=self._facts(rows),
            header={"format": "MetaImage", "fields": self.fields},
            handedness="left" if is_mirrored(rows) else "unknown",
            side_cars=self.files,
        )

    # ------------------------------------------------------------------------------------------------------- samples
    def _array(self) -> StoredArray:
        shape = (*self.sizes[::-1], self.channels)
        files, packed = self._files()
        stored = self._stored(files, packed, math.prod(shape))
        if not self._flag("BinaryData", default=True):
            packed = Packed(parse_numbers(stored), packed.start)
        source = samples_in(files, packed, shape, stored.itemsize, self.name, self.limits)
        last = len(self.sizes)
        place = {axis: (last - 1 - number,) for number, axis in enumerate("xyzt"[:last])}
        axes = [axis for axis in ("t", "c") if (axis == "t" and last == 4) or (axis == "c" and self.channels > 1)]
        order = [(last,) if axis == "c" else place.get(axis, ()) for axis in [*axes, "z", "y", "x"]]
        return StoredArray(source, stored, shape, order, [*axes, "z", "y", "x"], self.name)

    def _files(self) -> tuple[list[tuple[str, Path]], Packed]:
        """Where the samples are: after the header, or in files beside it."""
        unpack = inflate if self._flag("CompressedData", default=False) else None
        skip = self._number("HeaderSize", 0)
        if skip < -1:
            raise MetadataError(f"{self.name} has HeaderSize {skip}; it is at least 0, or -1 for samples at the end")
        stated = self.fields["ElementDataFile"]
        if stated.upper() == "LOCAL":
            return [(self.name, self.path)], Packed(unpack, -1 if skip < 0 else self.start)
        if stated.upper().startswith("LIST"):
            names = self.listed
        elif "%" in stated:
            pattern, *counts = stated.split()
            names = numbered(pattern, numbers(" ".join(counts), self.name, "ElementDataFile", int), self.name)
        else:
            names = [stated]
        files = side_files(self.beside, names, self.name)
        self.files = tuple(called for called, _ in files)
        return files, Packed(unpack, skip)

    def _stored(self, files: list[tuple[str, Path]], packed: Packed, samples: int) -> np.dtype[Any]:
        code = self.fields["ElementType"].upper().removesuffix("_ARRAY")
        if code not in _TYPES:
            raise UnsupportedFormatError(f"{self.name} has samples of type {code[:40]}; {', '.join(_TYPES)} are read")
        found = np.dtype(_TYPES[code])
        if code in _WIDE and packed.unpack is None and packed.start >= 0:
            there = sum(path.stat().st_size for _, path in files) - packed.start * len(files)
            found = np.dtype(_WIDE[code]) if there == samples * 8 else found
        big = self._flag("BinaryDataByteOrderMSB", default=self._flag("ElementByteOrderMSB", default=False))
        return found.newbyteorder(">" if big else "<")

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self.fields.get(key, "").lower()
        return default if not value else value[0] in "t1y"

    def _number(self, key: str, default: int) -> int:
        found = numbers(self.fields.get(key, str(default)), self.name, key, int)
        if len(found) != 1:
            raise MetadataError(f"{self.name} has {key} {self.fields[key][:50]!r}; one whole number is needed")
        return int(found[0])

    # --------------------------------------------------------------------------------------------------------- facts
    def _spacing_key(self) -> str:
        return "ElementSpacing" if "ElementSpacing" in self.fields else "ElementSize"

    def _spacing(self) -> dict[str, float | None]:
        stated = self.fields.get(self._spacing_key(), "")
        lengths = numbers(stated, self.name, self._spacing_key()) if stated else []
        unit = self.fields.get("DistanceUnits", "").strip()
        found: dict[str, float | None] = dict.fromkeys(("z", "y", "x"))
        for axis, length in zip("xyz"[: len(self.sizes)], lengths, strict=False):
            found[axis] = length_um(length, "mm" if unit in ("", "?") else unit)
        return found

    def _directions(self) -> list[list[float]]:
        """Directions of x, y and z, one row each; none where they are not stated."""
        key = next((k for k in ("TransformMatrix", "Rotation", "Orientation") if k in self.fields), None)
        if key is None:
            return []
        found = numbers(self.fields[key], self.name, key)
        count = len(self.sizes)
        if len(found) != count * count:
            raise MetadataError(f"{self.name} has {len(found)} numbers for {key}; {count} axes need {count * count}")
        return [found[row * count : row * count + count][:3] for row in range(min(count, 3))]

    def _facts(self, rows: list[list[float]]) -> Facts:
        key = next((k for k in ("Offset", "Position", "Origin") if k in self.fields), None)
        origin = numbers(self.fields[key], self.name, key)[:3] if key else None
        unit = self.fields.get("DistanceUnits", "mm")
        facts = direction_facts(rows, origin, None if unit == "?" else unit)
        anatomy = self.fields.get("AnatomicalOrientation", "").strip("? ")
        put_text(facts, "anatomical_orientation", anatomy, tag="AnatomicalOrientation")
        put_text(facts, "comment", self.fields.get("Comment"), tag="Comment")
        if self.fields.get("AcquisitionDate"):
            facts["acquired_at_as_written"] = fact(self.fields["AcquisitionDate"], tag="AcquisitionDate")
        return facts
