"""Bruker ``.bcf`` and Gatan ``.dm3``/``.dm4`` through rosettasciio, an optional extra.

rosettasciio is under the GPL: it is not shipped with this program.  This module is the one way to it, and runs it in a
process of its own (``rosetta_child``), which a damaged file may end without ending this one.  Where it is not
installed, its formats are refused by name.  Voltage, stage and date are taken from the vendor's own header, which it
keeps beside its own.
"""

from __future__ import annotations

import importlib.util
import json
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analyses.sdk.values import Channel
from apps.imaging.readers.base import Limits, ReadImage, fact, stored_dtype
from apps.imaging.readers.errors import (
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsupportedFormatError,
)
from apps.imaging.readers.forked import Forked
from apps.imaging.readers.hspy import Axis, arrange, signal_axes
from apps.imaging.readers.moved import MovedArray, Stack
from apps.imaging.readers.quantities import Facts, inverse_nm_factor, number, words
from apps.imaging.readers.rosetta_facts import Signal, bruker_facts, gatan_facts
from apps.imaging.readers.rosetta_grids import bruker_grids
from apps.imaging.readers.tiff_header import json_value

Array = npt.NDArray[Any]
_LIBRARY = "rsciio"
_CHILD = Forked(Path(__file__).with_name("rosetta_child.py"))
_ENDINGS = {"bruker": ".bcf"}
_SECONDS, _SECONDS_PER_MB = 20, 15
_BLOCKS_FROM = 0x118
_DIRECTIONS = {"height": "y", "width": "x", "depth": "z"}
# What a header without the values that this one needs leads to.
_ERRORS = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


def installed() -> bool:
    """True if the library is there."""
    return importlib.util.find_spec(_LIBRARY) is not None


def looks_like_gatan(path: Path, head: bytes) -> bool:
    """True for a version in the first bytes and a byte order in the place where that version has it."""
    place = {b"\0\0\0\3": 8, b"\0\0\0\4": 12}.get(head[:4])
    return place is not None and head[place : place + 4] in (b"\0\0\0\0", b"\0\0\0\1")


class BcfReader:
    """Reader of Bruker spectrum images and the images recorded with them."""

    format = "Bruker BCF"

    def claims(self, path: Path, head: bytes) -> int:
        """The mark of Bruker's container."""
        return 90 if path.is_file() and head.startswith(b"AAMVHFSS") else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """Images, those of one grid as channels, then the spectrum image.

        Raises
        ------
        ReaderError
            Broken, too large, or without the library that reads it.
        """
        _check_whole(path, name)
        signals, overviews = _signals("bruker", path, name, limits)
        return _images(signals, name, limits, self.format, bruker_facts, overviews)


class DigitalMicrographReader:
    """Reader of Gatan files."""

    format = "DigitalMicrograph"

    def claims(self, path: Path, head: bytes) -> int:
        """The version in the first bytes, and a byte order in the place that the version has it in."""
        return 80 if path.is_file() and looks_like_gatan(path, head) else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """All images, spectra and spectrum images.

        Raises
        ------
        ReaderError
            Broken, too large, or without the library that reads it.
        """
        signals, _ = _signals("digitalmicrograph", path, name, limits)
        return _images(signals, name, limits, self.format, gatan_facts)


def _check_whole(path: Path, name: str) -> None:
    """Refuse a Bruker container that is cut off: the library reads on with what is left.

    Blocks of equal size follow a head; their size and number stand in it.
    """
    with path.open("rb") as stream:
        head = stream.read(_BLOCKS_FROM + 64)
    size = path.stat().st_size
    if len(head) < _BLOCKS_FROM + 64:
        raise TruncatedFileError(f"{name} has {size} bytes, less than the head of its container", size=size)
    block, count = struct.unpack_from("<I", head, 0x128)[0], struct.unpack_from("<I", head, 0x148)[0]
    need = _BLOCKS_FROM + block * count
    if size < need:
        raise TruncatedFileError(f"{name} has {size} bytes; its container has {need}", size=size, needed=need)


