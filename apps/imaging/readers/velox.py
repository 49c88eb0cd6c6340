"""Thermo Fisher Velox (``.emd``): images of detectors, and the spectrum images and spectra of EDS.

An HDF5 file of datasets with a JSON header each (a column of bytes a frame).  Lengths are metres, angles radians,
voltages volts, dates seconds since 1970.  Images of one field on one grid are channels of one image, repeated scans its
times; the events of all EDS detectors of a field are counted in one cube, over all frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from analyses.sdk.values import Channel, SignalAxis
from apps.imaging.readers.base import Grid, Limits, ReadImage, fact
from apps.imaging.readers.errors import MetadataError, TooLargeError, UnsupportedFormatError
from apps.imaging.readers.hdf5 import Hdf5Array, Hdf5File, claim, guarded
from apps.imaging.readers.moved import Stack
from apps.imaging.readers.quantities import (
    Facts,
    jsonable,
    length_um,
    number,
    put,
    put_degrees,
    put_positive,
    put_text,
    unix_moment,
    whole,
    words,
)
from apps.imaging.readers.tiff_header import text
from apps.imaging.readers.velox_stream import VeloxCube

_SOURCE = "BinaryResult.PixelSize"
_MAX_SCAN = 1 << 20


class VeloxReader:
    """Reader of Velox files."""

    format = "Velox"

    def claims(self, path: Path, head: bytes) -> int:
        """HDF5 with a Velox version and a group Data."""
        return claim(path, head, "velox")

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """All images and spectra of the file.

        Raises
        ------
        ReaderError
            Broken, unsafe, too large, or without an image.
        """
        source = Hdf5File(path, name, limits)
        with guarded(name):
            return _Velox(source, path).images()


@dataclass(frozen=True)
class _Item:
    """One dataset of a file with its header."""

    id: str
    group: Any
    data: Any
    header: Mapping[str, Any]


class _Velox:
    def __init__(self, source: Hdf5File, path: Path) -> None:
        self.source, self.stem = source, Path(source.name).stem
        version = _json(source.small(source.dataset("Version")))
        if words(version.get("format")) != "Velox":
            raise UnsupportedFormatError(
                f"{source.name} is an EMD file of {words(version.get('format')) or 'no stated program'}; Velox is read"
            )
        self.labels = self._display_labels()
        self.software = words(_json(source.small(source.dataset("Info"))).get("applicationVersion"))
        self.left_out: list[str] = []

    def images(self) -> list[ReadImage]:
        found = self._fields() + self._cubes() + self._spectra()
        if not found:
            why = f": {', '.join(self.left_out)}" if self.left_out else ""
            raise UnsupportedFormatError(f"{self.source.name} has no image or spectrum that can be read{why}")
        if len(found) > self.source.limits.max_images:
            raise TooLargeError(f"{self.source.name} has {len(found)} images; at most {self.source.limits.max_images}")
        return found

    def _items(self, kind: str) -> list[_Item]:
        parent = self.source.group(f"Data/{kind}")
        found = []
        for key in parent or ():
            group = self.source.group(key, parent)
            data = None if group is None else self.source.dataset("Data", group)
            if data is not None:
                found.append(_Item(key, group, data, self._header(group)))
        return found

    def _header(self, group: Any) -> dict[str, Any]:
        """The JSON text of the first frame: one byte a row, closed by NUL."""
        block = self.source.dataset("Metadata", group)
        if block is None or block.dtype != np.uint8 or block.ndim not in (1, 2) or not block.size:
            return {}
        if block.shape[0] > self.source.limits.max_header_bytes:
            raise TooLargeError(f"{self.source.name} has a header of {block.shape[0]} bytes")
        column = block[:, 0] if block.ndim == 2 else block[:]
        return _json(column.tobytes().split(b"\0")[0])

    def _display_labels(self) -> dict[str, str]:
        """What Velox calls the image in a dataset, by the id of the dataset."""
        found = {}
        displays = self.source.group("Presentation/Displays/ImageDisplay")
        for key in list(displays or ())[: self.source.limits.max_images]:
            said = _json(self.source.small(self.source.dataset(key, displays)))
            at, label = words(said.get("dataPath")), words(_within(said, "display", "label"))
            if at and label:
                found[at.rsplit("/", 1)[-1]] = text(unquote(label))
        return found

    def _label(self, item: _Item) -> str:
        return self.labels.get(item.id) or words(_within(item.header, "BinaryResult", "Detector")) or "image"

    def _fields(self) -> list[ReadImage]:
        """Images; those of one grid, field and number of frames are channels of one."""
        fields: dict[Any, list[_Item]] = {}
        for item in self._items("Image"):
            if item.data.ndim not in (2, 3) or item.data.dtype.kind not in "biuf":
                self.left_out.append(f"{self._label(item)} of type {item.data.dtype}")
                continue
            fields.setdefault(self._grid(item), []).append(item)
        return [self._field(items) for items in fields.values()]

    def _grid(self, item: _Item) -> Any:
        area = _within(item.header, "Scan", "ScanArea")
        place = json.dumps([area, _within(item.header, "BinaryResult", "PixelSize"), item.header.get("Scan") is None])
        return item.data.shape, item.data.dtype, place

    def _field(self, items: list[_Item]) -> ReadImage:
        shape = items[0].data.shape
        moving = len(shape) == 3 and shape[2] > 1
        still = ((), (0,), (1,)) if len(shape) == 2 else ((2,), (0,), (1,))
        order = ((2,), (), (0,), (1,)) if moving else still
        parts = [Hdf5Array(self.source, item.data, order) for item in items]
        array: Any = parts[0] if len(parts) == 1 else Stack(parts, int(moving))
        labels = [self._label(item) for item in items]
        detectors = [words(_within(item.header, "BinaryResult", "Detector")) or None for item in items]
        channels = tuple(Channel(label, detector) for label, detector in zip(labels, detectors, strict=True))
        return ReadImage(
            name=labels[0] if len(items) == 1 else self.stem,
            axes=("t",) * moving + ("c",) * (len(parts) > 1) + ("z", "y", "x"),
            array=array,
            channels=channels if len(items) > 1 else (),
            modality=_modality(items[0].header),
            **self._described(items[0]),
        )

    def _described(self, item: _Item, kind: str = "Image") -> dict[str, Any]:
        facts = _facts(item.header, self.software)
        size, units = _within(item.header, "BinaryResult", "PixelSize"), _units(item.header)
        spacing = {"z": None} | {
            axis: length_um(_within(size, side), units[axis]) for axis, side in (("y", "height"), ("x", "width"))
        }
        frames = item.data.shape[-1] if kind == "Image" and item.data.ndim == 3 else 0
        interval = number(_within(item.header, "Scan", "FrameTime"))
        if frames > 1 and interval and interval > 0:
            facts["frame_interval"] = fact(interval, "s", tag="Scan.FrameTime")
        header = {"format": "Velox", "dataset": f"Data/{kind}/{text(item.id)}", "metadata": jsonable(item.header)}
        header |= {"left_out": self.left_out} if self.left_out else {}
        named = _SOURCE if any(spacing.values()) else None
        grid = _raster(item.header, size)
        return {"grid": grid, "spacing_um": spacing, "spacing_source": named, "facts": facts, "header": header}

    def _cubes(self) -> list[ReadImage]:
        """Spectrum images: the streams of all detectors of one field are counted together."""
        fields: dict[Any, list[_Item]] = {}
        for item in self._items("SpectrumStream"):
            if item.data.dtype != np.uint16:
                self.left_out.append(f"a stream of type {item.data.dtype}")
                continue
            settings = _json(self.source.small(self.source.dataset("AcquisitionSettings", item.group)))
            channels = whole(settings.get("bincount"))
            encoding = words(settings.get("StreamEncoding")) or "uint16"
            if channels is None or not 0 < channels < 65535 or encoding != "uint16":
                raise MetadataError(f"{self.source.name} has a stream of {channels} channels coded as {encoding}")
            fields.setdefault((channels, *_field_size(item.header, settings), _energy(item.header)), []).append(item)
        return [self._cube(key, items) for key, items in fields.items()]

    def _cube(self, key: Any, items: list[_Item]) -> ReadImage:
        channels, rows, columns, (offset, step) = key
        limits = self.source.limits
        limits.check_samples((channels, rows, columns), 1, max(self.source.size, channels * rows * columns), "its cube")
        array = VeloxCube(self.source, [item.data for item in items], (channels, rows, columns))
        described = self._described(items[0], "SpectrumStream")
        described["facts"] |= _detector_facts(items[0].header)
        described["facts"]["frames"] = fact(array.frames(), "1", "derived")
        return ReadImage(
            name="EDS",
            axes=("e", "z", "y", "x"),
            array=array,
            kind="spectrum",
            signal=(SignalAxis("energy", channels, offset, step, "keV"),),
            modality="eds",
            **described,
        )

    def _spectra(self) -> list[ReadImage]:
        """Spectra of a point or of a whole field, one a column."""
        found = []
        for item in self._items("Spectrum"):
            if item.data.ndim not in (1, 2) or item.data.dtype.kind not in "iuf":
                self.left_out.append(f"a spectrum of type {item.data.dtype}")
                continue
            offset, step = _energy(item.header)
            several = item.data.ndim == 2 and item.data.shape[1] > 1
            order = ((0,), (), (), (1,)) if item.data.ndim == 2 else ((0,), (), (), ())
            array = Hdf5Array(self.source, item.data, ((1,), (0,), (), (), ()) if several else order)
            described = self._described(item, "Spectrum") | {
                "spacing_um": dict.fromkeys("zyx"),
                "spacing_source": None,
                "grid": None,
            }
            described["facts"] |= _detector_facts(item.header)
            found.append(
                ReadImage(
                    name=self.labels.get(item.id, "EDS spectrum"),
                    axes=("t",) * several + ("e", "z", "y", "x"),
                    array=array,
                    kind="spectrum",
                    signal=(SignalAxis("energy", item.data.shape[0], offset, step, "keV"),),
                    modality="eds",
                    **described,
                )
            )
        return found


def _json(value: Any) -> dict[str, Any]:
    """A JSON object; what is none is empty."""
    said = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    try:
        found = json.loads(said) if isinstance(said, str) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _within(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _units(header: Mapping[str, Any]) -> dict[str, str]:
    result = header.get("BinaryResult")
    return {axis: words(_within(result, f"PixelUnit{axis.upper()}")) or "m" for axis in ("y", "x")}


def _modality(header: Mapping[str, Any]) -> str:
    return "stem" if isinstance(header.get("Scan"), Mapping) and _within(header, "Scan", "ScanSize") else "tem"


def _field_size(header: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns that were scanned: the part of the raster that the scan area is.

    The raster of the settings is that of the whole frame, of which an analysis mostly takes a part.
    """
    area, found = _within(header, "Scan", "ScanArea"), []
    for side, upper, low, high in (("height", "Height", "top", "bottom"), ("width", "Width", "left", "right")):
        whole_frame = whole(_within(header, "Scan", "ScanSize", side)) or whole(
            _within(settings, "RasterScanDefinition", upper)
        )
        begin, end = number(_within(area, low)), number(_within(area, high))
        if whole_frame is None or not 0 < whole_frame <= _MAX_SCAN:
            raise MetadataError(f"a spectrum image states a scan of {whole_frame} pixels in {side}")
        share = 1.0 if begin is None or end is None else end - begin
        if not 0 < share <= 1 or (pixels := round(share * whole_frame)) < 1:
            raise MetadataError(f"a spectrum image states the scan area {begin} to {end} of its {side}")
        found.append(pixels)
    return found[0], found[1]


