"""BMP and PNG, as microscope programs write them beside a text file with the scale, or export them without any.

Resolutions in these files are those of a screen or a print, and no calibration: only a vendor's side-car gives one.
Headers are checked against the limits before a sample is decoded.  A BMP is read row by row where it lies; a PNG is
decoded as a whole, at the first read.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from apps.imaging.readers import dialects
from apps.imaging.readers.base import Array, Box, Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.tiff_header import text as clean_text
from apps.imaging.readers.tiff_vendor import channels_of, description_facts
from apps.imaging.readers.vendor import Description, Frame, decoded

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MAX_CHUNKS = 1_000_000
_MAX_TEXT = 1 << 16
_MAX_TEXTS = 200
_BMP_HEADERS = (40, 52, 56, 64, 108, 124)
_BMP_FIELDS = 3  # compression: samples by bit masks
_MASKS = {0x00FF0000: 2, 0x0000FF00: 1, 0x000000FF: 0, 0xFF000000: 3}


class BmpReader:
    """Reader of uncompressed Windows bitmaps."""

    format = "BMP"

    def claims(self, path: Path, head: bytes) -> int:
        """The two letters are a weak sign; the header that follows has one of few sizes."""
        if not path.is_file() or head[:2] != b"BM" or len(head) < 18:
            return 0
        return 50 if struct.unpack_from("<I", head, 14)[0] in (12, *_BMP_HEADERS) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The image of the file.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, or compressed.
        """
        size = path.stat().st_size
        with path.open("rb") as stream:
            bitmap = _bmp_header(stream, size, name)
        limits.check_samples((bitmap.samples, bitmap.rows, bitmap.columns), 1, size, name)
        header = {"format": "BMP", "width": bitmap.columns, "height": bitmap.rows, "bits": bitmap.bits}
        return [_image(name, _BmpArray(path, name, bitmap), header, beside)]


class PngReader:
    """Reader of PNG."""

    format = "PNG"

    def claims(self, path: Path, head: bytes) -> int:
        """The signature of a PNG is a sure sign."""
        return 50 if path.is_file() and head.startswith(_PNG_MAGIC) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The image of the file; of an animation the first frame.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, or with a header that contradicts the format.
        """
        size = path.stat().st_size
        with path.open("rb") as stream:
            array, header = _png_header(stream, path, size, name)
        itemsize = array.dtype.itemsize
        limits.check_samples(array.shape, itemsize, size, name)
        decoded_bytes = int(np.prod(array.shape, dtype=object)) * itemsize
        if decoded_bytes > limits.max_segment_bytes:
            raise TooLargeError(
                f"{name} decodes to {decoded_bytes} bytes in one piece; at most {limits.max_segment_bytes} are decoded",
                limit=limits.max_segment_bytes,
            )
        return [_image(name, array, header, beside)]


def _image(name: str, array: _BmpArray | _PngArray, header: Mapping[str, Any], beside: Mapping[str, Path]) -> ReadImage:
    """An image with what a side-car says of it."""
    samples, _, height, width = array.full
    said = dialects.describe(Frame(name, width, height, beside=beside)) or Description("", {}, {})
    vendor = {"dialect": said.dialect, "vendor": dict(said.header)} if said.dialect else {}
    spacing = {"z": None, "y": said.spacing_um.get("y"), "x": said.spacing_um.get("x")}
    return ReadImage(
        name=PurePath(name).stem,
        axes=array.axes,
        array=array,
        spacing_um=spacing,
        spacing_source=said.spacing_source,
        channels=channels_of([said.detector], samples),
        facts={"photometric": fact("rgb" if samples > 2 else "minisblack")} | description_facts(said),
        header=dict(header) | vendor,
        specimen_area=said.specimen_area,
        spacing_u_um=dict(said.spacing_u_um),
        modality=said.modality,
        side_cars=said.side_cars,
    )


@dataclass(frozen=True)
class _Bitmap:
    """Where the samples of a BMP lie: rows of ``stride`` bytes from ``offset``, the last first unless ``top_down``."""

    columns: int
    rows: int
    bits: int
    offset: int
    stride: int
    top_down: bool
    palette: Array | None  # (colours, samples): what an index stands for; None where it is the sample itself
    order: tuple[int, ...]  # bytes of a pixel that are its samples
    samples: int


class _Bitmapped:
    """Shape, type and axes of an image ``(c?, z, y, x)`` of a plane."""

    def __init__(self, samples: int, rows: int, columns: int, dtype: str) -> None:
        self.full = (samples, 1, rows, columns)
        self.axes = ("c", "z", "y", "x") if samples > 1 else ("z", "y", "x")
        self._dtype: np.dtype[Any] = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self.full if self.full[0] > 1 else self.full[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type that samples are given in."""
        return self._dtype

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self.shape)
        ranges = box.ranges if self.full[0] > 1 else ((0, 1), *box.ranges)
        samples, planes, rows, columns = ranges
        if planes[0] == planes[1] or rows[0] == rows[1]:
            return box.drop(np.empty(box.shape, self._dtype))
        part = self._rows(rows)[:, columns[0] : columns[1], samples[0] : samples[1]]
        return box.drop(np.ascontiguousarray(np.moveaxis(part, -1, 0), self._dtype).reshape(box.shape))

    def _rows(self, rows: tuple[int, int]) -> Array:
        """Rows of the image, shape (y, x, sample)."""
        raise NotImplementedError


