"""NRRD: ``.nrrd`` with the samples after the header, ``.nhdr`` with the samples in files beside it.

``spacings`` and ``space directions`` are bare ratios; they are lengths only where ``units`` or ``space units`` name a
unit of length, and then the image is calibrated.  Axes of the file run fastest first.  An axis of the kind "time"
becomes t, an axis of values (a vector, a colour) becomes channels, all others are x, y and z in this order.
"""

from __future__ import annotations

import math
import re
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
    numbered,
    numbers,
    samples_in,
    side_files,
)
from apps.imaging.readers.nrrd_space import Space
from apps.imaging.readers.quantities import put_text
from apps.imaging.readers.stored import StoredArray, inflate, parse_hex, parse_numbers, unbzip
from apps.imaging.readers.tiff_header import text

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}
_SAME = {
    "centers": "centerings", "centres": "centerings", "lineskip": "line skip", "byteskip": "byte skip",
    "datafile": "data file", "axismins": "axis mins", "axismaxs": "axis maxs", "oldmin": "old min",
    "sampleunits": "sample units", "spacedirections": "space directions", "spaceunits": "space units",
    "spaceorigin": "space origin", "spacedimension": "space dimension", "measurementframe": "measurement frame",
}  # fmt: skip
_SPATIAL = ("domain", "space", "???", "none", "")
_PARTS = {
    "complex": ("real", "imaginary"),
    "rgb-color": ("red", "green", "blue"),
    "rgba-color": ("red", "green", "blue", "alpha"),
    "hsv-color": ("hue", "saturation", "value"),
    "xyz-color": ("X", "Y", "Z"),
}


