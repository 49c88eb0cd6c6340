"""EBSD maps as text: Channel Text Files (``.ctf``) and EDAX ``.ang``.

A map becomes one image of 32-bit numbers with a channel for each quantity: phase, Euler angles in radians, and what the
program kept of its confidence.  The header says the grid, the points say where they are (``ebsd_grid``); numbers may
have a decimal comma.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from apps.imaging.readers.base import Limits, ReadImage, fact
from apps.imaging.readers.ebsd_columns import Column, in_order, label_of
from apps.imaging.readers.ebsd_grid import HEXAGONAL, Grid, Stated, find_grid
from apps.imaging.readers.errors import (
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
)
from apps.imaging.readers.quantities import Facts, length_power, number, put_positive, put_text, shifted, whole, words
from apps.imaging.readers.tiff_header import text

Array = npt.NDArray[Any]
_CTF = b"Channel Text File"
_ANG_FIRST = re.compile(
    rb"\s*#\s*(TEM_PIXperUM|x-star|HEADER:\s*Start|File created from ACOM|GRID:|MaterialName|Phase \d)", re.I
)
_LONGEST_LINE = 1 << 16
_MOST_HEADER_LINES = 100_000
_MOST_COLUMNS = 64
_BLOCK_LINES = 50_000
_ANG_KEY = re.compile(r"^#\s*([A-Za-z_][\w.\- ]*?)\s*(?::|\s{2,}|\t)\s*(.*)$|^#\s*([A-Za-z_][\w.-]*)\s+(.*)$")
_TSL = ("phi1", "phi", "phi2", "x", "y", "iq", "ci", "phase", "sem", "fit")
_EMSOFT = ("phi1", "phi", "phi2", "x", "y", "iq", "dp", "phase")
_ASTAR = ("phi1", "phi", "phi2", "x", "y", "index", "reliability", "phase", "reliability_x100")


def looks_like_ctf(path: Path, head: bytes) -> bool:
    """True for the first bytes of a Channel Text File."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_CTF)


def looks_like_ang(path: Path, head: bytes) -> bool:
    """True for the first bytes of an EDAX map: comment lines with the names of its header."""
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return begin.startswith(b"#") and any(_ANG_FIRST.match(line) for line in begin.splitlines()[:40])


_NOTHING = Stated(None, None, None, None)


@dataclass
class _Map:
    """What a header says."""

    columns: Sequence[Column] = ()
    x: int = 0
    y: int = 0
    power: int = 0
    stated: Stated = _NOTHING
    facts: Facts = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)