class _Decoded(MovedArray):
    """Samples that the library decoded, in a file without a name."""

    def __init__(self, data: Array, order: Sequence[tuple[int, ...]], name: str) -> None:
        super().__init__(data.shape, order, stored_dtype(data.dtype, name))
        self._data = data

    def _part(self, key: tuple[slice, ...]) -> Array:
        return self._data[key]


def _signals(plugin: str, path: Path, name: str, limits: Limits) -> tuple[list[Signal], list[Any]]:
    """All that the library finds in a file, decoded, and Bruker's overviews; the files that hold it lose their name."""
    if not installed():
        raise UnsupportedFormatError(
            f"{name} is read by rosettasciio, which is not installed here; pip install corrspace[vendor] adds it",
            extra="vendor",
        )
    size = path.stat().st_size
    with tempfile.TemporaryDirectory(prefix="corr-rosetta-") as folder:
        _decode(plugin, path, name, Path(folder), max(limits.ratio_floor_bytes, limits.max_ratio * size))
        try:
            said = json.loads((Path(folder) / "signals.json").read_text())
        except (OSError, ValueError) as error:
            raise MetadataError(f"{name} cannot be decoded: what it holds ends the program that reads it") from error
        if "error" in said:
            raise MetadataError(f"{name} cannot be decoded: {said['error']}")
        for signal in said["signals"]:
            _check(signal, size, name, limits)
        signals = [s | {"data": np.load(Path(folder) / s["file"], mmap_mode="r")} for s in said["signals"]]
    return signals, said.get("overviews", [])


def _decode(plugin: str, path: Path, name: str, folder: Path, most: int) -> None:
    seconds = _SECONDS + _SECONDS_PER_MB * (path.stat().st_size >> 20)
    # the library goes by the ending of the name, which a file in the store does not have
    linked = folder / f"file{_ENDINGS.get(plugin) or Path(name).suffix.lower()}"
    linked.symlink_to(path.resolve())
    try:
        status = _CHILD.call(plugin, str(linked), str(folder), str(most), str(seconds), seconds=seconds)
    except OSError as error:
        raise ReaderError(f"{name} cannot be decoded: no process can be started: {error}") from error
    if status is None:
        raise MetadataError(f"{name} was not decoded within {seconds} s", seconds=seconds)


def _check(signal: Signal, size: int, name: str, limits: Limits) -> None:
    if signal["dtype"] == "structured" or (np.dtype(signal["dtype"]).kind not in "biuf"):
        raise UnsupportedFormatError(f"{name} has samples of type {signal['dtype']}; single real numbers are read")
    limits.check_samples(signal["shape"], np.dtype(signal["dtype"]).itemsize, size, name)
    if "file" not in signal:
        raise TooLargeError(f"{name} announces {signal['shape']} samples that have to be decoded at once; too many")


def _images(
    signals: Sequence[Signal],
    name: str,
    limits: Limits,
    form: str,
    facts: Callable[[Signal], Facts],
    overviews: Sequence[Any] = (),
) -> list[ReadImage]:
    if not signals:
        raise UnsupportedFormatError(f"{name} holds no image or spectrum")
    if len(signals) > limits.max_images:
        raise TooLargeError(f"{name} has {len(signals)} images; at most {limits.max_images} are read")
    try:
        found = [_image(signal, name, form, facts(signal)) for signal in signals]
        if form == "Bruker BCF":
            found = bruker_grids(found, overviews)
    except _ERRORS as error:
        raise MetadataError(f"{name} has a header that cannot be read: {type(error).__name__} {error}"[:400]) from error
    return _fields(found, Path(name).stem)


