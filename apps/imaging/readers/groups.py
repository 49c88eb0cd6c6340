"""Which files belong together: an image and its header beside it, a project and the files it names.

Names and the first bytes decide, before any decoder runs.  A group has one primary file, which is read, and side-cars,
which are read with it; a file of no group is a group of its own.  Names may have folders before them; a side-car lies
in the folder of its primary, except where the primary names another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

PEEK_BYTES = 64 << 10
_PICTURES = (".tif", ".tiff", ".bmp", ".jpg", ".jpeg", ".png")
_JEOL_PARTS = (".img", ".map", ".pts", ".apb")
_ASW_NAME = re.compile(rb"[\x21-\x7e]{1,200}?\.(?:img|map|pts|apb)", re.IGNORECASE)
_MHD_DATA = re.compile(r"^\s*ElementDataFile\s*=\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_NRRD_DATA = re.compile(r"^\s*data ?file:\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)
_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"ZISRAWFILE", "CZI"),
    (b"\xd0\xcf\x11\xe0", "OLE compound (TXRM, XRM)"),
    (b"AAMVHFSS", "Bruker BCF"),
    (b"PK\x03\x04", "ZIP"),
    (b"NRRD", "NRRD"),
    (b"ObjectType", "MetaImage"),
    (b"#FORMAT", "MSA spectrum"),
    (b"Channel Text File", "EBSD CTF"),
    (b"# HEADER: Start", "EBSD ANG"),
    (b"# TEM_PIXperUM", "EBSD ANG"),
    (b"BM", "BMP"),
    (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
)


@dataclass(frozen=True)
class Peek:
    """A file as far as it is looked at here: its name, and at most ``PEEK_BYTES`` from its beginning."""

    name: str
    head: bytes

    @property
    def path(self) -> PurePosixPath:
        """The name as a path, with ``/`` as its separator."""
        return PurePosixPath(self.name)

    @property
    def suffix(self) -> str:
        """Ending of the name, in small letters."""
        return self.path.suffix.lower()

    @property
    def text(self) -> str:
        """The beginning as text; what is no text becomes replacement characters."""
        return self.head.decode("utf-8", "replace")


@dataclass(frozen=True)
class Group:
    """Files that make one or more images together, and why they are thought to."""

    primary: str
    side_cars: tuple[str, ...]
    format: str
    why: str


class _Files:
    """The files not yet in a group, found by folder and name without regard to case."""

    def __init__(self, peeks: Sequence[Peek]) -> None:
        self._left = {peek.name: peek for peek in peeks}
        self._by_name: dict[str, list[Peek]] = {}
        for peek in peeks:
            for key in {peek.name.lower(), f"*/{peek.path.name.lower()}"}:
                self._by_name.setdefault(key, []).append(peek)

    def __iter__(self) -> Iterator[Peek]:
        return iter(list(self._left.values()))

    def __contains__(self, peek: Peek) -> bool:
        return peek.name in self._left

    def beside(self, peek: Peek, name: str) -> Peek | None:
        """The file ``name`` in the folder of ``peek``."""
        folder = f"{peek.path.parent}/" if "/" in peek.name else ""
        found = self._by_name.get(f"{folder}{name}".lower(), []) if "/" not in name else []
        return next((p for p in found if p in self and p.name != peek.name), None)

    def anywhere(self, name: str) -> list[Peek]:
        """Files whose last part is ``name``, in any folder: an upload keeps no folders."""
        return [p for p in self._by_name.get(f"*/{name.lower()}", []) if p in self]

    def take(self, group: Group) -> Group:
        for name in (group.primary, *group.side_cars):
            self._left.pop(name, None)
        return group


Rule = Callable[[Peek, _Files], Group | None]


def recognise(peeks: Sequence[Peek]) -> list[Group]:
    """Sort files into groups.

    Parameters
    ----------
    peeks
        The files; each name once.

    Returns
    -------
    list of Group
        Every file is in exactly one.  In the order of the primaries in ``peeks``.
    """
    files = _Files(peeks)
    groups: list[Group] = []
    for rule in _RULES:  # a project goes before its parts, which might pass for something of their own
        groups.extend(_matching(rule, files))
    groups += [Group(peek.name, (), *_alone(peek)) for peek in files]
    order = {peek.name: number for number, peek in enumerate(peeks)}
    return sorted(groups, key=lambda group: order[group.primary])


def _matching(rule: Rule, files: _Files) -> Iterator[Group]:
    for peek in files:
        if peek in files and (group := rule(peek, files)) is not None:
            yield files.take(group)


def _jeol_project(peek: Peek, files: _Files) -> Group | None:
    if peek.suffix != ".asw" or b"Analysis Station" not in peek.head:
        return None
    named = {re.split(rb"[\\/]", found)[-1].decode("ascii") for found in _ASW_NAME.findall(peek.head)}
    parts = [part for name in sorted(named) for part in files.anywhere(name)]
    return Group(
        peek.name,
        tuple(dict.fromkeys(part.name for part in parts)),
        "JEOL Analysis Station project",
        f"the project names {len(named)} files of images, maps and spectra; {len(parts)} of them are here",
    )


def _slice_and_view(peek: Peek, files: _Files) -> Group | None:
    if peek.suffix != ".emxml" or b"<EMProject" not in peek.head:
        return None
    slices = [p for p in files if p.suffix in (".tif", ".tiff") and "sliceimage" in p.path.name.lower()]
    near = [p for p in slices if peek.path.parent in p.path.parents]
    if not near:
        return None
    why = f"an Auto Slice & View project beside {len(near)} files named as its slices"
    return Group(peek.name, tuple(p.name for p in near), "FEI Auto Slice & View project", why)


def _jeol_picture(peek: Peek, files: _Files) -> Group | None:
    if peek.suffix not in _PICTURES:
        return None
    header = files.beside(peek, f"{peek.path.stem}.txt")
    if header is None or not _is_jeol_header(header):
        return None
    return Group(
        peek.name,
        (header.name,),
        "JEOL SEM image",
        f"{header.path.name} has the same name and is a JEOL header: the scale stands there",
    )


def _is_jeol_header(peek: Peek) -> bool:
    return re.search(r"^\${1,2}[CS]M_", peek.text, re.MULTILINE) is not None


def _tescan_picture(peek: Peek, files: _Files) -> Group | None:
    if peek.suffix not in _PICTURES:
        return None
    for name in (f"{peek.path.stem}.hdr", f"{peek.path.stem}-{peek.suffix[1:]}.hdr"):
        header = files.beside(peek, name)
        if header is not None and _is_tescan_header(header):
            why = f"{header.path.name} has the same name and is a TESCAN header"
            return Group(peek.name, (header.name,), "TESCAN SEM image", why)
    return None


def _is_tescan_header(peek: Peek) -> bool:
    return "[MAIN]" in peek.text and "PixelSizeX" in peek.text


def _detached(peek: Peek, files: _Files) -> Group | None:
    """A MetaImage or NRRD header that names the file of its samples."""
    if peek.suffix == ".mhd":
        kind, named = "MetaImage", _MHD_DATA.findall(peek.text)
        if named and named[-1].upper() == "LIST":
            named = peek.text.split(named[-1], 1)[-1].split("\n")[1:]
    elif peek.suffix == ".nhdr" and peek.head.startswith(b"NRRD"):
        kind, named = "NRRD", _NRRD_DATA.findall(peek.text)
    else:
        return None
    parts = [found for name in named if (found := files.beside(peek, name.strip())) is not None]
    if not parts:
        return None
    names = ", ".join(part.path.name for part in parts[:3]) + (", ..." if len(parts) > 3 else "")
    return Group(
        peek.name,
        tuple(dict.fromkeys(part.name for part in parts)),
        kind,
        f"the header names {names} as the file of its samples",
    )


_RULES: tuple[Rule, ...] = (_jeol_project, _slice_and_view, _detached, _jeol_picture, _tescan_picture)


def _alone(peek: Peek) -> tuple[str, str]:
    """Format and reason of a file that nothing goes with."""
    for wanted, kind, lacks in (
        (_is_jeol_header(peek), "JEOL header", "its image"),
        (_is_tescan_header(peek) and peek.suffix == ".hdr", "TESCAN header", "its image"),
        (peek.suffix == ".mhd", "MetaImage header", "the file of its samples"),
        (peek.suffix == ".nhdr", "NRRD header", "the file of its samples"),
        (peek.suffix == ".emxml" and b"<EMProject" in peek.head, "FEI Auto Slice & View project", "its slices"),
    ):
        if wanted and not _holds_samples(peek):
            return kind, f"{lacks} is not here"
    if not peek.head:
        return "unknown", "the file is empty"
    kind = next((name for magic, name in _FORMATS if peek.head.startswith(magic)), "unknown")
    return kind, "stands alone" if kind != "unknown" else "its first bytes are those of no format known here"


def _holds_samples(peek: Peek) -> bool:
    named = _MHD_DATA.findall(peek.text) if peek.suffix == ".mhd" else []
    return bool(named) and named[-1].upper() == "LOCAL"