class _BmpArray(_Bitmapped):
    def __init__(self, path: Path, name: str, bitmap: _Bitmap) -> None:
        super().__init__(bitmap.samples, bitmap.rows, bitmap.columns, "u1")
        self._path, self._name, self._bitmap = path, name, bitmap

    def _rows(self, rows: tuple[int, int]) -> Array:
        bitmap = self._bitmap
        first = rows[0] if bitmap.top_down else bitmap.rows - rows[1]
        count = (rows[1] - rows[0]) * bitmap.stride
        with self._path.open("rb") as stream:
            stream.seek(bitmap.offset + first * bitmap.stride)
            data = stream.read(count)
        if len(data) != count:
            raise TruncatedFileError(f"{self._name} ends inside its samples", needed=count, found=len(data))
        stored = np.frombuffer(data, np.uint8).reshape(rows[1] - rows[0], bitmap.stride)
        stored = stored if bitmap.top_down else stored[::-1]
        if bitmap.bits <= 8:
            indices = _unpacked(stored, bitmap.bits)[:, : bitmap.columns]
            return indices[..., None] if bitmap.palette is None else bitmap.palette[indices]
        width = bitmap.bits // 8
        pixels = stored[:, : bitmap.columns * width].reshape(-1, bitmap.columns, width)
        return pixels[..., list(bitmap.order)]


def _unpacked(rows: Array, bits: int) -> Array:
    """Indices of 1, 4 or 8 bits, the highest bits first."""
    if bits == 8:
        return rows
    if bits == 1:
        return np.unpackbits(rows, axis=1)
    return np.stack([rows >> 4, rows & 15], axis=-1).reshape(len(rows), -1)


def _bmp_header(stream: BinaryIO, size: int, name: str) -> _Bitmap:
    head = stream.read(14 + 124)
    if len(head) < 30:
        raise TruncatedFileError(f"{name} has {size} bytes; a BMP header needs more", size=size)
    offset, header = struct.unpack_from("<II", head, 10)
    if header == 12:
        columns, rows, planes, bits = struct.unpack_from("<HHHH", head, 18)
        compression, colours, entry = 0, 0, 3
    elif header in _BMP_HEADERS and len(head) >= 14 + 40:
        columns, rows, planes, bits, compression, _, _, _, colours = struct.unpack_from("<iiHHIIiiI", head, 18)
        entry = 4
    else:
        raise UnsupportedFormatError(f"{name} has a BMP header of {header} bytes, which is none that is known")
    if columns < 1 or rows == 0 or planes != 1:
        raise MetadataError(f"{name} has {columns} columns, {rows} rows and {planes} planes; at least 1, 1 and 1 plane")
    if bits not in (1, 4, 8, 24, 32) or compression not in (0, _BMP_FIELDS) or (compression and bits != 32):
        raise UnsupportedFormatError(
            f"{name} has {bits} bits a pixel and compression {compression}; 1, 4, 8, 24 and 32 bits are read, plain"
        )
    stride = (columns * bits + 31) // 32 * 4
    if offset < 14 + header or offset + stride * abs(rows) > size:
        raise TruncatedFileError(
            f"{name} has {size} bytes; its samples lie from {offset} to {offset + stride * abs(rows)}", size=size
        )
    palette = (
        _bmp_palette(stream, 14 + header, min(colours or 1 << bits, 1 << bits), entry, offset) if bits <= 8 else None
    )
    order = _masked(head, name) if compression else (2, 1, 0)
    grey = palette is not None and bool((palette[:, :1] == palette).all())
    if palette is not None and grey:
        palette = palette[:, :1]
    samples = len(order) if bits > 8 else (1 if palette is None or grey else 3)
    return _Bitmap(columns, abs(rows), bits, offset, stride, rows < 0, palette, order, samples)