class CtfReader:
    """Reader of Channel Text Files (Oxford Instruments, HKL)."""

    format = "CTF"

    def claims(self, path: Path, head: bytes) -> int:
        """The first line says what it is."""
        return 90 if path.is_file() and looks_like_ctf(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The map.

        Raises
        ------
        ReaderError
            Broken, too large, or on no square grid.
        """
        return [_read(path, name, limits, _ctf_header, "CTF")]


class AngReader:
    """Reader of EDAX maps as text, and of those that other programs write in their way."""

    format = "ANG"

    def claims(self, path: Path, head: bytes) -> int:
        """Comment lines with the names of an EDAX header."""
        return 80 if path.is_file() and looks_like_ang(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The map; places of the grid without a point are NaN.

        Raises
        ------
        ReaderError
            Broken, too large, or on a hexagonal grid.
        """
        return [_read(path, name, limits, _ang_header, "ANG")]


class _Lines:
    """Lines of a text file, each of bounded length, with a view of the one to come."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name, self._stream, self.number = name, stream, 0
        self._next: bytes | None = None

    def __iter__(self) -> Iterator[bytes]:
        while line := self.take():
            yield line

    def peek(self) -> bytes:
        """The next line; empty at the end."""
        if self._next is None:
            self._next = self._stream.readline(_LONGEST_LINE + 1)
            if len(self._next) > _LONGEST_LINE:
                raise MetadataError(f"{self.name}: line {self.number + 1} is longer than {_LONGEST_LINE} bytes")
        return self._next

    def take(self) -> bytes:
        """The next line, gone from the file."""
        line = self.peek()
        self._next, self.number = None, self.number + 1
        return line


def _read(path: Path, name: str, limits: Limits, header: Any, form: str) -> ReadImage:
    try:
        with path.open("rb") as stream:
            lines = _Lines(stream, name)
            said: _Map = header(lines, name)
            x, y, values = _points(lines, said, path.stat().st_size, limits, name)
        grid = find_grid(x, y, said.stated, name)
        grid.check_complete(x, y, name)
        limits.check_samples((values.shape[0], *grid.shape), 4, path.stat().st_size, name)
    except ReaderError:
        raise
    except (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise MetadataError(f"{name} is not a readable {form} file: {type(error).__name__} {error}"[:500]) from error
    return ReadImage(
        name=Path(name).stem,
        axes=("c", "z", "y", "x"),
        array=_filled(values, grid),
        spacing_um=grid.spacing_um(),
        spacing_source="XStep, YStep" if grid.stated else "positions of the points",
        channels=tuple(column.channel() for column in said.columns),
        facts=said.facts | grid.facts(x, y, said.stated),
        header={"format": form, "lines": said.header},
        modality="ebsd",
    )


def _points(lines: _Lines, said: _Map, size: int, limits: Limits, name: str) -> tuple[Array, Array, Array]:
    """Positions in micrometres, and all quantities (channel, point)."""
    places: list[Array] = []
    values: list[Array] = []
    comma = b"," in lines.peek()
    most = limits.max_samples // max(1, len(said.columns))
    found = 0
    while block := list(islice(lines, _BLOCK_LINES)):
        if not block[-1].endswith((b"\n", b"\r")):
            raise TruncatedFileError(f"{name} ends inside line {lines.number}: a line has an end", line=lines.number)
        joined = b"".join(line for line in block if line.strip() and not line.startswith(b"#"))
        if not joined:
            continue
        rows = _numbers(joined.replace(b",", b".") if comma else joined, lines.number, name)
        if rows.shape[1] <= max(column.at for column in said.columns):
            raise MetadataError(f"{name} has {rows.shape[1]} numbers a line, its header announces more columns")
        found += len(rows)
        if found > most:
            raise TooLargeError(f"{name} has more than {most} points")
        places.append(rows[:, [said.x, said.y]])
        with np.errstate(over="ignore", invalid="ignore"):
            values.append(np.stack([rows[:, c.at] * c.factor for c in said.columns]).astype("<f4"))
    if not found:
        raise TruncatedFileError(f"{name} has a header and no points", size=size)
    if values[0].shape[0] != values[-1].shape[0]:
        raise MetadataError(f"{name} has lines of different length")
    at = np.concatenate(places) * 10.0**said.power
    return at[:, 0], at[:, 1], np.concatenate(values, axis=1)


def _numbers(block: bytes, line: int, name: str) -> Array:
    try:
        found: Array = np.loadtxt(io.BytesIO(block), dtype=np.float64, ndmin=2, comments=None)
    except (ValueError, IndexError) as error:
        raise MetadataError(f"{name}: not a line of numbers before line {line}: {error}"[:300], line=line) from error
    if found.shape[1] > _MOST_COLUMNS:
        raise UnsupportedFormatError(f"{name} has {found.shape[1]} columns; at most {_MOST_COLUMNS} are read")
    return found


def _filled(values: Array, grid: Grid) -> Array:
    """The map (c, z, y, x); NaN where no point was measured."""
    rows, columns = grid.shape
    if grid.in_order():
        return values.reshape(len(values), 1, rows, columns)
    full = np.full((len(values), rows * columns), np.nan, "<f4")
    full[:, grid.place] = values
    return full.reshape(len(values), 1, rows, columns)


def _ctf_header(lines: _Lines, name: str) -> _Map:
    said = _Map()
    fields: dict[str, str] = {}
    phases: list[list[str]] = []
    titles: list[str] = []
    while not titles:
        line = lines.take()
        if not line or lines.number > _MOST_HEADER_LINES:
            raise TruncatedFileError(f"{name} ends before the names of its columns", line=lines.number)
        parts = [part.strip() for part in text(line.decode("latin-1")).rstrip("\r\n").split("\t")]
        labels = [label_of(part) for part in parts]
        if labels[0] == "phase" and {"x", "y", "euler1"} <= set(labels):
            titles = labels
        elif "phases" in fields and len(phases) < _MOST_COLUMNS and ";" in parts[0]:
            phases.append(parts)
        elif parts[0].startswith("Euler angles"):
            fields["euler_angles"] = parts[0]
            fields |= {label_of(key): value for key, value in zip(parts[1::2], parts[2::2], strict=False)}
        elif parts[0]:
            fields[label_of(parts[0])] = "\t".join(parts[1:])
    said.header = dict(fields) | {"phase_list": phases}
    said.x, said.y = titles.index("x"), titles.index("y")
    said.columns = in_order([_ctf_column(title, at) for at, title in enumerate(titles) if title not in ("x", "y")])
    said.stated = Stated(
        whole(fields.get("ycells")),
        whole(fields.get("xcells")),
        number(fields.get("xstep")),
        number(fields.get("ystep")),
    )
    _check_announced(said.stated, name)
    said.facts = _ctf_facts(fields, phases)
    return said


def _ctf_column(title: str, at: int) -> Column:
    degrees = title in ("euler1", "euler2", "euler3")
    return Column(title or f"column_{at + 1}", at, math.pi / 180 if degrees else 1.0)


def _check_announced(stated: Stated, name: str) -> None:
    """Refuse a header without the grid it needs; what points say comes after."""
    for label, step in (("x", stated.step_x), ("y", stated.step_y)):
        if step is not None and step < 0:
            raise MetadataError(f"{name} states a step of {step:g} in {label}; a step is above zero")


def _ctf_facts(fields: Mapping[str, str], phases: Sequence[Sequence[str]]) -> Facts:
    facts: Facts = {}
    put_text(facts, "operator", fields.get("author"), tag="Author")
    put_text(facts, "euler_frame", fields.get("euler_angles"), tag="Euler angles refer to")
    for name, key, unit, tag in (
        ("accelerating_voltage", "kv", "kV", "KV"),
        ("magnification", "mag", "1", "Mag"),
        ("specimen_tilt", "tiltangle", "deg", "TiltAngle"),
    ):
        put_positive(facts, name, fields.get(key), unit, tag=tag)
    titles = [phase[2] for phase in phases if len(phase) > 2]
    if titles:
        facts["phases"] = fact("; ".join(f"{n} {title}" for n, title in enumerate(titles, 1)), tag="Phases")
    return facts


def _ang_header(lines: _Lines, name: str) -> _Map:
    fields: dict[str, str] = {}
    phases: list[str] = []
    notes = ""
    while (line := lines.peek().removeprefix(b"\xef\xbb\xbf")).lstrip()[:1] in (b"#", b"") and line:
        lines.take()
        if lines.number > _MOST_HEADER_LINES:
            raise MetadataError(f"{name} has more than {_MOST_HEADER_LINES} lines of header")
        said = text(line.decode("latin-1")).strip()
        notes += said[:200] if len(notes) < 2000 else ""
        if (found := _ANG_KEY.match(said)) is None:
            continue
        key = (found[1] or found[3]).strip()
        value = (found[2] if found[1] else found[4] or "").strip()
        if key.lower() == "materialname":
            phases.append(value)
        if key.lower() != "hklfamilies":
            fields.setdefault(label_of(key), value)
    if fields.get("grid", "SqrGrid").lower().startswith("hex"):
        raise UnsupportedFormatError(f"{name} {HEXAGONAL}", grid=fields["grid"])
    return _ang_map(lines, fields, phases, notes, name)


def _ang_map(lines: _Lines, fields: Mapping[str, str], phases: Sequence[str], notes: str, name: str) -> _Map:
    said = _Map(header=dict(fields) | {"phase_list": list(phases)})
    count = len(lines.peek().split())
    if not 8 <= count <= _MOST_COLUMNS:
        raise MetadataError(f"{name}: line {lines.number + 1} has {count} numbers; a point has 8 to {_MOST_COLUMNS}")
    units = [part.strip() for part in fields.get("column_units", "").split(",")]
    astar = "ACOM" in notes
    titles = _ang_titles(fields, count, "emsoft" in notes.lower(), astar)
    said.x, said.y = titles.index("x"), titles.index("y")
    stated_unit = units[said.x] if len(units) > said.x else ""
    said.power = length_power(stated_unit or ("nm" if astar else "um")) or 0
    degrees = len(units) > 0 and units[0].lower().startswith("deg")
    said.columns = in_order(
        [
            Column(title, at, math.pi / 180 if degrees and title.startswith("euler") else 1.0)
            for at, title in enumerate(titles)
            if title not in ("x", "y")
        ]
    )
    said.stated = Stated(
        whole(fields.get("nrows")),
        whole(fields.get("ncols_odd")) or whole(fields.get("ncols_even")),
        shifted(fields.get("xstep"), said.power),
        shifted(fields.get("ystep"), said.power),
    )
    _check_announced(said.stated, name)
    said.facts = _ang_facts(fields, phases)
    return said


def _ang_titles(fields: Mapping[str, str], count: int, emsoft: bool, astar: bool) -> list[str]:
    """Names of the columns: those of the header if it has them, else those that the writing program is known by."""
    listed = [label_of(part) for part in fields.get("column_headers", "").split(",")]
    if len(listed) == count and len(set(listed)) == count and {"x", "y"} <= set(listed):
        return listed
    known = _ASTAR if astar else _EMSOFT if emsoft else _TSL
    titles = [label_of(title) for title in known[:count]]
    return titles + [f"column_{at + 1}" for at in range(len(titles), count)]


def _ang_facts(fields: Mapping[str, str], phases: Sequence[str]) -> Facts:
    facts: Facts = {}
    put_text(facts, "operator", fields.get("operator"), tag="OPERATOR")
    put_text(facts, "sample", fields.get("sampleid"), tag="SAMPLEID")
    put_positive(facts, "working_distance", fields.get("workingdistance"), "mm", tag="WorkingDistance")
    for name, key, unit in (
        ("specimen_tilt", "sampletiltangle", "deg"),
        ("elevation_angle", "cameraelevationangle", "deg"),
        ("azimuth_angle", "cameraazimuthalangle", "deg"),
    ):
        if words(fields.get(key)):
            put_positive(facts, name, fields.get(key), unit, tag=key)
    if any(phases):
        facts["phases"] = fact("; ".join(f"{n} {title}" for n, title in enumerate(phases, 1)), tag="MaterialName")
    return facts
