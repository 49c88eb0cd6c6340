"""ZEISS CZI: light microscopy and SEM; one image a scene, its tiles composed at full resolution.

Scenes, and phases, illuminations, rotations and views, are images of their own; channels, planes and times are axes of
one image.  Pixels with colours are channels red, green and blue.  Reduced copies are left out: the store makes its own.
Where a mosaic has no tile, samples are 0, and a fact says how much of the frame that is.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pylibCZIrw.czi import CziReader as NativeReader

from apps.imaging.readers.base import Array, Box, Grid, Limits, ReadImage, fact, stored_dtype
from apps.imaging.readers.czi_facts import CziMetadata, tile_facts
from apps.imaging.readers.czi_scan import MAGIC, PIXEL_TYPES, CziScan, Subblock, scan_czi
from apps.imaging.readers.errors import MetadataError, TooLargeError, UnsupportedFormatError
from apps.imaging.readers.quantities import Facts
from apps.imaging.readers.stored import PlainBytes

_NATIVE_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError, OverflowError, LookupError, OSError)
_GROUPS = ("S", "R", "I", "H", "V", "B")
_WORDS = {"R": "rotation", "I": "illumination", "H": "phase", "V": "view", "B": "block"}
_MAX_TILE_XML = 1 << 20
_COVER_CELLS = 1 << 22
_SCENE_UM = 2.0  # standard error of where a scene lies among the others; the file states none
Place = tuple[int | None, ...]


class CziReader:
    """Reader of CZI files."""

    format = "CZI"

    def claims(self, path: Path, head: bytes) -> int:
        """The name of the first segment is a sure sign."""
        return 60 if path.is_file() and head.startswith(MAGIC) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """All scenes of the file.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, one of several files, or of pixels that are not read.
        """
        scan = scan_czi(path, name, limits)
        metadata = CziMetadata(scan.xml, name)
        groups: dict[Place, list[Subblock]] = {}
        for block in scan.subblocks:
            groups.setdefault(tuple(block.at(letter) for letter in _GROUPS), []).append(block)
        _check_groups(groups, name, limits)
        source = _Source(path, name)
        places = sorted(groups, key=lambda place: [-1 if n is None else n for n in place])
        scenes = [_Scene(source, metadata, groups[place], place, limits) for place in places]
        images = [scene.image(scan, number, len(scenes)) for number, scene in enumerate(scenes)]
        limits.check_ratio(
            sum(int(np.prod(i.shape, dtype=object)) * i.dtype.itemsize for i in images), source.size, name
        )
        return images


def _check_groups(groups: Mapping[Place, Sequence[Subblock]], name: str, limits: Limits) -> None:
    if len(groups) > limits.max_images:
        raise TooLargeError(f"{name} has {len(groups)} scenes; at most {limits.max_images} are read")
    if len({place[0] is None for place in groups}) > 1:
        raise MetadataError(f"{name} has sub-blocks of scenes and others of none")
    for blocks in groups.values():
        for block in blocks:
            _, code, samples = PIXEL_TYPES[block.pixel_type]
            decoded = block.width * block.height * samples * int(code[1])
            if block.compression and decoded > limits.max_segment_bytes:
                raise TooLargeError(
                    f"{name} has a tile of {decoded} bytes; at most {limits.max_segment_bytes} are decoded at once"
                )


class _Source:
    """The open file, shared by the arrays of its scenes; the library is asked by one thread at a time."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name, self.size = path, name, path.stat().st_size
        self._lock = threading.Lock()
        try:
            self._native = NativeReader(str(path))
        except _NATIVE_ERRORS as error:
            raise MetadataError(f"{name} is not a readable CZI: {error}"[:500]) from error
        weakref.finalize(self, self._native.close)

    def read(self, roi: tuple[int, int, int, int], plane: dict[str, int], scene: int | None, pixel_type: str) -> Array:
        """Samples (y, x, sample) of one plane."""
        try:
            with self._lock:
                found = self._native.read(roi=roi, plane=plane, scene=scene, pixel_type=pixel_type)
                return np.array(found)
        except _NATIVE_ERRORS as error:
            raise MetadataError(f"{self.name}: plane {plane} does not decode: {error}"[:500]) from error


