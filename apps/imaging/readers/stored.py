"""Samples that lie in one run of bytes, plain or compressed, in one file or several, as lazy arrays.

Plain bytes are read where they lie.  What is compressed or written as text is unpacked once, at the first read, into a
nameless temporary file, of which never more is written than the header announces.
"""

from __future__ import annotations

import bz2
import lzma
import math
import os
import tempfile
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from apps.imaging.readers.base import Array, Box, stored_dtype
from apps.imaging.readers.errors import MetadataError, TruncatedFileError

PIECE = 1 << 20
UNPACK_ERRORS = (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, OverflowError)
Unpack = Callable[[BinaryIO], Iterator[bytes]]


class Bytes(Protocol):
    """A run of bytes that can be read in part."""

    size: int

    def read(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes; TruncatedFileError if they are not there."""
        ...


class PlainBytes:
    """The bytes of a file from ``start`` on."""

    def __init__(self, path: Path, name: str, start: int = 0, size: int | None = None) -> None:
        self.name, self._start = name, start
        self._handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        there = os.fstat(self._handle).st_size - start
        self.size = there if size is None else size
        if start < 0 or self.size > there:
            raise TruncatedFileError(
                f"{name} has {there + start} bytes; its samples end at {start + self.size}",
                size=there + start,
                needed=start + self.size,
            )

    def read(self, offset: int, count: int) -> bytes:
        """Read where the bytes lie."""
        return read_exactly(self._handle, self._start + offset, count, self.name)


class UnpackedBytes:
    """The bytes that ``unpack`` gives for a file from ``start`` on: those from ``skip`` to ``skip + size``."""

    def __init__(self, path: Path, name: str, unpack: Unpack, *, start: int = 0, size: int, skip: int = 0) -> None:
        self._path, self.name, self._unpack = path, name, unpack
        self._start, self.size, self._skip = start, size, skip
        self._lock = threading.Lock()
        self._file: Any = None

    def read(self, offset: int, count: int) -> bytes:
        """Unpack all at the first call, then read from the temporary file."""
        with self._lock:
            if self._file is None:
                self._file = self._unpacked()
        return read_exactly(self._file.fileno(), offset, count, self.name)

    def _unpacked(self) -> Any:
        target = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the array
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._start)
                written = self._copy(self._unpack(stream), target)
        except UNPACK_ERRORS as error:
            target.close()
            raise MetadataError(f"{self.name}: samples do not decode: {type(error).__name__} {error}"[:500]) from error
        if written < self.size:
            target.close()
            raise TruncatedFileError(
                f"{self.name} unpacks to {written} bytes of samples; its header announces {self.size}",
                size=written,
                needed=self.size,
            )
        target.flush()
        return target

    def _copy(self, pieces: Iterator[bytes], target: BinaryIO) -> int:
        skip, written = self._skip, 0
        for piece in pieces:
            part = piece[skip:] if skip < len(piece) else b""
            skip = max(0, skip - len(piece))
            written += target.write(part[: self.size - written])
            if written >= self.size:
                break
        return written


class JoinedBytes:
    """Several runs of bytes, one after the other."""

    def __init__(self, parts: Sequence[Bytes]) -> None:
        self._parts = tuple(parts)
        self._ends = np.cumsum([part.size for part in parts], dtype=np.int64)
        self.size = int(self._ends[-1])

    def read(self, offset: int, count: int) -> bytes:
        """Read from each part that the range touches."""
        found = bytearray()
        at = int(np.searchsorted(self._ends, offset, side="right"))
        while len(found) < count and at < len(self._parts):
            inside = offset + len(found) - (int(self._ends[at]) - self._parts[at].size)
            found += self._parts[at].read(inside, min(count - len(found), self._parts[at].size - inside))
            at += 1
        return bytes(found)


def read_exactly(handle: int, offset: int, count: int, name: str) -> bytes:
    """``count`` bytes of an open file; a read of the system may give fewer."""
    found = bytearray()
    while len(found) < count:
        piece = os.pread(handle, count - len(found), offset + len(found))
        if not piece:
            raise TruncatedFileError(f"{name} ends at {offset + len(found)}, inside its samples", needed=offset + count)
        found += piece
    return bytes(found)


# ------------------------------------------------------------------------------------------------------------ unpacking
def inflate(stream: BinaryIO) -> Iterator[bytes]:
    """Deflated bytes, with the frame of zlib or of gzip; members of gzip follow each other."""
    decoder = zlib.decompressobj(47)
    while piece := stream.read(PIECE):
        while piece:
            if decoder.eof:
                decoder = zlib.decompressobj(47)
            yield decoder.decompress(piece, PIECE)
            piece = decoder.unconsumed_tail or decoder.unused_data
            if decoder.eof and not piece.strip(b"\0"):
                break
    while not decoder.eof and (rest := decoder.decompress(decoder.unconsumed_tail, PIECE)):
        yield rest


def unbzip(stream: BinaryIO) -> Iterator[bytes]:
    """Bytes packed by bzip2."""
    with bz2.BZ2File(stream) as packed:
        while piece := packed.read(PIECE):
            yield piece


def parse_hex(stream: BinaryIO) -> Iterator[bytes]:
    """Bytes written as pairs of hexadecimal digits, with white space anywhere."""
    left = b""
    while piece := stream.read(PIECE):
        digits = left + b"".join(piece.split())
        even = len(digits) & ~1
        left = digits[even:]
        yield bytes.fromhex(digits[:even].decode("ascii"))


def parse_numbers(dtype: np.dtype[Any]) -> Unpack:
    """Numbers written as text, between white space or commas, as bytes of ``dtype``."""

    def parse(stream: BinaryIO) -> Iterator[bytes]:
        left = b""
        while piece := stream.read(PIECE):
            text = (left + piece).replace(b",", b" ")
            cut = len(text) if not text or text[-1:].isspace() else len(text) - len(text.split()[-1])
            left = text[cut:]
            if len(left) > PIECE:
                raise ValueError("a number of more than a million digits")
            yield _as_bytes(text[:cut], dtype)
        yield _as_bytes(left, dtype)

    return parse


def _as_bytes(text: bytes, dtype: np.dtype[Any]) -> bytes:
    numbers = text.split()
    found = [float(n) for n in numbers] if dtype.kind == "f" else [int(n) for n in numbers]
    return np.array(found, dtype).tobytes()


# --------------------------------------------------------------------------------------------------------------- arrays
class StoredArray:
    """Samples in one run of bytes as an array with its axes in the order of the rest of the system.

    Parameters
    ----------
    source
        The bytes; sample 0 is at 0.
    stored
        Type as stored, with byte order.
    shape, order
        Shape as stored, slowest axis first, and for each axis of the result the stored axes that make it up, none for
        an axis of length 1.  A stored axis of length 1 may be left out.
    axes
        Names of the axes of the result.
    """

    def __init__(
        self,
        source: Bytes,
        stored: np.dtype[Any],
        shape: Sequence[int],
        order: Sequence[tuple[int, ...]],
        axes: Sequence[str],
        name: str,
    ) -> None:
        self._source, self._stored, self._file_shape = source, stored, tuple(shape)
        self._order, self.axes = tuple(order), tuple(axes)
        self._dtype = stored_dtype(stored, name)
        self._shape = tuple(math.prod(shape[axis] for axis in group) for group in order)
        need = math.prod(shape) * stored.itemsize
        if need > source.size:
            raise TruncatedFileError(
                f"{name} has {source.size} bytes of samples; {tuple(shape)} of {stored.name} need {need}",
                size=source.size,
                needed=need,
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are given in."""
        return self._dtype

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self._shape)
        if 0 in box.shape:
            return box.drop(np.empty(box.shape, self._dtype))
        ranges = [(0, n) for n in self._file_shape]
        cuts: list[tuple[int, int]] = []  # within the axes of the result, after reading
        for group, bounds in zip(self._order, box.ranges, strict=True):
            if len(group) == 1:
                ranges[group[0]] = bounds
                cuts.append((0, bounds[1] - bounds[0]))
            else:
                cuts.append(bounds)
        used = [axis for group in self._order for axis in group]
        unused = [axis for axis in range(len(ranges)) if axis not in used]
        found = self._read(ranges).transpose([*unused, *used])
        sizes = [math.prod(ranges[axis][1] - ranges[axis][0] for axis in group) for group in self._order]
        part = found.reshape(sizes)[tuple(slice(*cut) for cut in cuts)]
        return box.drop(np.ascontiguousarray(part, dtype=self._dtype).reshape(box.shape))

    def _read(self, ranges: Sequence[tuple[int, int]]) -> Array:
        """Samples of a box of the stored axes, in runs that are as long as they can be."""
        lengths = [high - low for low, high in ranges]
        if not lengths:
            return np.frombuffer(self._source.read(0, self._stored.itemsize), self._stored).reshape(())
        if lengths[-1] != self._file_shape[-1]:  # whole rows are read and cut, not one run a row
            low, high = ranges[-1]
            whole = [*ranges[:-1], (0, self._file_shape[-1])]
            return self._read(whole)[..., low:high]
        split = max((i for i, n in enumerate(lengths) if n != self._file_shape[i]), default=0)
        tail = math.prod(self._file_shape[split + 1 :])
        result = np.empty(lengths, self._stored)
        rows = result.reshape(-1, lengths[split] * tail)
        for number, outer in enumerate(product(*(range(*bounds) for bounds in ranges[:split]))):
            first = int(np.ravel_multi_index((*outer, ranges[split][0]), self._file_shape[: split + 1])) * tail
            data = self._source.read(first * self._stored.itemsize, rows.shape[1] * self._stored.itemsize)
            rows[number] = np.frombuffer(data, self._stored)
        return result
