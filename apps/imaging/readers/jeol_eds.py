"""JEOL Analysis Station projects (``.ASW``): pictures, element maps and the spectrum image of a view.

The project names the files of its views; they are looked up among the files that came with it, by name alone.  Pictures
and maps of one grid are channels of one image; the events of a ``.pts`` file are counted into a cube.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.values import Channel, SignalAxis
from apps.imaging.readers.base import Grid, Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.event_cube import EventCube
from apps.imaging.readers.jeol_tree import Tree, parse_tree, within
from apps.imaging.readers.quantities import Facts, number, put, put_positive, put_text, words
from apps.imaging.readers.tiff_header import json_value
from apps.imaging.readers.tiff_spacing import usable

Array = npt.NDArray[Any]
_IMAGE_MAGIC, _PTS_MAGIC = 52, 304
_RASTER = 4096  # positions and channels of a stream are twelve bits
_RUN = 1 << 20
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - the file has no zone
_MOST_COUNTED = 20_000_000
_LONGEST_SHOWN = 64


def looks_like_asw(path: Path, head: bytes) -> bool:
    """True for the first bytes of a project."""
    return b"FileType" in head[:40] and b"Analysis Station" in head[:80]


class JeolEdsReader:
    """Reader of Analysis Station projects."""

    format = "JEOL Analysis Station"

    def claims(self, path: Path, head: bytes) -> int:
        """The first value says what it is."""
        return 90 if path.is_file() and looks_like_asw(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """Images of the files that the project names and that came with it.

        Raises
        ------
        ReaderError
            Broken, too large, or without any of its files.
        """
        project = parse_tree(_whole(path, name, limits), 12, name)
        images: list[ReadImage] = []
        missing: list[str] = []
        for view in _views(project):
            present = [(part, found) for part in _parts(view, name) if (found := _beside(part, beside, missing))]
            images += _view_images(view, present, limits)
        if not images:
            raise UnsupportedFormatError(
                f"{name} is a project that names its images in other files; send it with {', '.join(missing[:5])}",
                missing=missing[:100],
            )
        return images


@dataclass(frozen=True)
class _Picture:
    """One picture or map."""

    title: str
    samples: Array
    spacing: dict[str, float | None]
    facts: Facts
    header: Tree
    file: str


def _whole(path: Path, name: str, limits: Limits) -> bytes:
    if path.stat().st_size > limits.max_segment_bytes:
        raise TooLargeError(f"{name} has {path.stat().st_size} bytes; at most {limits.max_segment_bytes} are read")
    return path.read_bytes()


def _views(project: Tree) -> Iterator[Tree]:
    for sample in _children(within(project, "SampleInfo")):
        yield from _children(within(sample, "ViewInfo"))


def _children(tree: Any) -> list[Tree]:
    return [item for item in tree.values() if isinstance(item, dict)] if isinstance(tree, dict) else []


def _parts(view: Tree, name: str) -> list[str]:
    """Names of the files of a view, without their folders: a path in a file is not followed."""
    said = [words(within(part, "Filename")) for part in _children(within(view, "ViewData"))]
    return [PurePosixPath(path.replace("\\", "/")).name for path in said if path]


def _beside(part: str, beside: Mapping[str, Path], missing: list[str]) -> Path | None:
    for called, path in beside.items():
        if PurePosixPath(called.replace("\\", "/")).name.lower() == part.lower():
            return path
    missing.append(part)
    return None


def _view_images(view: Tree, present: Sequence[tuple[str, Path]], limits: Limits) -> list[ReadImage]:
    title = words(within(view, "Memo")) or "view"
    fields: dict[Any, list[_Picture]] = {}
    cubes = []
    for part, path in present:
        data = _whole(path, part, limits)
        magic = struct.unpack_from("<I", data)[0] if len(data) >= 4 else 0
        if magic == _IMAGE_MAGIC:
            picture = _picture(data, part)
            fields.setdefault((picture.samples.shape, *picture.spacing.values()), []).append(picture)
        elif magic == _PTS_MAGIC:
            cubes.append(_cube(data, part, limits))
    images = [_field(title, pictures) for pictures in fields.values()] + cubes
    return [replace(image, grid=_raster(title, image)) for image in images]


def _raster(view: str, image: ReadImage) -> Grid | None:
    """Samples of a view in its raster of 4096; images of one view and one width of the field saw one field."""
    rows, columns = image.shape[-2:]
    step = image.spacing_um.get("x")
    if step is None:
        return None
    steps = (_RASTER / columns, _RASTER / rows)
    return Grid(f"{view}, {step * columns:.9g} um wide", ((steps[0] - 1) / 2, (steps[1] - 1) / 2), steps)


def _field(title: str, pictures: Sequence[_Picture]) -> ReadImage:
    first, several = pictures[0], len(pictures) > 1
    stacked = np.stack([picture.samples for picture in pictures])
    return ReadImage(
        name=title if several else first.title,
        axes=("c", "z", "y", "x") if several else ("z", "y", "x"),
        array=stacked[:, np.newaxis] if several else stacked,
        spacing_um=first.spacing,
        spacing_source="ScanSize, Mag" if any(first.spacing.values()) else None,
        channels=tuple(Channel(picture.title) for picture in pictures) if several else (),
        facts=first.facts,
        header={"format": "JEOL Analysis Station", "files": {p.file: _shown(p.header) for p in pictures}},
        modality=_modality(first.facts),
        side_cars=tuple(picture.file for picture in pictures),
    )


def _modality(facts: Facts) -> str:
    """JEOL's scanning microscopes end at 40 kV; above, the picture is of a transmission microscope that scans."""
    voltage = facts.get("accelerating_voltage", {}).get("value")
    return "" if voltage is None else "stem" if voltage >= 60 else "sem"


