"""The container of Xradia files: an OLE file whose streams hold numbers and text without saying which.

olefile reads the container.  What its header announces is checked against the size of the file first, because the
library allocates by it.  Streams are small but for the images, and are read whole.
"""

from __future__ import annotations

import struct
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import olefile

from apps.imaging.readers.base import Array, Limits
from apps.imaging.readers.errors import MetadataError, ReaderError, TooLargeError, TruncatedFileError
from apps.imaging.readers.quantities import number
from apps.imaging.readers.tiff_header import text

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
OLE_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
_HEADER = struct.Struct("<8s16sHHHHH6sIIIIIIIIII")
_HEADER_STREAM = 64 << 10  # longer streams are lists of positions or images, no header
_SAMPLES_IN_HEADER = 64
_STREAMS_IN_HEADER = 10_000


class OleStreams:
    """The streams of a file by path, ``ImageInfo/PixelSize`` say."""

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.name, self.size = name, path.stat().st_size
        self._limits = limits
        self._lock = threading.Lock()
        _check_header(path, name, self.size)
        try:
            self._ole = olefile.OleFileIO(str(path), raise_defects=olefile.DEFECT_FATAL)
            names = ["/".join(parts) for parts in self._ole.listdir(streams=True, storages=False)]
            self.sizes: Mapping[str, int] = {found: int(self._ole.get_size(found)) for found in names}
        except OLE_ERRORS as error:
            raise MetadataError(f"{name} is not a readable OLE file: {type(error).__name__} {error}"[:500]) from error
        weakref.finalize(self, self._ole.close)
        stated = sum(self.sizes.values())
        if stated > self.size:
            raise TruncatedFileError(f"{name} has {self.size} bytes; its streams need {stated}", needed=stated)

    def read(self, key: str, most: int | None = None) -> bytes:
        """A stream, whole; TruncatedFileError if the file does not hold all of it."""
        size = self.sizes.get(key, 0)
        limit = self._limits.max_segment_bytes if most is None else most
        if size > min(limit, self.size):
            raise TooLargeError(f"{self.name}: stream {text(key)} is said to have {size} bytes", limit=limit)
        if key not in self.sizes:
            return b""
        try:
            with self._lock:
                found: bytes = self._ole.openstream(key).read()
        except OLE_ERRORS as error:
            raise MetadataError(f"{self.name}: stream {text(key)} cannot be read: {error}"[:500]) from error
        if len(found) != size:
            raise TruncatedFileError(f"{self.name}: stream {text(key)} has {len(found)} of {size} bytes", needed=size)
        return found

    def values(self, key: str, code: str) -> Array:
        """A stream as numbers of one type; empty if it is not there."""
        data = self.read(key, self._limits.max_header_bytes)
        dtype = np.dtype(code).newbyteorder("<")
        return np.frombuffer(data, dtype, len(data) // dtype.itemsize)

    def whole(self, key: str) -> int | None:
        """First number of a stream of integers."""
        found = self.values(key, "i4")
        return int(found[0]) if len(found) else None

    def real(self, key: str) -> float | None:
        """First number of a stream of floats, if it is finite."""
        found = self.values(key, "f4")
        return number(float(found[0])) if len(found) else None

    def words(self, key: str) -> str:
        """Text of a stream up to its first NUL, in Latin-1."""
        return text(self.read(key, self._limits.max_header_bytes).split(b"\0")[0].decode("latin-1")).strip()

    def cells(self, key: str, count: int) -> list[str]:
        """Texts of a stream that holds ``count`` of them in cells of one length."""
        data = self.read(key, self._limits.max_header_bytes)
        if count < 1 or len(data) < count:
            return []
        step = len(data) // count
        found = [data[n * step : (n + 1) * step].split(b"\0")[0] for n in range(count)]
        return [text(cell.decode("latin-1")).strip() for cell in found]

    def header(self) -> dict[str, Any]:
        """All short streams, as the numbers or the text they can be; both where both are possible."""
        found: dict[str, Any] = {}
        for place, (key, size) in enumerate(self.sizes.items()):
            if size > _HEADER_STREAM or key.startswith("ImageData") or place >= _STREAMS_IN_HEADER:
                found[text(key)] = {"bytes": size}
                continue
            try:
                found[text(key)] = _readings(self.read(key))
            except ReaderError as error:
                found[text(key)] = {"bytes": size, "unreadable": error.message}
        return found


def _readings(data: bytes) -> dict[str, Any]:
    """What a stream may mean: text, or the first numbers of it as integers and floats."""
    cells = [cell for cell in data.split(b"\0") if cell]
    if cells and all(byte >= 32 for cell in cells for byte in cell) and any(len(cell) > 2 for cell in cells):
        return {"text": [text(cell.decode("latin-1")) for cell in cells[:_SAMPLES_IN_HEADER]], "bytes": len(data)}
    if len(data) % 4 or not data:
        return {"bytes": len(data)}
    numbers = np.frombuffer(data, "<i4", min(len(data) // 4, _SAMPLES_IN_HEADER))
    floats = [number(str(value)) for value in numbers.view("<f4")]
    return {"int": numbers.tolist(), "float": floats, "bytes": len(data)}


def _check_header(path: Path, name: str, size: int) -> None:
    """Refuse tables of sectors that are longer than the file: the library would allocate them."""
    with path.open("rb") as stream:
        head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise TruncatedFileError(f"{name} has {size} bytes; an OLE header has 512", size=size)
    fields = _HEADER.unpack(head)
    shift, mini_shift = fields[5], fields[6]
    if shift not in (9, 12) or mini_shift != 6:
        raise MetadataError(f"{name} has sectors of 2^{shift} bytes; OLE has 2^9 or 2^12")
    sectors = -(-size >> shift) + 1
    per_sector = (1 << shift) // 4
    fat, mini, double = fields[9], fields[14], fields[16]
    if fat > sectors // per_sector + 2 or mini > sectors or double > fat // (per_sector - 1) + 1:
        raise TruncatedFileError(
            f"{name} has {size} bytes; its tables of {fat}, {mini} and {double} sectors do not fit", size=size
        )
