"""What a vendor's header says of one frame: a small protocol, one module a vendor.

A dialect is a function from a ``Frame`` (the tags of one page and the files beside it) to a ``Description``, or None if
the frame is not the vendor's.  It looks at content alone: tags in a TIFF, a side-car's own words elsewhere.  Whatever
the bytes are, it ends in one of the two or in a ReaderError.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from apps.imaging.readers.errors import MetadataError, TooLargeError

MAX_HEADER_BYTES = 16 << 20
MAX_SIDE_CAR_BYTES = 4 << 20
_MAX_ELEMENTS = 50_000
_MAX_DEPTH = 64
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]{0,200}\?>")
_ENCODINGS = ("utf-8", "cp1252", "latin-1")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Frame:
    """One page as a dialect sees it: its size in samples, its private tags as bytes, and the files beside it."""

    name: str
    width: int
    height: int
    tags: Mapping[int, bytes] = field(default_factory=dict)
    beside: Mapping[str, Path] = field(default_factory=dict)

    def text(self, tag: int) -> str:
        """A tag as text, empty if it is not there."""
        data = self.tags.get(tag, b"")
        if len(data) > MAX_HEADER_BYTES:
            raise TooLargeError(
                f"{self.name}: tag {tag} has {len(data)} bytes of header; at most {MAX_HEADER_BYTES} are read",
                limit=MAX_HEADER_BYTES,
            )
        return decoded(data)

    def side_car(self, *endings: str) -> tuple[str, str] | None:
        """Name and text of the first file beside this one that is called like it and ends so, whatever the case."""
        path = PurePath(self.name)
        stem, suffix = path.stem.lower(), path.suffix.lower().lstrip(".")
        wanted = [f"{base}{end}" for end in endings for base in (stem, f"{stem}-{suffix}", path.name.lower())]
        # Of files of one name the one in the same folder: what stands later in the list goes before.
        near = sorted(self.beside, key=lambda name: PurePath(name).parent == path.parent)
        names = {PurePath(name).name.lower(): name for name in near}
        for candidate in wanted:
            if candidate in names and (content := _side_car_text(self.beside[names[candidate]])):
                return names[candidate], content
        return None


@dataclass(frozen=True)
class Description:
    """What a vendor's header says of one frame.

    ``spacing_um`` has y and x; ``specimen_area`` is ``(y0, y1, x0, x1)`` where a data bar is stored with the frame.
    ``withheld`` says why a length that the header has is not taken as the distance of samples.
    """

    dialect: str
    facts: Mapping[str, Mapping[str, Any]]
    header: Mapping[str, Any]
    spacing_um: Mapping[str, float | None] = field(default_factory=dict)
    spacing_source: str | None = None
    spacing_u_um: Mapping[str, float] = field(default_factory=dict)
    specimen_area: tuple[int, int, int, int] | None = None
    modality: str = ""
    side_cars: tuple[str, ...] = ()
    withheld: str | None = None

    @property
    def detector(self) -> str:
        """Name of the detector, empty if the header has none."""
        return str(self.facts.get("detector", {}).get("value", ""))


Dialect = Callable[[Frame], Description | None]


def isotropic(length: float | None) -> dict[str, float | None]:
    """The same distance along y and x."""
    return {"y": length, "x": length}


def area_above_bar(frame: Frame, rows: int | None, columns: int | None = None) -> tuple[int, int, int, int] | None:
    """The specimen in the first ``rows`` of the frame, if fewer than are stored; the others are a data bar."""
    if not rows or not 0 < rows < frame.height or (columns is not None and columns != frame.width):
        return None
    return (0, rows, 0, frame.width)


def decoded(data: bytes) -> str:
    """Bytes of a header as text: by their mark, else UTF-8, else the code page of Western Windows; up to a NUL."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace").split("\0", 1)[0]
    data = data.split(b"\0", 1)[0]
    for encoding in _ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return ""  # not reached: every byte is latin-1


def _side_car_text(path: Path) -> str:
    """Text of a side-car, empty for what is no small regular file."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_SIDE_CAR_BYTES:
            return ""
        with path.open("rb") as stream:
            return decoded(stream.read(MAX_SIDE_CAR_BYTES))
    except OSError:
        return ""


def xml_values(data: bytes | str, where: str) -> tuple[str, dict[str, str]]:
    """Name of the root and texts of an XML header by path below it, ``Scan/Ux``; attributes as ``Scan/FOV_X@units``.

    Namespaces are dropped; ``<item name="BeamI">`` counts as ``BeamI``; of equal paths the first stays.

    Raises
    ------
    MetadataError
        Not well formed, entities or a document type (they expand without bound), or nested deeper than any header.
    """
    root = _root(data, where)
    found: dict[str, str] = {}
    waiting: list[tuple[Any, str, int]] = [(root, "", 0)]
    seen = 0
    while waiting:
        element, path, depth = waiting.pop()
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_ELEMENTS:
            raise MetadataError(f"{where} has more than {_MAX_ELEMENTS} elements or {_MAX_DEPTH} levels of XML")
        if path:
            found.setdefault(path, (element.text or "").strip())
        for key, value in element.attrib.items():
            found.setdefault(f"{path}@{_local(key)}", value.strip())
        below = [(child, f"{path}/{_name(child)}".lstrip("/"), depth + 1) for child in element]
        waiting += reversed(below)
    return _local(root.tag), found


def _root(data: bytes | str, where: str) -> Any:
    raw = data if isinstance(data, bytes) else data.encode()
    error: Exception | None = None
    # Headers that name no encoding, or a wrong one, are read once more as the text that they are.
    for content in (raw.split(b"\0", 1)[0].strip(), _DECLARATION.sub("", decoded(raw)).strip().encode()):
        try:
            return ElementTree.fromstring(content, forbid_dtd=True)
        except DefusedXmlException as refused:
            raise MetadataError(f"{where} has XML with entities or a document type, which is not read") from refused
        except (ElementTree.ParseError, LookupError, ValueError, RecursionError) as found:
            error = found
    raise MetadataError(f"{where} is no well-formed XML: {error}"[:300]) from error


def _local(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _name(element: Any) -> str:
    name = element.get("name") if _local(element.tag) == "item" else None
    return (name or _local(element.tag)).strip()[:100]