def _picture(data: bytes, name: str) -> _Picture:
    if len(data) < 48:
        raise TruncatedFileError(f"{name} has {len(data)} bytes, less than its head")
    tree = parse_tree(data, struct.unpack_from("<I", data, 44)[0] + 12, name)
    size, bits = within(tree, "Image", "Size"), within(tree, "Image", "Bits")
    if not isinstance(size, np.ndarray) or not isinstance(bits, np.ndarray) or len(size) != 2 or min(size) < 1:
        raise MetadataError(f"{name} states no size of its picture, or holds none")
    width, height = (int(n) for n in size)
    if bits.size != width * height:
        raise TruncatedFileError(f"{name} states {width} x {height} samples and holds {bits.size}")
    facts = _facts(within(tree, "Instrument"), within(tree, "Image", "Created"))
    scan, magnification = within(tree, "Instrument", "ScanSize"), within(tree, "Instrument", "Mag")
    title = words(within(tree, "Image", "Title")) or name
    spacing = _spacing(scan, magnification, width, height)
    return _Picture(title, bits.reshape(height, width), spacing, facts, tree, name)


def _spacing(scan_mm: Any, magnification: Any, width: int, height: int) -> dict[str, float | None]:
    """Width of the field (scan over magnification, from millimetres) over its samples, on both axes."""
    scan, times = number(scan_mm), number(magnification)
    field = scan * 1000 / times if scan and times else 0
    return {"z": None, "y": usable(field / height), "x": usable(field / width)}


def _facts(instrument: Any, created: Any) -> Facts:
    facts: Facts = {}
    days = number(created)
    if days and 0 < days < 1e6:
        moment = (_EPOCH + timedelta(days=days)).replace(microsecond=0)
        facts["acquired_at"] = fact(moment.isoformat(), tag="Created", raw=f"{days} d since 1899-12-30")
    facts["manufacturer"] = fact("JEOL", source="derived")
    put_text(facts, "instrument", within(instrument, "Name"), tag="Instrument.Name")
    for name, key, unit in (
        ("accelerating_voltage", "AccV", "kV"),
        ("magnification", "Mag", "1"),
        ("working_distance", "WorkD", "mm"),
    ):
        put_positive(facts, name, within(instrument, key), unit, tag=f"Instrument.{key}")
    put(facts, "scan_rotation", within(instrument, "ScanR"), "deg", tag="Instrument.ScanR")
    return facts


class _PtsCube(EventCube):
    """Counts of a stream of 16-bit words: 8xxx a column, 9xxx a row, bxxx an X-ray; a lower row begins a frame."""

    def __init__(self, words_: Array, name: str, rows: int, columns: int, most_bytes: int) -> None:
        super().__init__(name, (_RASTER, rows, columns), "<u2", most_bytes)
        self._words = words_
        self.frames, self._end = self._whole_frames()
        events, starts = self._events()
        if len(events) <= _MOST_COUNTED:
            pixel = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            ordered = np.sort(pixel * _RASTER + events)
            changes = np.flatnonzero(np.diff(ordered, prepend=-1, append=-1))
            self._dtype = np.dtype("u1" if not len(events) or np.diff(changes).max() < 256 else "<u2")

    def _whole_frames(self) -> tuple[int, int]:
        """Number of frames that were scanned to the end, and the word where the last of them ends."""
        at = np.flatnonzero((self._words & 0xF000) == 0x9000)
        row = (self._words[at] & 0xFFF).astype(np.int64)
        begins = at[1:][row[1:] < row[:-1]]
        if not len(at):
            raise MetadataError(f"{self._name} has a stream without a row")
        complete = row[-1] >= _RASTER - _RASTER // self._shape[2]
        if complete or not len(begins):
            return len(begins) + 1, len(self._words)
        return len(begins), int(begins[-1])

    def _located(self) -> Iterator[tuple[Array, Array]]:
        column = row = 0
        rows, columns = self._shape[2], self._shape[3]
        for start in range(0, self._end, _RUN):
            run = self._words[start : min(start + _RUN, self._end)]
            kind, said = run & 0xF000, (run & 0xFFF).astype(np.int64)
            x, y = _last(kind == 0x8000, said, column), _last(kind == 0x9000, said, row)
            column, row = int(x[-1]), int(y[-1])
            place_x, place_y = x // (_RASTER // columns), y // (_RASTER // rows)
            counts = (kind == 0xB000) & (place_x < columns) & (place_y < rows)
            yield (place_y * columns + place_x)[counts], said[counts].astype(np.uint16)


