"""MRC and CCP4 maps (MRC2014 and older headers).

The header is 1024 bytes with the sizes, the type of the samples and the cell in angstrom; a spacing is the length of
the cell divided by its intervals, and zero stands for "not known".  What follows the header is described by it alone,
so that all sizes are checked against the file before a sample is read.

Sections are planes along z of one volume, or images that follow each other.  By MRC2014 a space group of 0 means images
and 401 several volumes; headers before 2014 often have 0 for a volume too, there ``MZ`` decides: as many intervals as
sections make a volume, unless the extended header describes each section by itself, as tilt series do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from apps.imaging.readers.base import Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.mrc_fei import FeiBlocks
from apps.imaging.readers.quantities import Facts, length_um, number, put_text
from apps.imaging.readers.stored import PlainBytes, StoredArray
from apps.imaging.readers.tiff_header import json_value, text

HEADER_BYTES = HEADER_DTYPE.itemsize
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_UNREAD = {3: "complex 16-bit", 4: "complex 32-bit", 16: "RGB", 101: "4-bit"}
_MAP = 208
_STAMPS = {b"\x44\x44": "<", b"\x44\x41": "<", b"\x11\x11": ">"}
_IMOD_STAMP = 1146047817  # at byte 152, the flags of IMOD follow
_IMOD_SIGNED = 1
_PER_SECTION = (b"FEI1", b"FEI2", b"SERI", b"AGAR")
_LARGEST_SIDE = 1 << 31
_DEGREES = 0.05


@dataclass(frozen=True)
class Header:
    """The fixed header with its byte order."""

    values: Any
    order: str
    stated_order: bool

    @classmethod
    def of(cls, head: bytes) -> Header | None:
        """The header of an MRC file, None if the bytes are none."""
        if len(head) < HEADER_BYTES:
            return None
        named = head[_MAP : _MAP + 3] == b"MAP"
        stamp = _STAMPS.get(head[_MAP + 4 : _MAP + 6])
        orders = stamp if stamp and named else "<>"
        for order in orders:
            values = np.frombuffer(head, HEADER_DTYPE.newbyteorder(order), 1)[0]
            if cls.plausible(values):
                return cls(values, order, stamp is not None and named)
        return cls(np.frombuffer(head, HEADER_DTYPE.newbyteorder(orders[0]), 1)[0], orders[0], True) if named else None

    @staticmethod
    def plausible(values: Any) -> bool:
        """True for a known type of samples and sizes that are no accident."""
        sizes = [int(values[name]) for name in ("nx", "ny", "nz")]
        return int(values["mode"]) in _TYPES | _UNREAD and all(0 < n < 1 << 24 for n in sizes)

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the samples.

        Mode 0 is signed by MRC2014; IMOD marks its own files, and those without its flag are unsigned.
        """
        code = _TYPES[int(self.values["mode"])]
        extra = bytes(self.values["extra2"])
        stamp, flags = np.frombuffer(extra[40:48], f"{self.order}i4")
        if code == "i1" and stamp == _IMOD_STAMP and not flags & _IMOD_SIGNED:
            code = "u1"
        return np.dtype(code).newbyteorder("<" if self.order == "<" else ">")

    @property
    def sections(self) -> tuple[int, int, int]:
        """Sections, rows and columns: slowest first."""
        return int(self.values["nz"]), int(self.values["ny"]), int(self.values["nx"])

    @property
    def kind(self) -> bytes:
        """Name of the extended header."""
        return bytes(self.values["exttyp"])