def _image(signal: Signal, name: str, form: str, facts: Facts) -> ReadImage:
    axes = [_axis(axis, at) for at, axis in enumerate(signal["axes"])]
    recorded = _signal_of(axes)
    layout = arrange(axes, recorded, name)
    spacing = {axis: layout[axis][0].spacing_um() if layout[axis] else None for axis in ("z", "y", "x")}
    metadata = signal["metadata"]
    kind = words(metadata.get("Signal", {}).get("signal_type"))
    if not recorded and (reciprocal := _reciprocal(axes)):
        facts["reciprocal_step"] = fact(reciprocal, "1/nm", tag="axes")
    return ReadImage(
        name=words(metadata.get("General", {}).get("title")) or Path(name).stem,
        axes=tuple(layout),
        array=_Decoded(signal["data"], [tuple(axis.at for axis in part) for part in layout.values()], name),
        spacing_um=spacing,
        spacing_source="axes scale and units" if any(spacing.values()) else None,
        kind="spectrum" if recorded else "intensity",
        signal=signal_axes(recorded, kind or ("EDS" if form == "Bruker BCF" else ""), name),
        facts=facts,
        header={"format": form, "header": json_value(signal["original_metadata"])},
        modality=_modality(kind, recorded, facts),
    )


def _axis(said: Mapping[str, Any], at: int) -> Axis:
    scale = number(said.get("scale"))
    label = words(said.get("name"))
    return Axis(
        _DIRECTIONS.get(label.lower(), label),
        int(said["size"]),
        number(said.get("offset")) or 0.0,
        scale or None,
        words(said.get("units")),
        True,
        at,
    )


def _signal_of(axes: Sequence[Axis]) -> list[Axis]:
    """Axes along which a signal was recorded at each place, by their units: the library's own flags have them mixed."""
    energy = [axis for axis in axes if axis.is_energy or axis.name == "Energy"]
    if energy:
        return energy[:1]
    reciprocal = [axis for axis in axes if inverse_nm_factor(axis.unit) or axis.unit in ("mrad", "rad")]
    return reciprocal if len(reciprocal) in (1, 2) and len(reciprocal) < len(axes) else []


def _reciprocal(axes: Sequence[Axis]) -> float | None:
    """Step of a diffraction pattern that is an image of its own."""
    last = axes[-1]
    factor = inverse_nm_factor(last.unit)
    return abs(last.step) * factor if factor and last.step else None


def _modality(kind: str, recorded: Sequence[Axis], facts: Facts) -> str:
    if kind.startswith("EDS"):
        return "eds"
    if kind.startswith("EELS"):
        return "other"
    scanned = any("STEM" in str(said["value"]) or said["value"] == "SCANNING" for said in facts.values())
    if len(recorded) == 2 or scanned:
        return "stem"
    voltage = facts.get("accelerating_voltage", {}).get("value")
    # Below 60 kV it is a scanning microscope; above, it may be either mode of a transmission microscope.
    return "" if voltage is None or voltage >= 60 else "sem"


def _fields(images: Sequence[ReadImage], stem: str) -> list[ReadImage]:
    """Images of one grid are channels of one image; the others stay as they are."""
    fields: dict[Any, list[ReadImage]] = {}
    for number_, image in enumerate(images):
        same = (image.axes, image.shape, image.dtype.name, tuple(image.spacing_um.values()), image.grid)
        alone = image.kind == "spectrum" or not any(image.spacing_um.values())
        fields.setdefault(number_ if alone else same, []).append(image)
    return [found[0] if len(found) == 1 else _joined(found, stem) for found in fields.values()]


def _joined(images: Sequence[ReadImage], stem: str) -> ReadImage:
    first = images[0]
    at = int(first.axes[0] == "t")
    return ReadImage(
        name=stem,
        axes=(*first.axes[:at], "c", *first.axes[at:]),
        array=Stack([image.array for image in images], at),
        spacing_um=first.spacing_um,
        spacing_source=first.spacing_source,
        channels=tuple(Channel(image.name, image.name) for image in images),
        facts=first.facts,
        header=first.header,
        modality=first.modality,
        grid=first.grid,
    )
