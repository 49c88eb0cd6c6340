"""The segments of a CZI: looked at, and found to fit the file, before the native library opens it.

A CZI is a chain of segments, each with a header of 32 bytes.  The file header says where the directory of sub-blocks
and the metadata are; the directory says of each sub-block (a tile of one plane, or a reduced copy of it) where it is
and which part of which dimension it holds.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apps.imaging.readers.base import Limits
from apps.imaging.readers.czi_jpegxr import check_jpegxr
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError

MAGIC = b"ZISRAWFILE"
_SEGMENT = struct.Struct("<16sqq")
_FILE = struct.Struct("<4i16s16siqqiq")
_DIRECTORY_HEADER = 128
_ENTRY = struct.Struct("<2siqiiB5si")
_DIMENSION = struct.Struct("<4siifi")
_SUBBLOCK = struct.Struct("<iiq")
_SUBBLOCK_HEADER = 256
_METADATA_HEADER = 256
_MAX_DIMENSIONS = 40
_MAX_SUBBLOCKS = 1_000_000
_MAX_EXTENT = 1 << 31

# Samples of a pixel and their type, for those the library hands out.
PIXEL_TYPES = {
    0: ("Gray8", "u1", 1),
    1: ("Gray16", "u2", 1),
    2: ("Gray32Float", "f4", 1),
    3: ("Bgr24", "u1", 3),
    4: ("Bgr48", "u2", 3),
    8: ("Bgr96Float", "f4", 3),
}
COMPRESSIONS = {0: "none", 1: "JPEG", 2: "LZW", 4: "JPEG XR", 5: "zstd", 6: "zstd, high and low bytes apart"}
_DECODED = (0, 1, 4, 5, 6)
_JPEG_XR = 4
_PLANE_DIMENSIONS = "CZT"
_OTHER_DIMENSIONS = "RIHVB"


@dataclass(frozen=True, slots=True)
class Subblock:
    """One tile at full resolution: its rectangle, its place in the other dimensions, and its segment."""

    position: int
    pixel_type: int
    compression: int
    x: int
    y: int
    width: int
    height: int
    place: tuple[tuple[str, int], ...]
    metadata: tuple[int, int]  # offset and length of its XML

    def at(self, dimension: str) -> int | None:
        """Index along a dimension, None if the tile has none there."""
        return next((start for name, start in self.place if name == dimension), None)


@dataclass(frozen=True)
class CziScan:
    """What the segments say: tiles of full resolution, metadata, and how many reduced copies there are."""

    subblocks: tuple[Subblock, ...]
    xml: str
    copies: int
    compressions: Mapping[str, int]
    version: tuple[int, int]


class _File:
    """Reads with bounds."""

    def __init__(self, handle: int, size: int, name: str) -> None:
        self.handle, self.size, self.name = handle, size, name

    def read(self, offset: int, count: int) -> bytes:
        if offset < 0 or count < 0 or offset + count > self.size:
            raise TruncatedFileError(
                f"{self.name} has {self.size} bytes; {count} at {offset} are needed", size=self.size, offset=offset
            )
        return os.pread(self.handle, count, offset)

    def segment(self, offset: int, kind: bytes) -> int:
        """Bytes that a segment of the given kind uses; MetadataError if another kind is there."""
        found, allocated, used = _SEGMENT.unpack(self.read(offset, _SEGMENT.size))
        if found.rstrip(b"\0") != kind:
            raise MetadataError(f"{self.name} has no {kind.decode()} segment at {offset}", offset=offset)
        length = used or allocated
        if not 0 < length <= self.size - offset - _SEGMENT.size:
            raise TruncatedFileError(
                f"{self.name} has {self.size} bytes; the segment at {offset} is said to use {length}", offset=offset
            )
        return int(length)


def scan_czi(path: Path, name: str, limits: Limits) -> CziScan:
    """Look at all segments that reading will touch.

    Raises
    ------
    ReaderError
        Segments that do not fit the file or contradict each other, several files, or samples that are not read.
    """
    with path.open("rb") as stream:
        file = _File(stream.fileno(), path.stat().st_size, name)
        file.segment(0, MAGIC)
        fields = _FILE.unpack(file.read(_SEGMENT.size, _FILE.size))
        major, minor, part = fields[0], fields[1], fields[6]
        if part:
            raise UnsupportedFormatError(f"{name} is part {part} of several files; send a CZI that is whole")
        subblocks, copies = _directory(file, fields[7], limits)
        xml = _metadata(file, fields[8], limits)
    kinds = Counter(COMPRESSIONS.get(block.compression, str(block.compression)) for block in subblocks)
    return CziScan(subblocks, xml, copies, dict(kinds), (major, minor))


def _metadata(file: _File, position: int, limits: Limits) -> str:
    """The XML, empty if the file has none."""
    if not position:
        return ""
    used = file.segment(position, b"ZISRAWMETADATA")
    length, _ = struct.unpack("<ii", file.read(position + _SEGMENT.size, 8))
    if not 0 <= length <= used - _METADATA_HEADER:
        raise TruncatedFileError(f"{file.name} has metadata of {length} bytes in a segment of {used}", needed=length)
    if length > limits.max_header_bytes:
        raise TooLargeError(f"{file.name} has {length} bytes of metadata; at most {limits.max_header_bytes} are read")
    return file.read(position + _SEGMENT.size + _METADATA_HEADER, length).decode("utf-8", "replace").rstrip("\0")


def _directory(file: _File, position: int, limits: Limits) -> tuple[tuple[Subblock, ...], int]:
    used = file.segment(position, b"ZISRAWDIRECTORY")
    if used > limits.max_header_bytes * 4:
        raise TooLargeError(
            f"{file.name} has a directory of {used} bytes; at most {limits.max_header_bytes * 4} are read"
        )
    data = file.read(position + _SEGMENT.size, used)
    count = struct.unpack_from("<i", data)[0] if len(data) >= _DIRECTORY_HEADER else -1
    if not 0 < count <= min(_MAX_SUBBLOCKS, (used - _DIRECTORY_HEADER) // _ENTRY.size):
        raise MetadataError(f"{file.name} has {count} sub-blocks in a directory of {used} bytes", count=count)
    at = _DIRECTORY_HEADER
    found: list[Subblock] = []
    for _ in range(count):
        block, at = _entry(file, data, at)
        if block is not None:
            found.append(block)
    if not found:
        raise MetadataError(f"{file.name} has {count} sub-blocks, none of full resolution")
    return tuple(found), count - len(found)


def _entry(file: _File, data: bytes, at: int) -> tuple[Subblock | None, int]:
    """One entry of the directory, None for a reduced copy, and where the next one begins."""
    if at + _ENTRY.size > len(data):
        raise TruncatedFileError(f"{file.name} ends inside its directory of sub-blocks")
    schema, pixel_type, position, part, compression, _, _, dimensions = _ENTRY.unpack_from(data, at)
    end = at + _ENTRY.size + dimensions * _DIMENSION.size
    if schema != b"DV" or not 2 <= dimensions <= _MAX_DIMENSIONS or end > len(data):
        raise MetadataError(f"{file.name} has a directory entry of kind {schema!r} with {dimensions} dimensions")
    extent: dict[str, tuple[int, int, int]] = {}
    for number in range(dimensions):
        letter, start, size, _, stored = _DIMENSION.unpack_from(data, at + _ENTRY.size + number * _DIMENSION.size)
        extent[letter.rstrip(b"\0").decode("latin-1")] = (start, size, stored)
    if part:
        raise UnsupportedFormatError(f"{file.name} has sub-blocks in other files; send a CZI that is whole")
    segment = _segment(file, data[at:end], position)
    if any(extent.get(axis, (0, 0, 0))[1] != extent.get(axis, (0, 0, 0))[2] for axis in "XY"):
        return None, end
    return _subblock(file, extent, position, pixel_type, compression, segment), end


def _segment(file: _File, entry: bytes, position: int) -> tuple[int, int, int]:
    """Offset and length of the XML of a sub-block, and the bytes of its samples, checked against its segment."""
    used = file.segment(position, b"ZISRAWSUBBLOCK")
    xml, attached, samples = _SUBBLOCK.unpack(file.read(position + _SEGMENT.size, _SUBBLOCK.size))
    begin = max(_SUBBLOCK_HEADER, _SUBBLOCK.size + len(entry))
    if min(xml, attached, samples) < 0 or begin + xml + attached + samples > used:
        raise TruncatedFileError(
            f"{file.name}: the sub-block at {position} needs {xml}, {attached} and {samples} bytes of {used}",
            offset=position,
        )
    own = file.read(position + _SEGMENT.size + _SUBBLOCK.size, len(entry))
    if own[:2] != entry[:2] or own[2:6] != entry[2:6] or own[18:22] != entry[18:22] or own[28:] != entry[28:]:
        raise MetadataError(f"{file.name}: the sub-block at {position} contradicts the directory", offset=position)
    return position + _SEGMENT.size + begin, xml, samples


def _subblock(
    file: _File,
    extent: Mapping[str, tuple[int, int, int]],
    position: int,
    pixel_type: int,
    compression: int,
    segment: tuple[int, int, int],
) -> Subblock:
    x, width, _ = extent.get("X", (0, 0, 0))
    y, height, _ = extent.get("Y", (0, 0, 0))
    if not 0 < width < _MAX_EXTENT or not 0 < height < _MAX_EXTENT:
        raise MetadataError(f"{file.name} has a tile of {width} x {height}; each side must be at least 1")
    if pixel_type not in PIXEL_TYPES:
        known = ", ".join(kind[0] for kind in PIXEL_TYPES.values())
        raise UnsupportedFormatError(f"{file.name} has pixels of type {pixel_type}; {known} are read")
    if compression not in _DECODED:
        raise UnsupportedFormatError(
            f"{file.name} has sub-blocks packed by {COMPRESSIONS.get(compression, f'method {compression}')}; "
            f"{', '.join(COMPRESSIONS[code] for code in _DECODED)} are read"
        )
    _, code, samples = PIXEL_TYPES[pixel_type]
    need = width * height * samples * int(code[1])
    if compression == 0 and segment[2] < need:
        raise TruncatedFileError(
            f"{file.name}: a tile of {width} x {height} needs {need} bytes, {segment[2]} are there"
        )
    if compression == _JPEG_XR:
        begin = segment[0] + segment[1]
        check_jpegxr(lambda at, n: file.read(begin + at, n), segment[2], width, height, samples, code, file.name)
    several = [letter for letter in _PLANE_DIMENSIONS + _OTHER_DIMENSIONS if extent.get(letter, (0, 1, 1))[1] != 1]
    if several:
        raise UnsupportedFormatError(f"{file.name} has sub-blocks of several planes along {', '.join(several)}")
    place = tuple(
        (letter, extent[letter][0]) for letter in "S" + _PLANE_DIMENSIONS + _OTHER_DIMENSIONS if letter in extent
    )
    if any(start < 0 for _, start in place):
        raise MetadataError(f"{file.name} has a tile at {dict(place)}; places are counted from 0")
    return Subblock(position, pixel_type, compression, x, y, width, height, place, segment[:2])