def _bmp_palette(stream: BinaryIO, at: int, colours: int, entry: int, offset: int) -> Array | None:
    """Colours as red, green, blue; what an index beyond them stands for is black.  None if there is no table."""
    colours = min(colours, max(0, offset - at) // entry)
    if colours == 0:
        return None
    stream.seek(at)
    data = np.frombuffer(stream.read(colours * entry), np.uint8)
    table = np.zeros((256, 3), np.uint8)
    table[: len(data) // entry] = data[: len(data) // entry * entry].reshape(-1, entry)[:, 2::-1]
    return table


def _masked(head: bytes, name: str) -> tuple[int, ...]:
    """Bytes of a pixel for red, green and blue, where each mask is a whole byte."""
    masks = struct.unpack_from("<III", head, 54) if len(head) >= 66 else ()
    order = tuple(_MASKS[mask] for mask in masks if mask in _MASKS)
    if len(order) != 3 or len(set(order)) != 3:
        raise UnsupportedFormatError(f"{name} has colour masks that are no whole bytes")
    return order


class _PngArray(_Bitmapped):
    def __init__(self, path: Path, name: str, samples: int, rows: int, columns: int, dtype: str) -> None:
        super().__init__(samples, rows, columns, dtype)
        self._path, self._name = path, name
        self._lock = threading.Lock()
        self._pixels: Array | None = None

    def _rows(self, rows: tuple[int, int]) -> Array:
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decoded()
        return self._pixels[rows[0] : rows[1]]

    def _decoded(self) -> Array:
        samples, _, height, width = self.full
        try:
            found = np.asarray(imagecodecs.png_decode(self._path.read_bytes()))
        except (RuntimeError, ValueError, OSError, MemoryError, imagecodecs.DelayedImportError) as error:
            raise MetadataError(f"{self._name} does not decode: {type(error).__name__} {error}"[:300]) from error
        if found.shape[:2] != (height, width) or found.size != height * width * samples or found.dtype != self.dtype:
            raise MetadataError(f"{self._name} decodes to {found.shape} {found.dtype}, its header says {self.full}")
        return found.reshape(height, width, samples)


def _png_header(stream: BinaryIO, path: Path, size: int, name: str) -> tuple[_PngArray, dict[str, Any]]:
    """Walk over the chunks: each must lie in the file, IHDR first, IEND last, and its check sum must hold."""
    stream.seek(8)
    header: dict[str, Any] = {"format": "PNG", "text": {}}
    ihdr: tuple[int, ...] | None = None
    transparent = ended = has_data = False
    for _ in range(_MAX_CHUNKS):
        start = stream.read(8)
        if len(start) < 8:
            break
        length, kind = struct.unpack(">I4s", start)
        if stream.tell() + length + 4 > size:
            raise TruncatedFileError(f"{name} has {size} bytes; a chunk {kind!r} needs {length} more", size=size)
        if ihdr is None:
            ihdr = _png_ihdr(kind, length, stream.read(length + 4), name)
            continue
        has_data, transparent = has_data or kind == b"IDAT", transparent or kind == b"tRNS"
        if kind == b"tEXt" and length <= _MAX_TEXT and len(header["text"]) < _MAX_TEXTS:
            key, _, value = stream.read(length).partition(b"\0")
            header["text"][clean_text(decoded(key)[:80])] = clean_text(decoded(value))
            stream.seek(4, 1)
        else:
            stream.seek(length + 4, 1)
        if kind == b"IEND":
            ended = True
            break
    if ihdr is None or not ended or not has_data:
        raise TruncatedFileError(f"{name} has no end: its chunks stop before IEND, or there are no samples", size=size)
    columns, rows, bits, colour = ihdr
    header |= {"width": columns, "height": rows, "bits": bits, "colour_type": colour}
    samples = _PNG_SAMPLES[colour] + transparent
    return _PngArray(path, name, samples, rows, columns, "<u2" if bits == 16 else "u1"), header


def _png_ihdr(kind: bytes, length: int, data: bytes, name: str) -> tuple[int, int, int, int]:
    """Columns, rows, bits and kind of colour."""
    if kind != b"IHDR" or length != 13:
        raise MetadataError(f"{name} is a PNG whose first chunk is {kind!r} of {length} bytes; IHDR of 13 comes first")
    if zlib.crc32(kind + data[:13]) != struct.unpack(">I", data[13:17])[0]:
        raise MetadataError(f"{name} is a PNG whose header does not match its check sum")
    columns, rows, bits, colour = struct.unpack_from(">IIBB", data)
    if not columns or not rows or bits not in _PNG_DEPTHS.get(colour, ()):
        raise MetadataError(f"{name} has {columns} x {rows} pixels of {bits} bits and colour type {colour}")
    return columns, rows, bits, colour
