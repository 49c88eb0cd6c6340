"""The headers of a tile packed by JPEG XR, looked at first: the codec trusts them, and wrong ones can end the process.

A file of JPEG XR is a directory like that of TIFF and a stream of code that begins with ``WMPHOTO``.  Both say the size
of the image; both must say that of the tile.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from apps.imaging.readers.errors import MetadataError

_WIDTH, _HEIGHT, _OFFSET, _COUNT = 0xBC80, 0xBC81, 0xBCC0, 0xBCC1
_MOST_ENTRIES = 64
_MARK = b"WMPHOTO\0"
_SHORT_HEADER, _TILES = 0x80, 0x80
_GREY, _RGB = 0, 7
_DEPTHS = {"u1": (1,), "u2": (2,), "f4": (7,)}  # codes of the bits of a sample, by its type
_BLOCK = 16


def check_jpegxr(
    read: Callable[[int, int], bytes], size: int, width: int, height: int, samples: int, code: str, name: str
) -> None:
    """Refuse headers that do not describe the tile.

    Parameters
    ----------
    read
        Gives bytes from an offset and a length within the packed tile.
    size
        Bytes of the packed tile.
    width, height, samples, code
        What the directory of the CZI says of the tile; ``code`` is the type of a sample.
    """

    def part(offset: int, count: int) -> bytes:
        if offset < 0 or offset + count > size:
            raise MetadataError(f"{name} has a tile packed by JPEG XR whose headers lead out of it")
        return read(offset, count)

    head = part(0, 8)
    directory = struct.unpack_from("<I", head, 4)[0]
    entries = struct.unpack("<H", part(directory, 2))[0] if head[:3] == b"II\xbc" else 0
    if not 0 < entries <= _MOST_ENTRIES:
        raise MetadataError(f"{name} has a tile that is not packed by JPEG XR, as its directory says")
    found = _entries(part(directory + 2, 12 * entries), entries)
    begin, length = found.get(_OFFSET, 0), found.get(_COUNT, 0)
    if (found.get(_WIDTH), found.get(_HEIGHT)) != (width, height) or begin + length > size or length < 32:
        raise MetadataError(f"{name} has a tile of {width} x {height} whose JPEG XR directory says otherwise")
    _check_stream(part(begin, 32), width, height, samples, code, name)


def _entries(data: bytes, count: int) -> dict[int, int]:
    """Values of the directory; those of two bytes are in the lower half of their field."""
    found = {}
    for number in range(count):
        tag, kind, _, value = struct.unpack_from("<HHII", data, 12 * number)
        found[tag] = value & 0xFFFF if kind == 3 else value
    return found


def _check_stream(head: bytes, width: int, height: int, samples: int, code: str, name: str) -> None:
    version, tiling, flags, form = head[8:12]
    wide = ">HH" if flags & _SHORT_HEADER else ">II"
    across, down = (n + 1 for n in struct.unpack_from(wide, head, 12))
    colour, depth = form >> 4, form & 15
    wanted = _GREY if samples == 1 else _RGB
    plain = head[:8] == _MARK and version >> 4 == 1 and (across, down) == (width, height)
    if not plain or colour != wanted or depth not in _DEPTHS[code]:
        raise MetadataError(f"{name} has a tile of {width} x {height} whose JPEG XR stream says otherwise")
    if tiling & _TILES:
        at = 12 + struct.calcsize(wide)
        tiles = int.from_bytes(head[at : at + 3], "big")
        if (tiles >> 12) * _BLOCK >= width or (tiles & 0xFFF) * _BLOCK >= height:
            raise MetadataError(f"{name} has a tile packed by JPEG XR in more parts than it has blocks")
