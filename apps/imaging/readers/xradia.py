"""ZEISS Xradia X-ray microscopes: projections (``.txrm``), single images (``.xrm``), reconstructions (``.txm``).

A projection is a view through the whole specimen at one angle: projections are frames that follow each other along t,
never planes of a volume.  They have a distance of pixels in y and x, and none along z.  Only a reconstruction has its
slices along z, at the distance of its pixels.  A file is a reconstruction if it is called ``.txm`` or holds settings of
one, and its slices have no angles of their own.

Energies come in ten slots an image, of which the first is used.  Dates are month/day/year, without a zone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from apps.imaging.readers.base import Array, Box, Limits, ReadImage, fact, stored_dtype
from apps.imaging.readers.errors import MetadataError, TooLargeError, TruncatedFileError, UnsupportedFormatError
from apps.imaging.readers.quantities import Facts, length_power, number, put, put_text, shifted
from apps.imaging.readers.tiff_spacing import usable
from apps.imaging.readers.xradia_streams import MAGIC, OleStreams

_TYPES = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 8: "i8", 9: "u8", 10: "f4", 11: "f8"}
_PER_FOLDER = 100
_SLOTS = 10
_LEAST_EV = 100.0  # smaller numbers in the stream of energies are kilovolts of a tube, or nothing
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\s+(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?")
_STAGE = {"x": "stage_x", "y": "stage_y", "z": "stage_z"}
_SAME_ANGLE = 1e-3
_INFO = "ImageInfo"


class XradiaReader:
    """Reader of Xradia projections, images and reconstructed volumes."""

    format = "Xradia"

    def claims(self, path: Path, head: bytes) -> int:
        """An OLE container is a sign; whether it is one of Xradia shows in its directory, which reading looks at."""
        return 50 if path.is_file() and head.startswith(MAGIC) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The one image of the file: projections, a single image, or a volume.

        Raises
        ------
        ReaderError
            Truncated, too large for ``limits``, contradictory, of another use of the container, or of a sample type
            that cannot be stored.
        """
        streams = OleStreams(path, name, limits)
        if f"{_INFO}/ImageWidth" not in streams.sizes:
            raise UnsupportedFormatError(f"{name} is an OLE file without images of an Xradia microscope")
        return [_Scan(streams, name, limits).image()]