def _raster(header: Mapping[str, Any], sample: Any) -> Grid | None:
    """Where a scan lies in the raster of its whole frame; scans that began together saw one field."""
    begun = words(_within(header, "Acquisition", "AcquisitionStartDatetime", "DateTime"))
    area, whole_frame = _within(header, "Scan", "ScanArea"), _within(header, "Scan", "ScanSize")
    origin, sizes = [], [words(_within(sample, side)) for side in ("width", "height")]
    for side, low in (("width", "left"), ("height", "top")):
        count, begin = whole(_within(whole_frame, side)), number(_within(area, low))
        if count is None or begin is None or not 0 < count <= _MAX_SCAN or not 0 <= begin < 1:
            return None
        origin.append(begin * count)
    if not begun or begun == "0":
        return None
    turn = words(_within(header, "Scan", "ScanRotation"))
    return Grid(f"scan of {begun}, {' x '.join(sizes)}, turned {turn}", (origin[0], origin[1]))


def _eds_detectors(header: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Headers of the detectors that the result was measured with: their names begin with its name."""
    name = words(_within(header, "BinaryResult", "Detector"))
    all_of = _within(header, "Detectors")
    listed = [d for d in (all_of.values() if isinstance(all_of, Mapping) else ()) if isinstance(d, Mapping)]
    mine = [d for d in listed if name and words(d.get("DetectorName")).startswith(name)]
    return mine or [d for d in listed if words(d.get("DetectorType")) == "AnalyticalDetector"]


def _energy(header: Mapping[str, Any]) -> tuple[float, float]:
    """Energy of the first channel and width of a channel, in keV; the file has eV."""
    for detector in _eds_detectors(header):
        step, offset = number(detector.get("Dispersion")), number(detector.get("OffsetEnergy"))
        if step is not None and step > 0 and offset is not None:
            return offset / 1000, step / 1000
    raise MetadataError("a spectrum has no energy axis: its detectors state no dispersion and offset")


def _detector_facts(header: Mapping[str, Any]) -> Facts:
    """Facts of EDS detectors: angles only where all of them have the same."""
    facts: Facts = {}
    detectors = _eds_detectors(header)
    for name, tag in (("elevation_angle", "ElevationAngle"), ("azimuth_angle", "AzimuthAngle")):
        if len({words(detector.get(tag)) for detector in detectors}) == 1:
            put_degrees(facts, name, detectors[0].get(tag), tag=f"Detectors.{tag}")
    names = [words(detector.get("DetectorName")) for detector in detectors]
    if names:
        facts["eds_detectors"] = fact(", ".join(names), tag="Detectors.DetectorName")
    return facts


def _facts(header: Mapping[str, Any], software: str) -> Facts:
    facts: Facts = {}
    begun = _within(header, "Acquisition", "AcquisitionStartDatetime", "DateTime")
    if moment := unix_moment(begun):
        facts["acquired_at"] = fact(moment, tag="Acquisition.AcquisitionStartDatetime", raw=f"{words(begun)} s")
    for name, path in (
        ("instrument", "Instrument.InstrumentClass"),
        ("manufacturer", "Instrument.Manufacturer"),
        ("instrument_serial", "Instrument.InstrumentId"),
        ("detector", "BinaryResult.Detector"),
        ("sample", "Sample.SampleId"),
        ("mode", "Optics.IlluminationMode"),
    ):
        put_text(facts, name, _within(header, *path.split(".")), tag=path)
    if software:
        facts["software"] = fact(f"Velox {software}", tag="Info.applicationVersion")
    for name, path, unit, power, raw in (
        ("accelerating_voltage", "Optics.AccelerationVoltage", "kV", -3, "V"),
        ("beam_current", "Optics.LastMeasuredScreenCurrent", "nA", 9, "A"),
        ("camera_length", "Optics.CameraLength", "mm", 3, "m"),
        ("magnification", "CustomProperties.StemMagnification.value", "1", 0, ""),
        ("full_scan_width", "Optics.FullScanFieldOfView.x", "um", 6, "m"),
        ("full_scan_height", "Optics.FullScanFieldOfView.y", "um", 6, "m"),
        ("dwell_time", "Scan.DwellTime", "us", 6, "s"),
    ):
        put_positive(facts, name, _within(header, *path.split(".")), unit, tag=path, power=power, raw_unit=raw)
    for axis in "xyz":
        tag = f"Stage.Position.{axis}"
        put(facts, f"stage_{axis}", _within(header, *tag.split(".")), "um", tag=tag, power=6, raw_unit="m")
    put_degrees(facts, "stage_tilt", _within(header, "Stage", "AlphaTilt"), tag="Stage.AlphaTilt")
    put_degrees(facts, "stage_tilt_beta", _within(header, "Stage", "BetaTilt"), tag="Stage.BetaTilt")
    put_degrees(facts, "scan_rotation", _within(header, "Scan", "ScanRotation"), tag="Scan.ScanRotation")
    return facts