class MrcReader:
    """Reader of MRC images, stacks and volumes."""

    format = "MRC"

    def claims(self, path: Path, head: bytes) -> int:
        """``MAP`` at its place is a sure sign; a header without it must account for the file to the byte."""
        return 60 if path.is_file() and looks_like_mrc(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The one image of the file.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, or of a sample type that cannot be stored.
        """
        with path.open("rb") as stream:
            head = stream.read(HEADER_BYTES)
        header = Header.of(head)
        if header is None:
            raise TruncatedFileError(f"{name} has {len(head)} bytes of header; MRC needs {HEADER_BYTES}")
        return [_Image(path, name, header, limits).image()]


def looks_like_mrc(path: Path, head: bytes) -> bool:
    """True for the word MAP in a header, or for a header without it whose sizes account for the whole file."""
    header = Header.of(head[:HEADER_BYTES])
    if header is not None and head[_MAP : _MAP + 4] in (b"MAP ", b"MAP\0"):
        return head[_MAP + 4 : _MAP + 6] in _STAMPS or Header.plausible(header.values)
    if header is None or int(header.values["mode"]) not in _TYPES or int(header.values["nsymbt"]) < 0:
        return False
    needed = HEADER_BYTES + int(header.values["nsymbt"]) + math.prod(header.sections) * header.stored.itemsize
    return needed == path.stat().st_size


class _Image:
    """One file as an image."""

    def __init__(self, path: Path, name: str, header: Header, limits: Limits) -> None:
        self.path, self.name, self.header, self.size = path, name, header, path.stat().st_size
        mode = int(header.values["mode"])
        if mode in _UNREAD:
            raise UnsupportedFormatError(f"{name} has {_UNREAD[mode]} samples (mode {mode}); {_modes()} are read")
        if mode not in _TYPES:
            raise MetadataError(f"{name} has mode {mode}, which MRC does not know; {_modes()} are read", mode=mode)
        if not all(0 < n < _LARGEST_SIDE for n in header.sections):
            raise MetadataError(f"{name} has {header.sections} sections, rows and columns; each must be at least 1")
        limits.check_samples(header.sections, header.stored.itemsize, self.size, name)
        self.extended = int(header.values["nsymbt"])
        if not 0 <= self.extended <= self.size - HEADER_BYTES:
            raise TruncatedFileError(
                f"{name} has {self.size} bytes; its extended header is said to have {self.extended}"
            )
        self.fei = FeiBlocks.of(self._extended(limits), header.kind, header.order, header.sections[0])

    def _extended(self, limits: Limits) -> bytes:
        if self.header.kind not in (b"FEI1", b"FEI2"):
            return b""
        with self.path.open("rb") as stream:
            stream.seek(HEADER_BYTES)
            return stream.read(min(self.extended, limits.max_header_bytes))

    def image(self) -> ReadImage:
        volumes = self._volumes()
        array = self._array(volumes)
        spacing, source = self._spacing(array)
        facts = self._facts() | self.fei.facts()
        if self.header.sections[0] > 1:
            planes = self.header.sections[0] // volumes
            facts["sections_are"] = fact("planes along z" if planes > 1 else "images", source="derived")
        return ReadImage(
            name=Path(self.name).stem,
            axes=array.axes,
            array=array,
            spacing_um=spacing,
            spacing_source=source if any(spacing.values()) else None,
            facts=facts,
            header=self._header(),
            modality=self.fei.modality,
        )

    # -------------------------------------------------------------------------------------------------------- layout
    def _volumes(self) -> int:
        """How many images follow each other along t: sections, volumes, or 1."""
        sections, depth, group = self.header.sections[0], int(self.header.values["mz"]), int(self.header.values["ispg"])
        if sections == 1:
            return 1
        if 401 <= group <= 630:
            if depth < 1 or sections % depth:
                raise MetadataError(f"{self.name} has {sections} sections in volumes of {depth}; they must divide")
            return sections // depth
        if group == 0 and (int(self.header.values["nversion"]) >= 20140 or self.header.kind in _PER_SECTION):
            return sections
        return 1 if depth == sections or group != 0 else sections

    def _array(self, volumes: int) -> StoredArray:
        header = self.header
        start = HEADER_BYTES + self.extended
        source = PlainBytes(self.path, self.name, start)
        sections, rows, columns = header.sections
        shape = (volumes, sections // volumes, rows, columns)
        # Which stored axis is z, y and x: columns, rows and sections may run along any of them in a volume.
        place = {axis: 3 - position for position, axis in enumerate(self._axes())}
        order: list[tuple[int, ...]] = [(place[3],), (place[2],), (place[1],)]
        names: tuple[str, ...] = ("z", "y", "x")
        if volumes > 1:
            order, names = [(0,), *order], ("t", *names)
        return StoredArray(source, header.stored, shape, order, names, self.name)

    def _axes(self) -> tuple[int, int, int]:
        """Which of x (1), y (2) and z (3) columns, rows and sections run along; zeros of old files mean the usual."""
        found = tuple(int(self.header.values[key]) for key in ("mapc", "mapr", "maps"))
        if found == (0, 0, 0):
            return 1, 2, 3
        if sorted(found) != [1, 2, 3]:
            raise MetadataError(f"{self.name} has axes {found} for columns, rows and sections; they must be 1, 2 and 3")
        return found[0], found[1], found[2]

    # ------------------------------------------------------------------------------------------------------- lengths
    def _spacing(self, array: StoredArray) -> tuple[dict[str, float | None], str | None]:
        values = self.header.values
        found: dict[str, float | None] = dict.fromkeys(("z", "y", "x"))
        if self._square():
            for axis in found:
                length, intervals = _shortest(values["cella"][axis]), int(values[f"m{axis}"])
                if length is not None and intervals > 0 and array.shape[array.axes.index(axis)] > 1:
                    found[axis] = length_um(length / intervals, "angstrom")
        if any(found.values()):
            return found, "MRC cell and intervals"
        return found | self.fei.spacing_um(), "FEI pixel size"

    def _square(self) -> bool:
        """True if the cell has right angles; zeros of old files mean so."""
        angles = [float(self.header.values["cellb"][axis]) for axis in ("alpha", "beta", "gamma")]
        return all(angle == 0 or abs(angle - 90) < _DEGREES for angle in angles)

    # --------------------------------------------------------------------------------------------------------- facts
    def _facts(self) -> Facts:
        facts: Facts = {}
        values = self.header.values
        if not self._square():
            angles = [number(values["cellb"][axis]) for axis in ("alpha", "beta", "gamma")]
            facts["cell_angles"] = fact(angles, "deg", tag="CELLB")
        labels = [text(line) for line in self._labels()]
        if labels:
            facts["labels"] = fact(labels, tag="LABEL")
        if not self.header.stated_order:
            facts["byte_order"] = fact("little" if self.header.order == "<" else "big", source="derived")
        put_text(facts, "extended_header", self.header.kind.decode("latin-1"), tag="EXTTYP")
        return facts

    def _labels(self) -> list[str]:
        lines = [bytes(line).decode("latin-1").replace("\0", " ").strip() for line in self.header.values["label"]]
        return [line for line in lines if line]

    def _header(self) -> dict[str, Any]:
        values = self.header.values
        left_out = ("label", "extra2", "exttyp", "map")
        plain = {name: json_value(values[name].tolist()) for name in values.dtype.names if name not in left_out}
        plain |= {"label": self._labels(), "exttyp": text(self.header.kind.decode("latin-1"))}
        return {"format": "MRC", "header": plain, "extended": self.fei.header()}


def _shortest(value: Any) -> float | None:
    """A 32-bit float as the decimal number it was written from: 908.661, not 908.6610107421875."""
    return number(str(np.float32(value)))


def _modes() -> str:
    return ", ".join(f"{mode} ({np.dtype(code).name})" for mode, code in _TYPES.items())