class _Scan:
    """The images of one file."""

    def __init__(self, streams: OleStreams, name: str, limits: Limits) -> None:
        self.streams, self.name = streams, name
        self.height, self.width = self._size("ImageHeight"), self._size("ImageWidth")
        code = streams.whole(f"{_INFO}/DataType")
        self.stored = self._type(code)
        self.count = self._count(limits)
        self.tiles = self._tiles()
        limits.check_samples(
            (self.count, self.height, self.width), self.stored.itemsize * math.prod(self.tiles), streams.size, name
        )
        self.angles = self._by_image("Angles")
        self.mode = self._mode()

    def image(self) -> ReadImage:
        axes = ("t", "z", "y", "x") if self.count > 1 and self.mode != "reconstruction" else ("z", "y", "x")
        array = _Frames(self.streams, self, axes)
        size = usable(self.streams.real(f"{_INFO}/PixelSize"))
        depth = size if self.mode == "reconstruction" else None
        return ReadImage(
            name=f"{Path(self.name).stem} {self.mode}" if self.mode == "projections" else Path(self.name).stem,
            axes=axes,
            array=array,
            spacing_um={"z": depth, "y": size, "x": size},
            spacing_source="Xradia ImageInfo/PixelSize" if size else None,
            facts=self._facts(),
            header={"format": "Xradia", "streams": self.streams.header()},
            modality="nano_xrm" if self._has_zone_plate() else "xrm",
        )

    # ------------------------------------------------------------------------------------------------------- layout
    def _size(self, key: str) -> int:
        found = self.streams.whole(f"{_INFO}/{key}")
        if found is None or not 0 < found < 1 << 20:
            raise MetadataError(f"{self.name} has {key} {found}; it must be at least 1")
        return found

    def _type(self, code: int | None) -> np.dtype[Any]:
        if code in _TYPES:
            return np.dtype(_TYPES[code]).newbyteorder("<")
        if code is not None:
            raise UnsupportedFormatError(
                f"{self.name} has samples of type {code}; {sorted(_TYPES)} are read", code=code
            )
        each = self.streams.sizes.get(image_key(1), 0) // (self.height * self.width)
        if each not in (2, 4):
            raise MetadataError(f"{self.name} does not say the type of its samples")
        return np.dtype("<u2" if each == 2 else "<f4")

    def _count(self, limits: Limits) -> int:
        """Images that were taken; a scan that was stopped has fewer than were planned."""
        planned = self.streams.whole(f"{_INFO}/NoOfImages")
        taken = self.streams.whole(f"{_INFO}/ImagesTaken")
        count = taken if taken is not None else planned
        if count is None or count < 1:
            raise MetadataError(f"{self.name} has {count} images; at least one is needed")
        if count > limits.max_pages:
            raise TooLargeError(f"{self.name} announces {count} images; at most {limits.max_pages} are read")
        missing = [n for n in range(1, count + 1) if image_key(n) not in self.streams.sizes]
        if missing:
            raise TruncatedFileError(f"{self.name} states {count} images and lacks {len(missing)}", stated=count)
        return count

    def _tiles(self) -> tuple[int, int]:
        """Tiles of a mosaic down and across where the size of the image is that of one tile, else 1 and 1."""
        one = self.height * self.width * self.stored.itemsize
        rows, columns = (self.streams.whole(f"{_INFO}/Mosiac{side}") or 1 for side in ("Rows", "Columns"))
        mosaic = rows > 0 < columns and self.streams.sizes[image_key(1)] == one * rows * columns
        tiles = (rows, columns) if mosaic else (1, 1)
        for image_number in range(1, self.count + 1):
            if self.streams.sizes[image_key(image_number)] != one * math.prod(tiles):
                raise TruncatedFileError(
                    f"{self.name}: image {image_number} has {self.streams.sizes[image_key(image_number)]} bytes; "
                    f"{self.height} x {self.width} of {self.stored.name} need {one}",
                    needed=one,
                )
        return tiles

    def _mode(self) -> str:
        """What the images are: an image, projections, a reconstruction, tiles, or a series."""
        known = [angle for angle in self.angles if angle is not None]
        turned = len(known) > 1 and max(known) - min(known) > _SAME_ANGLE
        settings = any(key.startswith("ReconSettings/") for key in self.streams.sizes)
        ending = Path(self.name).suffix.lower()
        named = ending == ".txm" and (settings or not turned)
        if named or (settings and not turned and ending not in (".txrm", ".xrm")):
            return "reconstruction"
        if self.count == 1:
            return "image"
        if turned:
            return "projections"
        return "mosaic tiles" if self.streams.whole(f"{_INFO}/MosiacMode") else "series"

    # -------------------------------------------------------------------------------------------------------- facts
    def _by_image(self, key: str, slots: int = 1) -> list[float | None]:
        """A number an image; some streams keep ten slots an image and use the first."""
        found = self.streams.values(f"{_INFO}/{key}", "f4")
        step = slots if len(found) > (self.count - 1) * slots and len(found) > self.count else 1
        values = found[::step][: self.count]
        return [number(float(value)) for value in values] if len(values) == self.count else []

    def _facts(self) -> Facts:
        facts: Facts = {"mode": fact(self.mode, source="derived")}
        if self.angles and self.mode != "reconstruction":
            facts["angles"] = fact(self.angles, "deg", tag=f"{_INFO}/Angles")
            put(facts, "stage_rotation", self.angles[0], "deg", tag=f"{_INFO}/Angles")
        self._add_dates(facts)
        self._add_energy(facts)
        self._add_stage(facts)
        exposures = [value if value and value > 0 else None for value in self._by_image("ExpTimes")]
        _put_series(facts, "exposure_time", exposures, "s", f"{_INFO}/ExpTimes")
        put_text(facts, "detector", self.streams.words(f"{_INFO}/CameraName"), tag=f"{_INFO}/CameraName")
        put_text(facts, "objective", self.streams.words(f"{_INFO}/ObjectiveName"), tag=f"{_INFO}/ObjectiveName")
        put_text(facts, "operator", self.streams.words("SampleInfo/Analyst"), tag="SampleInfo/Analyst")
        put_text(facts, "sample", self.streams.words("SampleInfo/SampleID"), tag="SampleInfo/SampleID")
        machine = "ConfigureBackup/XRMConfiguration/MachineID"
        put_text(facts, "instrument", self.streams.words(machine), tag=machine)
        self._add_binning(facts)
        return facts

    def _add_dates(self, facts: Facts) -> None:
        raw = self.streams.read(f"{_INFO}/Date", 16 << 20).decode("latin-1")
        found = [(match[0], moment) for match in _DATE.finditer(raw) if (moment := us_moment(match))]
        if found:
            facts["acquired_at"] = fact(found[0][1], tag=f"{_INFO}/Date", raw=found[0][0])
        if len(found) == self.count > 1:
            facts["acquired_at_by_image"] = fact([moment for _, moment in found], tag=f"{_INFO}/Date")

    def _add_energy(self, facts: Facts) -> None:
        unit = self._axes().get("Energy", ("", 0.0))[0]
        power = {"eV": -3, "keV": 0}.get(unit)
        energies = self._by_image("Energy", _SLOTS)
        if power is None:
            energies = [value if value is not None and value >= _LEAST_EV else None for value in energies]
            power = -3
        used = [value if value and value > 0 else None for value in energies]
        if used and used[0] is not None:
            raw = f"{used[0]} {unit or 'eV'}"
            facts["photon_energy"] = fact(shifted(used[0], power), "keV", tag=f"{_INFO}/Energy", raw=raw)
        if len(set(used)) > 1 and None not in used:
            facts["photon_energies"] = fact([shifted(value, power) for value in used], "keV", tag=f"{_INFO}/Energy")

    def _add_stage(self, facts: Facts) -> None:
        axes = self._axes()
        for axis, name in _STAGE.items():
            positions = self._by_image(f"{axis.upper()}Position")
            unit = axes.get(f"Sample {axis.upper()}", ("um", 0.0))[0]
            power = length_power(unit)
            if not positions or positions[0] is None or power is None:
                continue
            tag = f"{_INFO}/{axis.upper()}Position"
            facts[name] = fact(shifted(positions[0], power), "um", tag=tag, raw=f"{positions[0]} {unit}")
            if self.count > 1:
                facts[f"{name}_by_image"] = fact([shifted(value, power) for value in positions], "um", tag=tag)

    def _axes(self) -> dict[str, tuple[str, float]]:
        """Unit and first position of each motor by its name; units are in Latin-1."""
        count = self.streams.whole("PositionInfo/TotalAxis") or 0
        if not 0 < count < 1000:
            return {}
        names = self.streams.cells("PositionInfo/AxisNames", count)
        units = self.streams.cells("PositionInfo/AxisUnits", count)
        positions = self.streams.values("PositionInfo/MotorPositions", "f4")
        if not len(names) == len(units) == count <= len(positions):
            return {}
        return {name: (unit, float(at)) for name, unit, at in zip(names, units, positions[:count], strict=True) if name}

    def _add_binning(self, facts: Facts) -> None:
        pair = [self.streams.whole(f"{_INFO}/{key}") for key in ("HorizontalBin", "VerticalalBin")]
        one = self.streams.whole(f"{_INFO}/CameraBinning")
        pair = pair if all(pair) else [one, one]
        if all(value and value > 0 for value in pair):
            facts["binning"] = fact(f"{pair[0]}x{pair[1]}", tag=f"{_INFO}/HorizontalBin")
        enlargement = next(iter(self._by_image("XrayMagnification")), None)
        if enlargement and enlargement > 0:
            facts["xray_magnification"] = fact(enlargement, "1", tag=f"{_INFO}/XrayMagnification")

    def _has_zone_plate(self) -> bool:
        """True if a zone plate enlarges the image: one is named, or the enlargement is that of one of them."""
        if self.streams.words(f"{_INFO}/ZonePlateName"):
            return True
        enlargement = next(iter(self._by_image("XrayMagnification")), None)
        plates = [key for key in self.streams.sizes if key.endswith("ConfigZonePlates/Magnification")]
        known = {float(value) for key in plates for value in self.streams.values(key, "f4")}
        return bool(enlargement and enlargement > 1 and enlargement in known)


