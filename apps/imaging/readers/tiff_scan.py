"""Look over the directories of a TIFF before anything in it is trusted.

Follows the chain of image file directories (TIFF 6.0, section 2; BigTIFF) and their SubIFDs with bounded work: loops,
directories or strips beyond the end of the file, headers and images beyond the limits are refused here, so that the
decoder is only ever given figures that the file can hold.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from apps.imaging.readers.base import Limits
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _SAMPLES, _PLANAR, _SUBIFDS = 256, 257, 258, 259, 277, 284, 330
_STRIP_OFFSETS, _ROWS, _STRIP_COUNTS = 273, 278, 279
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_DEPTH, _TILE_DEPTH = 32997, 32998
_TABLES = {_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS}
_NEEDED = _TABLES | {
    _WIDTH,
    _LENGTH,
    _BITS,
    _COMPRESSION,
    _SAMPLES,
    _PLANAR,
    _SUBIFDS,
    _ROWS,
    _TILE_WIDTH,
    _TILE_LENGTH,
}
_NEEDED |= {_DEPTH, _TILE_DEPTH}


@dataclass(frozen=True)
class Layout:
    """Sizes that differ between classic TIFF and BigTIFF."""

    order: str
    big: bool

    @property
    def count(self) -> struct.Struct:
        """Number of entries at the head of a directory."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, count, value or offset."""
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    @property
    def offset(self) -> struct.Struct:
        """Offset in the file."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))


@dataclass(frozen=True)
class Directory:
    """The figures of one image file directory."""

    offset: int
    tags: dict[int, tuple[int, ...]]
    subifds: tuple[int, ...]


class _Scanner:
    def __init__(self, stream: BinaryIO, size: int, name: str, limits: Limits) -> None:
        self.stream, self.size, self.name, self.limits = stream, size, name, limits
        self.header_bytes = self.table_bytes = self.decoded = 0
        self.seen: set[int] = set()
        self.layout, self.first = self._header()

    def _read(self, offset: int, count: int, what: str) -> bytes:
        if offset + count > self.size:
            raise TruncatedFileError(
                f"{self.name} has {self.size} bytes; {what} at {offset} needs {count} more",
                offset=offset,
                size=self.size,
            )
        self.stream.seek(offset)
        return self.stream.read(count)

    def _header(self) -> tuple[Layout, int]:
        head = self._read(0, 8, "the TIFF header")
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        version = struct.unpack(f"{order}H", head[2:4])[0] if order else 0
        if order is None or version not in (42, 43):
            raise MetadataError(f"{self.name} starts with {head[:4]!r}, which is no TIFF header")
        layout = Layout(order, version == 43)
        if layout.big:
            return layout, layout.offset.unpack(self._read(8, 8, "the BigTIFF header"))[0]
        return layout, layout.offset.unpack(head[4:8])[0]

    def walk(self) -> Iterator[Directory]:
        """All directories of the chain, each followed by its SubIFDs; those stand for reduced copies."""
        offset = self.first
        while offset:
            directory, following = self._directory(offset)
            yield directory
            for nested in directory.subifds:
                while nested:
                    child, nested = self._directory(nested)
                    self._check(child)
            offset = following

    def _directory(self, offset: int) -> tuple[Directory, int]:
        if offset in self.seen:
            raise MetadataError(f"{self.name}: the image directory at {offset} is linked twice: a loop", offset=offset)
        self.seen.add(offset)
        if len(self.seen) > self.limits.max_pages:
            raise TooLargeError(f"{self.name} has more than {self.limits.max_pages} pages", limit=self.limits.max_pages)
        layout = self.layout
        entries = layout.count.unpack(self._read(offset, layout.count.size, "an image directory"))[0]
        start = offset + layout.count.size
        length = entries * layout.entry.size
        self._count_header(length)
        block = self._read(start, length + layout.offset.size, f"an image directory of {entries} entries")
        tags = dict(self._tags(block, entries))
        subifds = tags.pop(_SUBIFDS, ())
        return Directory(offset, tags, subifds), layout.offset.unpack_from(block, length)[0]

    def _count_header(self, count: int) -> None:
        self.header_bytes += count
        if self.header_bytes > self.limits.max_header_bytes:
            raise TooLargeError(
                f"{self.name} has more than {self.limits.max_header_bytes} bytes of header",
                limit=self.limits.max_header_bytes,
            )

    def _count_table(self, count: int) -> None:
        """Strip tables are as long as the data need; together they cannot exceed the file unless they share bytes."""
        self.table_bytes += count
        if self.table_bytes > self.size:
            raise MetadataError(f"{self.name}: the tables of strips or tiles are larger than the file")

    def _tags(self, block: bytes, entries: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        inline = self.layout.offset.size
        for number in range(entries):
            tag, kind, count, value = self.layout.entry.unpack_from(block, number * self.layout.entry.size)
            size = _TYPE_BYTES.get(kind, 1) * count
            if size > inline:
                at = self.layout.offset.unpack(value)[0]
                if at + size > self.size:
                    raise TruncatedFileError(
                        f"{self.name}: tag {tag} points to {size} bytes at {at}, the file has {self.size}",
                        tag=tag,
                        size=self.size,
                    )
                (self._count_table if tag in _TABLES else self._count_header)(size)
            if count and tag in _NEEDED and kind in _INTEGERS:
                data = value[:size] if size <= inline else self._read(at, size, f"tag {tag}")
                yield tag, struct.unpack(f"{self.layout.order}{count}{_INTEGERS[kind]}", data)

    def _check(self, directory: Directory) -> None:
        """Refuse a page that cannot be what its figures say."""
        where = f"{self.name}: the page at {directory.offset}"
        width, length = (_one(directory.tags, tag, 0) for tag in (_WIDTH, _LENGTH))
        if not width or not length:
            raise MetadataError(f"{where} has width {width} and length {length}; both must be at least 1")
        samples, bits = _one(directory.tags, _SAMPLES, 1), max(directory.tags.get(_BITS, (1,)))
        if not samples:
            raise MetadataError(f"{where} has 0 samples a pixel; at least 1 is needed")
        itemsize = max(1, -(-bits // 8))
        shape = (_one(directory.tags, _DEPTH, 1), length, width, samples)
        self.limits.check_samples(shape, itemsize, self.size, where)
        self.decoded += math.prod(shape) * itemsize
        self.limits.check_ratio(self.decoded, self.size, self.name)
        self._check_segments(directory.tags, shape, itemsize, where)

    def _check_segments(
        self, tags: dict[int, tuple[int, ...]], shape: Sequence[int], itemsize: int, where: str
    ) -> None:
        tiled = _TILE_OFFSETS in tags or _TILE_WIDTH in tags
        offsets = tags.get(_TILE_OFFSETS if _TILE_OFFSETS in tags else _STRIP_OFFSETS, ())
        counts = tags.get(_TILE_COUNTS if _TILE_COUNTS in tags else _STRIP_COUNTS, ())
        needed, samples = self._segments(tags, shape, tiled, where)
        plain = _one(tags, _COMPRESSION, 1) == 1
        if not plain and samples * itemsize > self.limits.max_segment_bytes:
            raise TooLargeError(
                f"{where} has compressed pieces of {samples * itemsize} bytes; "
                f"at most {self.limits.max_segment_bytes} are decoded",
                limit=self.limits.max_segment_bytes,
            )
        if len(offsets) < needed or (len(counts) < needed and not (plain and needed == 1)):
            raise TruncatedFileError(
                f"{where} needs {needed} strips or tiles, its tables name {len(offsets)} and {len(counts)}"
            )
        for offset, count in zip(offsets[:needed], counts, strict=False):
            if offset == 0 or count == 0:
                raise UnsupportedFormatError(f"{where} leaves out strips or tiles; missing samples are not made up")
            if offset + count > self.size:
                raise TruncatedFileError(
                    f"{where} has {count} bytes of data at {offset}, the file ends at {self.size}",
                    offset=offset,
                    size=self.size,
                )

    def _segments(
        self, tags: dict[int, tuple[int, ...]], shape: Sequence[int], tiled: bool, where: str
    ) -> tuple[int, int]:
        """Number of strips or tiles a page needs, and samples in one of them."""
        depth, length, width, samples = shape
        planes = samples if _one(tags, _PLANAR, 1) == 2 else 1
        together = 1 if planes > 1 else samples
        if tiled:
            tile = [_one(tags, tag, 1 if tag == _TILE_DEPTH else 0) for tag in (_TILE_DEPTH, _TILE_LENGTH, _TILE_WIDTH)]
            if not all(tile):
                raise MetadataError(f"{where} has tiles of {tile[2]} x {tile[1]} samples; both must be at least 1")
            grid = [-(-n // t) for n, t in zip((depth, length, width), tile, strict=True)]
            return math.prod(grid) * planes, math.prod(tile) * together
        rows = min(_one(tags, _ROWS, length), length)
        if not rows:
            raise MetadataError(f"{where} has 0 rows per strip; at least 1 is needed")
        return -(-length // rows) * depth * planes, rows * width * together


def _one(tags: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    values = tags.get(tag, (default,))
    return values[0] if values else default


def scan_tiff(path: Path, name: str, limits: Limits) -> int:
    """Check every directory of a TIFF and return the number of pages.

    Raises
    ------
    TruncatedFileError
        A directory, table, strip or tile lies beyond the end of the file.
    TooLargeError
        Pages, header, samples or their ratio to the file exceed ``limits``.
    MetadataError
        No TIFF header, a loop of directories, or sizes of zero.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        scanner = _Scanner(stream, size, name, limits)
        pages = 0
        for directory in scanner.walk():
            scanner._check(directory)
            pages += 1
    if not pages:
        raise TruncatedFileError(f"{name} has a TIFF header and no page; it was cut off or never finished", size=size)
    return pages