class _Scene:
    """The tiles of one scene as an image."""

    def __init__(
        self, source: _Source, metadata: CziMetadata, blocks: Sequence[Subblock], place: Place, limits: Limits
    ) -> None:
        self.source, self.metadata, self.blocks, self.place = source, metadata, blocks, place
        self.x, self.y = min(b.x for b in blocks), min(b.y for b in blocks)
        self.width = max(b.x + b.width for b in blocks) - self.x
        self.height = max(b.y + b.height for b in blocks) - self.y
        self.indices = {letter: sorted({b.at(letter) or 0 for b in blocks}) for letter in "TCZ"}
        self.types = {c: self._type(c) for c in self.indices["C"]}
        self.dtype = reduce(np.promote_types, (np.dtype(PIXEL_TYPES[t][1]) for t in self.types.values()))
        self.samples = [PIXEL_TYPES[self.types[c]][2] for c in self.indices["C"]]
        limits.check_samples(
            (len(self.indices["T"]), sum(self.samples), len(self.indices["Z"]), self.height, self.width),
            self.dtype.itemsize,
            source.size,
            source.name,
        )

    def _type(self, channel: int) -> int:
        types = {b.pixel_type for b in self.blocks if (b.at("C") or 0) == channel}
        if len(types) > 1:
            raise UnsupportedFormatError(
                f"{self.source.name} has tiles of several pixel types in channel {channel}: "
                f"{', '.join(sorted(PIXEL_TYPES[t][0] for t in types))}"
            )
        return types.pop()

    def image(self, scan: CziScan, number: int, total: int) -> ReadImage:
        array = _Planes(self)
        spacing = self.metadata.spacing_um()
        if len(self.indices["Z"]) == 1:
            spacing["z"] = None  # ZEN writes a distance for a single plane too, which is none
        channels = self.metadata.channels(self.indices["C"], self.samples)
        return ReadImage(
            name=self._name(total),
            axes=array.axes,
            array=array,
            spacing_um=spacing,
            spacing_source="CZI Scaling Distance" if any(spacing.values()) else None,
            channels=channels,
            facts=self._facts(),
            header=self._header(scan, number),
            modality=self.metadata.modality,
            # all scenes count their tiles in one plane; the stage comes back to within a few micrometres at best
            grid=None if total == 1 else Grid("scenes", (float(self.x), float(self.y)), u_um=_SCENE_UM),
        )

    def _name(self, total: int) -> str:
        stem = Path(self.source.name).stem
        if total == 1:
            return stem
        scene = self.metadata.scene_name(self.place[0]) or (
            f"scene {self.place[0]}" if self.place[0] is not None else ""
        )
        others = [f"{_WORDS[letter]} {at}" for letter, at in zip(_GROUPS[1:], self.place[1:], strict=True) if at]
        return " ".join(filter(None, [stem, scene, *others]))

    def _facts(self) -> Facts:
        facts = self.metadata.facts(self.indices["C"])
        scene = self.metadata.scene_facts(self.place[0])
        if self._tiles() == 1 and "stage_x" not in facts | scene and not self.metadata.is_cut_out:
            facts |= self._tile_facts()
        facts |= scene
        if self.place[0] is not None:
            facts["scene_index"] = fact(self.place[0], tag="S")
        facts["pixel_type"] = fact(sorted({PIXEL_TYPES[t][0] for t in self.types.values()}), tag="PixelType")
        if self._tiles() > 1:
            facts["tiles"] = fact(self._tiles(), source="derived")
        planes = len({(b.at("T"), b.at("C"), b.at("Z")) for b in self.blocks})
        missing = int(np.prod([len(found) for found in self.indices.values()])) - planes
        if missing:
            facts["planes_not_stored"] = fact(missing, source="derived")
        if uncovered := self._uncovered():
            facts["frame_without_tiles"] = fact(uncovered, "1", source="derived")
        return facts

    def _tiles(self) -> int:
        return len({(b.x, b.y, b.width, b.height) for b in self.blocks})

    def _tile_facts(self) -> Facts:
        offset, length = self.blocks[0].metadata
        if not 0 < length <= _MAX_TILE_XML:
            return {}
        xml = PlainBytes(self.source.path, self.source.name).read(offset, length).decode("utf-8", "replace")
        return tile_facts(xml, len(self.indices["Z"]))

    def _uncovered(self) -> float:
        """Part of the frame that no tile covers, from the lines along which tiles begin and end."""
        tiles = {(b.x, b.y, b.width, b.height) for b in self.blocks}
        xs = np.unique([edge for x, _, w, _ in tiles for edge in (x, x + w)])
        ys = np.unique([edge for _, y, _, h in tiles for edge in (y, y + h)])
        if len(xs) * len(ys) > _COVER_CELLS:
            return 0.0
        covered = np.zeros((len(ys) - 1, len(xs) - 1), bool)
        for x, y, w, h in tiles:
            columns, rows = np.searchsorted(xs, (x, x + w)), np.searchsorted(ys, (y, y + h))
            covered[rows[0] : rows[1], columns[0] : columns[1]] = True
        area = float((np.diff(ys)[:, None] * np.diff(xs)[None])[covered].sum())
        return 1 - area / (self.width * self.height)

    def _header(self, scan: CziScan, number: int) -> dict[str, Any]:
        header: dict[str, Any] = {
            "format": "CZI",
            "version": list(scan.version),
            "frame": {"x": self.x, "y": self.y, "width": self.width, "height": self.height},
            "place": {letter: at for letter, at in zip(_GROUPS, self.place, strict=True) if at is not None},
        }
        if number == 0:
            header |= {"compressions": dict(scan.compressions), "reduced_copies": scan.copies, "xml": scan.xml}
        return header