class NrrdReader:
    """Reader of NRRD files."""

    format = "NRRD"

    def claims(self, path: Path, head: bytes) -> int:
        """The magic word of any version of the format."""
        return 60 if path.is_file() and re.match(rb"NRRD\d{4}\r?\n", head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The one image of the header.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, of a sample type or encoding that is not read, or with
            samples in a file that was not sent.
        """
        return [_Image(path, name, limits, beside).image()]


def _parse(path: Path, name: str) -> tuple[dict[str, str], dict[str, str], list[str], int]:
    """Fields, key-values, the lines after a list of files, and where attached samples begin."""
    with path.open("rb") as stream:
        head = stream.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    at = head.find(b"\n") + 1
    while at < len(head):
        end = head.find(b"\n", at)
        line = head[at : end if end >= 0 else len(head)].decode("latin-1").rstrip("\r")
        at = end + 1 if end >= 0 else len(head)
        if not line:
            return fields, values, [], at
        if line.startswith("#"):
            continue
        key, sign, value = line.partition(":=")
        if sign:
            values[text(key)] = text(value)
            continue
        key, sign, value = line.partition(":")
        if not sign:
            raise MetadataError(f"{name} has the header line {line[:100]!r}; lines are 'field: value'")
        field = " ".join(key.lower().split())
        fields[text(_SAME.get(field, field))] = text(value.strip())
        if fields.get("data file", "").upper().startswith("LIST"):
            return (
                fields,
                values,
                [part.strip() for part in head[at:].decode("latin-1").splitlines() if part.strip()],
                at,
            )
    if "data file" in fields:
        return fields, values, [], at
    raise TruncatedFileError(f"{name} ends inside its header: no empty line ends it", size=len(head))


class _Image:
    """One header with its samples."""

    def __init__(self, path: Path, name: str, limits: Limits, beside: Mapping[str, Path]) -> None:
        self.path, self.name, self.limits, self.beside = path, name, limits, beside
        self.fields, self.values, self.listed, self.start = _parse(path, name)
        missing = [key for key in ("type", "dimension", "sizes", "encoding") if key not in self.fields]
        if missing:
            raise MetadataError(f"{name} has no {', '.join(missing)} in its header")
        self.sizes = numbers(self.fields["sizes"], name, "sizes", int)
        check_sizes(self.sizes, name)
        if self._number("dimension") != len(self.sizes):
            raise MetadataError(f"{name} has dimension {self.fields['dimension'][:20]} and {len(self.sizes)} sizes")
        self.space = Space.of(self.fields, len(self.sizes), name)
        self.assumed: str | None = None
        self.roles = self._roles()
        self.files: tuple[str, ...] = ()

    def image(self) -> ReadImage:
        array = self._array()
        spatial = [number for number, role in enumerate(self.roles) if role in "xyz"]
        spacing, source = self.space.spacing_um([self.roles[n] for n in spatial], spatial)
        facts = self.space.facts(spatial)
        put_text(facts, "content", self.fields.get("content"), tag="content")
        if self.assumed:
            facts["slowest_axis"] = fact(self.assumed, source="derived")
        return ReadImage(
            name=self.fields.get("content", "").strip()[:100] or Path(self.name).stem,
            axes=array.axes,
            array=array,
            spacing_um=spacing,
            spacing_source=source if any(spacing.values()) else None,
            channels=self._channels(array),
            facts=facts,
            header={"format": "NRRD", "fields": self.fields, "values": self.values},
            handedness="left" if self.space.is_mirrored(spatial) else "unknown",
            side_cars=self.files,
        )

    # ---------------------------------------------------------------------------------------------------------- axes
    def _kinds(self) -> list[str]:
        kinds = self.fields.get("kinds", "").lower().split()
        if kinds and len(kinds) != len(self.sizes):
            raise MetadataError(f"{self.name} has {len(kinds)} kinds for {len(self.sizes)} axes")
        return kinds or ["???"] * len(self.sizes)

    def _roles(self) -> list[str]:
        """What each axis of the file is: x, y, z, t or c."""
        roles: list[str] = []
        kinds = self._kinds()
        for number, kind in enumerate(kinds):
            placed = self.space.is_placed(number)
            if kind == "time":
                roles.append("t")
            elif placed or (placed is None and kind in _SPATIAL):
                roles.append("s")
            else:
                roles.append("c")
        if roles.count("s") == 4 and "t" not in roles:
            roles[max(n for n, role in enumerate(roles) if role == "s")] = "t"
            self.assumed = "t"
        if roles.count("s") > 3 or roles.count("t") > 1 or "s" not in roles:
            raise UnsupportedFormatError(
                f"{self.name} has axes of sizes {self.sizes} and kinds {kinds}; "
                "up to three of space, one of time and any of values are read"
            )
        names = iter("xyz")
        return [next(names) if role == "s" else role for role in roles]

    def _channels(self, array: StoredArray) -> tuple[Channel, ...]:
        if "c" not in array.axes:
            return ()
        count = array.shape[array.axes.index("c")]
        kinds = [kind for kind, role in zip(self._kinds(), self.roles, strict=True) if role == "c"]
        labels = _PARTS.get(kinds[0].replace("colour", "color"), ()) if len(kinds) == 1 else ()
        labels = labels if len(labels) == count else tuple(f"component {n}" for n in range(count))
        return tuple(Channel(label) for label in labels)

    # ------------------------------------------------------------------------------------------------------- samples
    def _array(self) -> StoredArray:
        shape = self.sizes[::-1]
        stored = self._stored()
        files, packed = self._files(stored)
        source = samples_in(files, packed, shape, stored.itemsize, self.name, self.limits)
        groups: dict[str, tuple[int, ...]] = {}
        for number, role in reversed(list(enumerate(self.roles))):
            groups[role] = (*groups.get(role, ()), len(shape) - 1 - number)
        several = math.prod(self.sizes[n] for n, role in enumerate(self.roles) if role == "c") > 1
        axes = [a for a in ("t", "c") if a in groups and (a == "t" or several)] + ["z", "y", "x"]
        return StoredArray(source, stored, shape, [groups.get(axis, ()) for axis in axes], axes, self.name)

    def _stored(self) -> np.dtype[Any]:
        kind = " ".join(self.fields["type"].lower().split())
        if kind not in _CODES:
            raise UnsupportedFormatError(f"{self.name} has samples of type {kind[:50]!r}; integers and floats are read")
        found = np.dtype(_CODES[kind])
        endian = self.fields.get("endian", "").lower()
        if found.itemsize > 1 and endian not in ("little", "big") and self._encoding() not in ("ascii", "text", "txt"):
            raise MetadataError(f"{self.name} has endian {endian[:20]!r}; little or big is needed for {kind}")
        return found.newbyteorder(">" if endian == "big" else "<")

    def _encoding(self) -> str:
        return self.fields["encoding"].lower()

    def _files(self, stored: np.dtype[Any]) -> tuple[list[tuple[str, Path]], Packed]:
        unpackers = {
            "raw": None, "gzip": inflate, "gz": inflate, "bzip2": unbzip, "bz2": unbzip, "hex": parse_hex,
            "ascii": parse_numbers(stored), "text": parse_numbers(stored), "txt": parse_numbers(stored),
        }  # fmt: skip
        if self._encoding() not in unpackers:
            raise UnsupportedFormatError(
                f"{self.name} has encoding {self._encoding()[:40]!r}; {', '.join(unpackers)} are read"
            )
        unpack = unpackers[self._encoding()]
        lines, skip = self._number("line skip", 0), self._number("byte skip", 0)
        if lines < 0 or skip < -1 or (skip < 0 and unpack is not None):
            raise MetadataError(f"{self.name} has line skip {lines} and byte skip {skip}; they are at least 0")
        files = self._detached()
        start = 0 if files else self.start
        packed = Packed(unpack, -1 if skip < 0 else start, max(0, skip), 0 if skip < 0 else lines)
        self.files = tuple(called for called, _ in files)
        return files or [(self.name, self.path)], packed

    def _detached(self) -> list[tuple[str, Path]]:
        """Files beside the header; none if the samples follow it."""
        stated = self.fields.get("data file")
        if stated is None:
            return []
        if stated.upper().startswith("LIST"):
            names = self.listed
        elif "%" in stated:
            pattern, *counts = stated.split()
            names = numbered(pattern, numbers(" ".join(counts[:3]), self.name, "data file", int), self.name)
        else:
            names = [stated]
        return side_files(self.beside, names, self.name)

    def _number(self, key: str, default: int | None = None) -> int:
        if key not in self.fields and default is not None:
            return default
        found = numbers(self.fields[key], self.name, key, int)
        if len(found) != 1:
            raise MetadataError(f"{self.name} has {key} {self.fields[key][:50]!r}; one whole number is needed")
        return int(found[0])