def _last(marks: Array, said: Array, before: int) -> Array:
    """At each word the value of the last mark up to there."""
    at = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), -1))
    found: Array = np.where(at >= 0, said[np.maximum(at, 0)], before)
    return found


def _cube(data: bytes, name: str, limits: Limits) -> ReadImage:
    if len(data) < 304:
        raise TruncatedFileError(f"{name} has {len(data)} bytes, less than its head")
    head_at, _, data_at, data_bytes = struct.unpack_from("<4I", data, 20)
    if data_at + data_bytes > len(data):
        raise TruncatedFileError(f"{name} has {len(data)} bytes; its events end at {data_at + data_bytes}")
    tree = parse_tree(data, head_at + 12, name)
    measured = within(tree, "PTTD Data", "AnalyzableMap MeasData")
    columns, rows = _pixels(within(measured, "Meas Cond", "Pixels"), name)
    stream = np.frombuffer(data[data_at : data_at + data_bytes // 2 * 2], "<u2")
    limits.check_samples((_RASTER, rows, columns), 1, max(len(data), _RASTER * rows * columns), name)
    array = _PtsCube(stream, name, rows, columns, limits.max_segment_bytes)
    microscope = within(tree, "PTTD Param", "Params", "PARAMPAGE0_SEM")
    facts = _facts(microscope, struct.unpack_from("<d", data, 296)[0])
    put_positive(facts, "accelerating_voltage", within(measured, "MeasCond", "AccKV"), "kV", tag="MeasCond.AccKV")
    put_positive(facts, "magnification", within(measured, "MeasCond", "Mag"), "1", tag="MeasCond.Mag")
    put_positive(facts, "live_time", within(measured, "Doc", "LiveTime"), "s", tag="Doc.LiveTime")
    facts["frames"] = fact(array.frames, "1", "derived")
    spacing = _spacing(within(microscope, "ScanSize"), within(measured, "MeasCond", "Mag"), columns, rows)
    return ReadImage(
        name="EDS",
        axes=("e", "z", "y", "x"),
        array=array,
        spacing_um=spacing,
        spacing_source="ScanSize, Mag" if any(spacing.values()) else None,
        kind="spectrum",
        signal=(_energy(tree, measured, name),),
        facts=facts,
        header={"format": "JEOL Analysis Station", "files": {name: _shown(tree)}},
        modality="eds",
        side_cars=(name,),
    )


def _pixels(said: Any, name: str) -> tuple[int, int]:
    """Columns and rows from ``512x512``; the raster of 4096 is divided among them."""
    parts = [number(part) for part in words(said).lower().split("x")]
    if len(parts) != 2 or any(part is None or not 1 <= part <= _RASTER for part in parts):
        raise MetadataError(f"{name} states its field as {words(said)!r}; columns and rows are wanted, as 512x512")
    return int(parts[0] or 0), int(parts[1] or 0)


def _energy(tree: Tree, measured: Any, name: str) -> SignalAxis:
    """Energy in keV: channel times CoefA plus CoefB, counted from the zero of the pulse processor's template."""
    step, offset = number(within(measured, "Doc", "CoefA")), number(within(measured, "Doc", "CoefB"))
    template = words(within(measured, "Meas Cond", "Tpl"))
    zero = number(within(tree, "PTTD Param", "Params", "PARAMPAGE1_EDXRF", "Tpl", template, "DigZ"))
    if step is None or offset is None or zero is None or not 0 < step < 10 or not math.isfinite(offset):
        raise MetadataError(f"{name} states no energy of its channels: CoefA {step}, CoefB {offset}, DigZ {zero}")
    return SignalAxis("energy", _RASTER, float(f"{offset - step * zero:.9g}"), float(f"{step:.9g}"), "keV")


def _shown(tree: Any) -> Any:
    """The tree as JSON values, samples and palettes by their length."""
    if isinstance(tree, dict):
        return {key: _shown(item) for key, item in tree.items()}
    if isinstance(tree, np.ndarray) and tree.size > _LONGEST_SHOWN:
        return f"{tree.size} values"
    return json_value(tree)
