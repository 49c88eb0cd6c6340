"""Read OME-Zarr 0.4 and 0.5 stores lazily: metadata as values, samples through tensorstore.

tensorstore is named here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorstore

from analyses.sdk.omezarr_files import StoreError, StoreFiles, files_of, read_json, safe_key
from analyses.sdk.omezarr_layout import ATTRIBUTE
from analyses.sdk.omezarr_signal import read_signal
from analyses.sdk.storable import storable_text
from analyses.sdk.values import SIGNAL_AXIS, SPATIAL_AXES, Channel, ImageKind, SignalAxis

CACHE_BYTES = 64 << 20
MAX_LABEL = 200  # characters of a channel's label, detector or unit
MAX_NAME = 255
_DRIVERS = {"0.4": "zarr", "0.5": "zarr3"}
# Units of NGFF axes (UDUNITS-2 names) in micrometres.
UNIT_UM: Mapping[str, float] = {
    "angstrom": 1e-4,
    "attometer": 1e-12,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "exameter": 1e24,
    "femtometer": 1e-9,
    "foot": 304800.0,
    "gigameter": 1e15,
    "hectometer": 1e8,
    "inch": 25400.0,
    "kilometer": 1e9,
    "megameter": 1e12,
    "meter": 1e6,
    "micrometer": 1.0,
    "mile": 1609344000.0,
    "millimeter": 1e3,
    "nanometer": 1e-3,
    "parsec": 3.0856775814913673e22,
    "petameter": 1e21,
    "picometer": 1e-6,
    "terameter": 1e18,
    "yard": 914400.0,
    "yoctometer": 1e-18,
    "yottameter": 1e30,
    "zeptometer": 1e-15,
    "zettameter": 1e27,
}


@dataclass(frozen=True)
class StoredLevel:
    """One array of a store.

    ``file_shape`` is what one file holds; ``scale`` and ``translation`` are in the unit of each axis, 1 and 0 where
    nothing is said.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    file_shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


class StoreArray:
    """A level as a ``LazyArray``; indexing reads the chunks concerned.

    Zarr reads a chunk that is not there as its fill value.  ``complete``: the store holds every chunk, as ours do, and
    a lost one is an error.
    """

    def __init__(self, files: StoreFiles, level: StoredLevel, version: str, *, complete: bool = False) -> None:
        self._files, self._level, self._version, self._complete = files, level, version, complete

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return self._level.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type, little endian."""
        return self._level.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Samples that are decoded together."""
        return self._level.chunks

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        result = np.asarray(self._store[key].read().result())
        return result.astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        result = self[...]
        return result if dtype is None else result.astype(dtype)

    @cached_property
    def _store(self) -> Any:
        return tensorstore.open(
            {
                "driver": _DRIVERS[self._version],
                "kvstore": self._files.spec(self._level.path),
                "context": {"cache_pool": {"total_bytes_limit": CACHE_BYTES}},
                "recheck_cached_data": False,
                "fill_missing_data_reads": not self._complete,
            },
            read=True,
        ).result()