class _Planes:
    """A scene as an array ``(t?, c?, z, y, x)``; only the planes and the region that an index touches are decoded."""

    def __init__(self, scene: _Scene) -> None:
        self._scene = scene
        # One entry a channel of the image: number in the file, and which sample of a pixel (blue comes first there).
        self._channels = [
            (c, 2 - sample if count > 1 else 0)
            for c, count in zip(scene.indices["C"], scene.samples, strict=True)
            for sample in range(count)
        ]
        sizes = {
            "t": len(scene.indices["T"]),
            "c": len(self._channels),
            "z": len(scene.indices["Z"]),
            "y": scene.height,
            "x": scene.width,
        }
        self.axes = tuple(a for a, n in sizes.items() if n > 1 or a in "zyx")
        self._shape = tuple(sizes[a] for a in self.axes)
        self._dtype = stored_dtype(scene.dtype, scene.source.name)

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
        ranges = dict(zip(self.axes, box.ranges, strict=True))
        t, c, z, y, x = (ranges.get(axis, (0, 1)) for axis in "tczyx")
        result = np.empty([high - low for low, high in (t, c, z, y, x)], self._dtype)
        if result.size:
            roi = (self._scene.x + x[0], self._scene.y + y[0], x[1] - x[0], y[1] - y[0])
            for time, level in product(range(*t), range(*z)):
                self._fill(result[time - t[0], :, level - z[0]], time, level, c, roi)
        return box.drop(result.reshape(box.shape))

    def _fill(self, target: Array, time: int, level: int, c: tuple[int, int], roi: tuple[int, int, int, int]) -> None:
        """Channels of one plane; those that are samples of one pixel are decoded once."""
        scene, last, pixels = self._scene, None, None
        for at, (channel, sample) in enumerate(self._channels[c[0] : c[1]]):
            if pixels is None or channel != last:
                plane = {"T": scene.indices["T"][time], "C": channel, "Z": scene.indices["Z"][level]}
                plane |= {letter: n for letter, n in zip(_GROUPS[1:], scene.place[1:], strict=True) if n is not None}
                kind = PIXEL_TYPES[scene.types[channel]][0]
                pixels, last = scene.source.read(roi, plane, scene.place[0], kind), channel
            target[at] = pixels[..., sample]