class _Frames:
    """Images of a file as an array ``(t?, z, y, x)``; each is a stream of its own and is read when it is indexed."""

    def __init__(self, streams: OleStreams, scan: _Scan, axes: Sequence[str]) -> None:
        self._streams, self._scan, self.axes = streams, scan, tuple(axes)
        self._dtype = stored_dtype(scan.stored, scan.name)
        plane = (scan.height * scan.tiles[0], scan.width * scan.tiles[1])
        self._plane = plane
        self._shape = (scan.count, 1, *plane) if "t" in self.axes else (scan.count, *plane)

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
        result = np.empty(box.shape, self._dtype)
        if result.size:
            rows, columns = (slice(*bounds) for bounds in box.ranges[-2:])
            for at, image_number in enumerate(range(*box.ranges[0])):
                result[at] = self._frame(image_number + 1)[rows, columns]
        return box.drop(result)

    def _frame(self, image_number: int) -> Array:
        found = np.frombuffer(self._streams.read(image_key(image_number)), self._scan.stored)
        return found.reshape(self._plane)


def image_key(image_number: int) -> str:
    """Stream of an image, counted from 1: a hundred lie in one folder."""
    return f"ImageData{(image_number - 1) // _PER_FOLDER + 1}/Image{image_number}"


def us_moment(match: re.Match[str]) -> str | None:
    """Month/day/year and time as ISO 8601 text without a zone; two figures of a year are of this century."""
    month, day, year, hour, minute, second = (int(match[n]) for n in range(1, 7))
    micro = int((match[7] or "").ljust(6, "0")[:6])
    try:
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second, micro).isoformat()  # noqa: DTZ001
    except ValueError:
        return None


def _put_series(facts: Facts, name: str, values: Sequence[float | None], unit: str, tag: str) -> None:
    """A number that all images share, or the list of theirs."""
    known = [value for value in values if value is not None]
    if known and len(set(values)) == 1:
        put(facts, name, known[0], unit, tag=tag)
    elif known:
        facts[name] = fact(known[0], unit, tag=tag)
        facts[f"{name}_by_image"] = fact(list(values), unit, tag=tag)