@dataclass(frozen=True)
class StoreReader:
    """An opened store.

    ``spacing_um`` is None along an axis without a unit of length: its scale counts samples.  ``attributes`` are those
    of the group, as they stand in the file; names and labels are storable text.  ``signal`` says what the axis ``e``
    is, where there is one.  ``complete``: every chunk is stored.
    """

    path: Path
    version: Literal["0.4", "0.5"]
    axes: tuple[str, ...]
    levels: tuple[StoredLevel, ...]
    spacing_um: Mapping[str, float | None]
    channels: tuple[Channel, ...]
    kind: ImageKind
    name: str
    attributes: Mapping[str, Any]
    complete: bool = False
    signal: tuple[SignalAxis, ...] = ()

    def level(self, number: int) -> StoreArray:
        """Level ``number`` (0 is the finest) as a lazy array; IndexError if the store has no such level."""
        if not 0 <= number < len(self.levels):
            raise IndexError(f"level {number} was asked for; the store has levels 0 to {len(self.levels) - 1}")
        level = self.levels[number]
        return StoreArray(files_of(self.path), level, self.version, complete=self.complete)

    def missing_files(self) -> int:
        """Chunk files of level 0 that are not stored and read as the fill value."""
        level = self.levels[0]
        grid = (-(-n // f) for n, f in zip(level.shape, level.file_shape, strict=True))
        return max(0, math.prod(grid) - files_of(self.path).count(level.path))

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples of level 0 along each axis."""
        return self.levels[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type of level 0."""
        return self.levels[0].dtype


def open_store(path: Path, *, trusted: bool = True) -> StoreReader:
    """Open the image at ``path`` (a folder with ``zarr.json`` or ``.zattrs``).

    Parameters
    ----------
    path : Path
        Folder or zip file.
    trusted : bool
        False for a store that somebody sent: what it says under our own attribute is not ours and is not read, but for
        the signal axes, which are checked like any metadata.

    Raises
    ------
    StoreError
        If metadata are missing, malformed, or point outside the folder.  Nothing is decoded here; whether the metadata
        follow the specification is judged by ``validate_attributes``.
    """
    files = files_of(path)
    version, attributes = read_attributes(files)
    try:
        return _build_reader(path, files, version, attributes, trusted=trusted)
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"the multiscales metadata are incomplete: {type(error).__name__} {error}", "multiscales"
        ) from error


def read_attributes(files: StoreFiles) -> tuple[Literal["0.4", "0.5"], dict[str, Any]]:
    """Version and attributes of a group, in either zarr format."""
    group = read_json(files, "zarr.json")
    if group is not None:
        if group.get("node_type") != "group":
            raise StoreError("zarr.json is not that of a group", "zarr.json")
        attributes = group.get("attributes")
        return "0.5", attributes if isinstance(attributes, dict) else {}
    attributes = read_json(files, ".zattrs")
    if attributes is None or read_json(files, ".zgroup") is None:
        raise StoreError("neither zarr.json nor .zgroup with .zattrs is there: this is no zarr group", "zarr.json")
    return "0.4", attributes


def _build_reader(
    path: Path, files: StoreFiles, version: Literal["0.4", "0.5"], attributes: dict[str, Any], *, trusted: bool
) -> StoreReader:
    ome = attributes["ome"] if version == "0.5" else attributes
    multiscale = ome["multiscales"][0]
    axes = tuple(str(axis["name"]) for axis in multiscale["axes"])
    whole = _transform(multiscale.get("coordinateTransformations", ()), len(axes))
    levels = tuple(_stored_level(files, version, dataset, whole) for dataset in multiscale["datasets"])
    if any(len(level.shape) != len(axes) for level in levels):
        raise StoreError(f"axes are {axes}, the arrays have {len(levels[0].shape)} dimensions", "multiscales")
    said = attributes.get(ATTRIBUTE)
    complete = trusted and said is not None
    own = said if trusted and isinstance(said, dict) else {}
    signal = _signal(said, multiscale["axes"], levels[0]) if SIGNAL_AXIS in axes else ()
    return StoreReader(
        path=path,
        version=version,
        axes=axes,
        levels=levels,
        spacing_um=_spacing(multiscale["axes"], levels[0].scale),
        channels=_channels(own, ome),
        kind=own.get("kind") or _kind(ome, axes),
        name=storable_text(str(multiscale.get("name") or ""), MAX_NAME),
        attributes=attributes,
        complete=complete,
        signal=signal,
    )


def _kind(ome: Mapping[str, Any], axes: tuple[str, ...]) -> ImageKind:
    if SIGNAL_AXIS in axes:
        return "spectrum"
    return "labels" if "image-label" in ome else "intensity"


def _signal(own: Any, axes: Any, level: StoredLevel) -> tuple[SignalAxis, ...]:
    at = next(number for number, axis in enumerate(axes) if axis["name"] == SIGNAL_AXIS)
    stated = own.get("signal") if isinstance(own, dict) else None
    return read_signal(stated, axes[at], level.shape[at], level.scale[at], level.translation[at])


def _stored_level(
    files: StoreFiles, version: str, dataset: dict[str, Any], whole: tuple[list[float], list[float]]
) -> StoredLevel:
    key = safe_key(dataset["path"])
    name = "zarr.json" if version == "0.5" else ".zarray"
    array = read_json(files, f"{key}/{name}")
    if array is None:
        raise StoreError(f"dataset path {key!r} has no {name}", key)
    shape = tuple(int(n) for n in array["shape"])
    scale, shift = _transform(dataset["coordinateTransformations"], len(shape))
    total = tuple(a * b for a, b in zip(scale, whole[0], strict=True))
    moved = tuple(t * s + o for t, s, o in zip(shift, whole[0], whole[1], strict=True))
    return StoredLevel(key, shape, _dtype(array, version, key), *_chunks(array, version), total, moved)


def _dtype(array: dict[str, Any], version: str, key: str) -> np.dtype[Any]:
    stated = array["data_type"] if version == "0.5" else array["dtype"]
    try:
        found: np.dtype[Any] = np.dtype(stated)
    except TypeError as error:
        raise StoreError(f"array {key!r} has the sample type {stated!r}, which is no numeric type", key) from error
    return found.newbyteorder("<")


def _chunks(array: dict[str, Any], version: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Samples that are decoded together, and samples in one file: they differ where chunks are sharded."""
    if version == "0.4":
        chunks = tuple(int(n) for n in array["chunks"])
        return chunks, chunks
    files = tuple(int(n) for n in array["chunk_grid"]["configuration"]["chunk_shape"])
    for codec in array["codecs"]:
        if codec["name"] == "sharding_indexed":
            return tuple(int(n) for n in codec["configuration"]["chunk_shape"]), files
    return files, files


def _transform(transformations: Any, ndim: int) -> tuple[list[float], list[float]]:
    """Scale and translation of a list of NGFF transformations (scale first, then translation)."""
    scale, shift = [1.0] * ndim, [0.0] * ndim
    for item in transformations or ():
        if item["type"] == "scale":
            scale = [float(v) for v in item["scale"]]
        elif item["type"] == "translation":
            shift = [float(v) for v in item["translation"]]
    if len(scale) != ndim or len(shift) != ndim:
        raise StoreError(f"a transformation has {len(scale)} and {len(shift)} numbers for {ndim} axes", "multiscales")
    return scale, shift


def _spacing(axes: Any, scale: tuple[float, ...]) -> dict[str, float | None]:
    """Micrometres of each spatial axis; None without a unit of length, or for a scale that is no length."""
    found: dict[str, float | None] = {}
    for axis, step in zip(axes, scale, strict=True):
        if axis["name"] in SPATIAL_AXES:
            factor = UNIT_UM.get(str(axis.get("unit", "")))
            usable = factor is not None and math.isfinite(step) and step > 0
            found[axis["name"]] = step * factor if usable and factor is not None else None
    return found


def _channels(own: Mapping[str, Any], ome: Mapping[str, Any]) -> tuple[Channel, ...]:
    if own.get("channels"):
        return tuple(channel_of(c, number) for number, c in enumerate(own["channels"]))
    omero = ome.get("omero")
    listed = omero.get("channels", ()) if isinstance(omero, dict) else ()
    return tuple(channel_of({"label": c.get("label")}, number) for number, c in enumerate(listed))


def channel_of(said: Mapping[str, Any], number: int) -> Channel:
    """A channel from what a file says of it: storable text of bounded length; a label that is no text is ``number``."""
    label, detector, unit = (_label(said.get(name)) for name in ("label", "detector", "unit"))
    return Channel(str(number) if label is None else label, detector, unit)


def _label(value: Any) -> str | None:
    return storable_text(value, MAX_LABEL) if isinstance(value, str) else None
