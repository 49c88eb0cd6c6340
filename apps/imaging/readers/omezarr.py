"""OME-Zarr 0.4 and 0.5 images: a folder, or a zip file of one."""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from analyses.sdk.omezarr import StoreError, StoreReader, UnsafeKeyError, Verdict, open_store, validate_group
from analyses.sdk.omezarr_files import files_of, safe_key
from analyses.sdk.omezarr_read import read_attributes
from analyses.sdk.values import AXIS_ORDER, SIGNAL_AXIS, SPATIAL_AXES
from apps.imaging.readers.base import Array, Box, Limits, ReadImage, fact, stored_dtype
from apps.imaging.readers.errors import (
    MetadataError,
    TooLargeError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFormatError,
)
from apps.imaging.readers.tiff_header import json_value

_GROUP_FILES = ("zarr.json", ".zattrs", ".zgroup")


class OmeZarrReader:
    """Reader of OME-Zarr stores."""

    format = "OME-Zarr"

    def claims(self, path: Path, head: bytes) -> int:
        """A group file at the top of a folder or zip is a sure sign."""
        if path.is_dir():
            return 100 if any((path / name).is_file() for name in _GROUP_FILES) else 1
        return 60 if head.startswith(b"PK") else 0

    def read(self, path: Path, *, name: str, limits: Limits, beside: Mapping[str, Path]) -> list[ReadImage]:
        """The image of a store: one, in the samples of level 0.

        Raises
        ------
        MetadataError
            The metadata break a requirement of the specification.
        UnsafePathError
            A key or link leads out of the store.
        UnsupportedFormatError
            Plates, wells, axes other than t, c or e, z, y, x.
        TooLargeError
            More samples than ``limits`` allow.
        """
        size = _check_folder(path, name, limits) if path.is_dir() else _check_zip(path, name, limits)
        try:
            store = _open(path, name)
        except UnsafeKeyError as error:
            raise UnsafePathError(f"{name}: {error}", path=error.path) from error
        except (StoreError, OSError, zipfile.BadZipFile) as error:
            raise MetadataError(f"{name}: {error}") from error
        return [_image(*store, name, size, limits)]


def _open(path: Path, name: str) -> tuple[StoreReader, Verdict]:
    files = files_of(path)
    version, attributes = read_attributes(files)
    for dataset in _dataset_paths(attributes):
        safe_key(dataset)
    verdict = validate_group(attributes, version)
    if not verdict.valid:
        raise MetadataError(f"{name} is no valid OME-Zarr {version}: {verdict.errors[0]}", errors=list(verdict.errors))
    root = attributes["ome"] if version == "0.5" else attributes
    if "multiscales" not in root:
        raise UnsupportedFormatError(f"{name} holds {', '.join(root)}, no image; send the images of a plate one by one")
    return open_store(path, trusted=False), verdict


def _dataset_paths(attributes: Any) -> Iterator[Any]:
    """Whatever stands where a dataset path may stand, however odd the rest is."""
    if isinstance(attributes, dict):
        for key, value in attributes.items():
            if key == "path" and isinstance(value, str):
                yield value
            else:
                yield from _dataset_paths(value)
    elif isinstance(attributes, list):
        for value in attributes:
            yield from _dataset_paths(value)


def _check_folder(path: Path, name: str, limits: Limits) -> int:
    """Bytes of the folder; links are refused, because what they point to was never sent."""
    size = 0
    for folder, folders, files in os.walk(path):
        for item in (*folders, *files):
            entry = Path(folder, item)
            if entry.is_symlink():
                raise UnsafePathError(
                    f"{name}: {entry.relative_to(path)} is a symbolic link", path=str(entry.relative_to(path))
                )
            size += entry.stat().st_size if item in files else 0
    return size


def _check_zip(path: Path, name: str, limits: Limits) -> int:
    """Bytes of the zip; members that would land elsewhere, links and bombs are refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise TruncatedFileError(f"{name} is no complete zip file: {error}") from error
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if member.filename.startswith("/") or ".." in parts or "\\" in member.filename:
            raise UnsafePathError(f"{name}: member {member.filename!r} leads out of the store", path=member.filename)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafePathError(f"{name}: member {member.filename!r} is a symbolic link", path=member.filename)
    size = path.stat().st_size
    limits.check_ratio(sum(member.file_size for member in members), size, name)
    return size


class _Samples:
    """Level 0 with a z axis and a sample type that a store holds."""

    def __init__(self, store: StoreReader, name: str) -> None:
        self._array, self._name = store.level(0), name
        self.axes = tuple(a for a in AXIS_ORDER if a in store.axes or a == "z")
        self._flat = "z" not in store.axes
        self._insert = self.axes.index("z")
        self._dtype = stored_dtype(store.dtype, name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        shape = list(self._array.shape)
        return tuple(shape[: self._insert] + [1] * self._flat + shape[self._insert :])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type."""
        return self._dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Samples that are decoded together."""
        chunks = list(self._array.chunks)
        return tuple(chunks[: self._insert] + [1] * self._flat + chunks[self._insert :])

    def __getitem__(self, key: Any) -> Array:
        box = Box.of(key, self.shape)
        ranges = [r for axis, r in enumerate(box.ranges) if not (self._flat and axis == self._insert)]
        try:
            found = self._array[tuple(slice(*r) for r in ranges)]
        except ValueError as error:
            raise MetadataError(f"{self._name}: samples do not decode: {error}"[:500]) from error
        return box.drop(found.astype(self._dtype, copy=False).reshape(box.shape))


def _image(store: StoreReader, verdict: Verdict, name: str, size: int, limits: Limits) -> ReadImage:
    known = tuple(a for a in AXIS_ORDER if a in store.axes)
    if known != store.axes or known[-2:] != ("y", "x") or {"c", SIGNAL_AXIS} <= set(known):
        raise UnsupportedFormatError(
            f"{name} has axes {store.axes}; t, c or e, z, y, x are read, in this order", axes=store.axes
        )
    if any(n < 1 for n in store.shape):
        raise MetadataError(f"{name} has shape {store.shape}; every axis needs at least one sample")
    samples = _Samples(store, name)
    limits.check_samples(samples.shape, samples.dtype.itemsize, size, name)
    _check_chunk(samples, name, limits)
    channels = samples.shape[samples.axes.index("c")] if "c" in samples.axes else 1
    facts = {
        "ome_zarr_version": fact(store.version),
        "metadata_warnings": fact(list(verdict.warnings), source="derived"),
    }
    if missing := store.missing_files():
        facts["chunks_not_stored"] = fact(missing, source="derived")
    spacing = {axis: store.spacing_um.get(axis) for axis in SPATIAL_AXES}
    return ReadImage(
        name=store.name or Path(name).stem,
        axes=samples.axes,
        array=samples,
        spacing_um=spacing,
        spacing_source="OME-Zarr scale and unit" if any(spacing.values()) else None,
        kind=store.kind,
        signal=store.signal,
        channels=store.channels if len(store.channels) == channels else (),
        facts=facts,
        header={"format": f"OME-Zarr {store.version}", "attributes": json_value(store.attributes)},
    )


def _check_chunk(samples: _Samples, name: str, limits: Limits) -> None:
    """A chunk is decoded whole, however small the store is that announces it."""
    announced = math.prod(samples.chunks) * samples.dtype.itemsize
    if announced > limits.max_segment_bytes:
        raise TooLargeError(
            f"{name} has chunks of {announced} bytes; at most {limits.max_segment_bytes} are decoded",
            limit=limits.max_segment_bytes,
        )
