"""HDF5 opened so that a hostile file leads nowhere, and its datasets as lazy arrays.

Every object is looked at before any is read: links, external storage and virtual datasets that lead out of the file are
refused, so that nothing but the uploaded bytes is ever opened; hard links that form a cycle are walked once.  Sizes are
checked as they are announced, before anything is allocated.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from apps.imaging.readers.base import Limits, stored_dtype
from apps.imaging.readers.errors import (
    MetadataError,
    ReaderError,
    TooLargeError,
    TruncatedFileError,
    UnsafePathError,
    UnsupportedFormatError,
)
from apps.imaging.readers.forked import Forked
from apps.imaging.readers.moved import MovedArray
from apps.imaging.readers.quantities import words
from apps.imaging.readers.tiff_header import json_value, text

Array = npt.NDArray[Any]
MAGIC = b"\x89HDF\r\n\x1a\n"
# What h5py raises for bytes that are not what they should be.
ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
PROBE_SECONDS = 15
_PROBE = Forked(Path(__file__).with_name("hdf5_probe.py"))
_MAX_OBJECTS = 100_000
_MAX_TEXTS = 1_000
_MAX_TREE = 5_000
_MAX_LEAF = 4_096


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Turn what h5py raises into a ReaderError."""
    try:
        yield
    except ReaderError:
        raise
    except ERRORS as error:
        said = f"{type(error).__name__} {error}"[:400]
        if "truncated file" in said:
            raise TruncatedFileError(f"{name} is cut off: {said}") from error
        raise MetadataError(f"{name} is not a readable HDF5 file: {said}") from error


def probe(path: Path, name: str) -> None:
    """Refuse a file on which libhdf5 does not come to an end, or dies: found out in a process of its own.

    Raises
    ------
    MetadataError
        After ``PROBE_SECONDS``, or if the process was ended by a signal.
    ReaderError
        No process can be started.
    """
    stat = path.stat()
    try:
        outcome = _probed(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ReaderError(f"{name} cannot be looked at: no process can be started: {error}") from error
    if outcome is None:
        raise MetadataError(
            f"{name}: the HDF5 library did not come to an end within {PROBE_SECONDS} s; the file is damaged",
            seconds=PROBE_SECONDS,
        )
    if outcome < 0:
        raise MetadataError(f"{name}: the HDF5 library died on it (signal {-outcome}); the file is damaged")


@functools.lru_cache(maxsize=8)
def _probed(path: Path, _size: int, _changed: int) -> int | None:
    """Exit code of the probe, None if it had to be ended; several readers ask about one file."""
    return _PROBE.call(str(path), seconds=PROBE_SECONDS)


class Hdf5File:
    """An open file in which no link leads out; it stays open as long as an array of it is in use."""

    def __init__(self, path: Path, name: str, limits: Limits) -> None:
        self.name, self.limits, self.size = name, limits, path.stat().st_size
        probe(path, name)
        with guarded(name):
            self.root = h5py.File(path, "r", locking=False)
            self._scan()

    def _scan(self) -> None:
        """Walk all hard links; refuse the file if any link or dataset leads out of it."""
        seen: set[int] = set()
        open_groups: list[Any] = [self.root]
        while open_groups:
            group = open_groups.pop()
            for key in group:
                link = group.get(key, getlink=True)
                if isinstance(link, h5py.SoftLink):
                    continue  # leads to a path of this file, where every object is looked at
                if not isinstance(link, h5py.HardLink):
                    raise UnsafePathError(f"{self.name} links to another file at {_shown(group, key)}; none is opened")
                address = h5py.h5o.get_info(group.id, key.encode("utf-8", "surrogateescape")).addr
                if address in seen:
                    continue
                seen.add(address)
                if len(seen) > _MAX_OBJECTS:
                    raise TooLargeError(f"{self.name} has more than {_MAX_OBJECTS} objects", limit=_MAX_OBJECTS)
                found = group[key]
                if isinstance(found, h5py.Group):
                    open_groups.append(found)
                elif isinstance(found, h5py.Dataset):
                    self._check_storage(found)

    def _check_storage(self, dataset: Any) -> None:
        """Refuse samples that lie in other files."""
        plan = dataset.id.get_create_plist()
        if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
            raise UnsafePathError(f"{self.name} keeps {text(dataset.name)} in other files; none is opened")

    def group(self, path: str, within: Any = None) -> Any:
        """A group by its path, None where there is none."""
        found = (self.root if within is None else within).get(path)
        return found if isinstance(found, h5py.Group) else None

    def dataset(self, path: str, within: Any = None) -> Any:
        """A dataset by its path, None where there is none."""
        found = (self.root if within is None else within).get(path)
        return found if isinstance(found, h5py.Dataset) else None

    def check(self, dataset: Any) -> None:
        """Refuse samples that are too many, not there, or packed in a way that cannot be unpacked here.

        A chunk is decoded in whole, so that its size counts, too.
        """
        label = f"{self.name}: {text(dataset.name)}"
        if dataset.shape is None or dataset.dtype.kind not in "biuf":
            raise UnsupportedFormatError(f"{label} has samples of type {dataset.dtype}; numbers are read")
        self.limits.check_samples(dataset.shape, dataset.dtype.itemsize, self.size, label)
        chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        if chunk > self.limits.max_segment_bytes:
            raise TooLargeError(f"{label} has chunks of {chunk} bytes; at most {self.limits.max_segment_bytes}")
        self.limits.check_ratio(chunk, self.size, label)
        plan = dataset.id.get_create_plist()
        for at in range(plan.get_nfilters()):
            code, _, _, title = plan.get_filter(at)
            if not h5py.h5z.filter_avail(code):
                raise UnsupportedFormatError(f"{label} is packed with filter {code} {words(title)}, unknown here")
        if dataset.size and not dataset.id.get_storage_size():
            raise TruncatedFileError(f"{label} has shape {dataset.shape} and no samples")

    def small(self, dataset: Any) -> Any:
        """The value of a header dataset, a single element without its brackets; None where it is no header.

        Texts of variable length are read one by one: a thousand may point to the same megabyte.
        """
        if dataset is None or dataset.shape is None or not dataset.size:
            return None
        if h5py.check_vlen_dtype(dataset.dtype) or h5py.check_string_dtype(dataset.dtype):
            return self._texts(dataset)
        if h5py.check_ref_dtype(dataset.dtype) or dataset.size * dataset.dtype.itemsize > self.limits.max_header_bytes:
            return None
        value = dataset[()]
        return value.reshape(-1)[0] if dataset.size == 1 and isinstance(value, np.ndarray) else value

    def _texts(self, dataset: Any) -> Any:
        if dataset.size > _MAX_TEXTS or not h5py.check_string_dtype(dataset.dtype):
            return None
        if dataset.shape == ():
            return dataset[()]
        found, total = [], 0
        for at in np.ndindex(dataset.shape):
            found.append(dataset[at])
            total += len(found[-1])
            if total > self.limits.max_header_bytes:
                raise TooLargeError(f"{self.name}: {text(dataset.name)} has more than {total} bytes of text")
        return found[0] if len(found) == 1 else found

    def attributes(self, thing: Any) -> dict[str, Any]:
        """Small attributes of a group or dataset; references and large ones are left out."""
        found = {}
        for key in thing.attrs:
            handle = thing.attrs.get_id(key)
            vlen = h5py.check_vlen_dtype(handle.dtype) or h5py.check_string_dtype(handle.dtype)
            limit = 64 if vlen else _MAX_LEAF
            if handle.shape is None or math.prod(handle.shape) > limit or h5py.check_ref_dtype(handle.dtype):
                continue
            value = thing.attrs[key]
            found[key] = value.item() if isinstance(value, np.generic) else value
        return found

    def tree(self, group: Any, budget: list[int] | None = None, depth: int = 12) -> dict[str, Any]:
        """Attributes and small datasets under a group as JSON values; the raw header of a file."""
        budget = [_MAX_TREE] if budget is None else budget
        found = {text(key): json_value(value) for key, value in self.attributes(group).items()}
        for key in group:
            budget[0] -= 1
            if budget[0] < 0 or depth == 0:
                return found | {"...": "more than is kept here"}
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if isinstance(item, h5py.Group):
                found[text(key)] = self.tree(item, budget, depth - 1)
            elif isinstance(item, h5py.Dataset) and item.shape is not None and item.size <= _MAX_TEXTS:
                found[text(key)] = json_value(self.small(item)) if item.dtype.kind != "V" else str(item.dtype)
        return found


def _shown(group: Any, key: str) -> str:
    return text(f"{group.name}/{key}".replace("//", "/"))[:200]


class Hdf5Array(MovedArray):
    """A dataset with its axes moved, read part by part."""

    def __init__(
        self, source: Hdf5File, dataset: Any, order: Sequence[tuple[int, ...]], dtype: npt.DTypeLike | None = None
    ) -> None:
        source.check(dataset)
        label = f"{source.name}: {text(dataset.name)}"
        super().__init__(dataset.shape, order, stored_dtype(dtype or dataset.dtype, label))
        self._source, self._dataset = source, dataset

    def _part(self, key: tuple[slice, ...]) -> Array:
        with guarded(self._source.name):
            part: Array = self._dataset[key]
        return part


def kind_of(path: Path, head: bytes) -> str:
    """Which reader an HDF5 file is for, by its groups: ``hspy``, ``velox``, ``ebsd``, ``dream3d`` or ``other``.

    ``broken`` if it cannot be opened, which the reader then says; empty if it is no HDF5 file.
    """
    if not head.startswith(MAGIC) or not path.is_file():
        return ""
    probe(path, path.name)
    try:
        with h5py.File(path, "r", locking=False) as root:
            return _kind(root)
    except ERRORS:
        return "broken"


def _kind(root: Any) -> str:
    said = words(root.attrs.get("file_format"))
    if said == "HyperSpy":
        return "hspy"
    if isinstance(root.get("Version", getlink=True), h5py.HardLink) and _is_group(root, "Data"):
        return "velox"
    if said or _is_group(root, "DataContainers") or _is_group(root, "DataStructure"):
        return "dream3d" if _is_group(root, "DataContainers") or _is_group(root, "DataStructure") else "other"
    for key in list(root)[:_MAX_TEXTS]:
        if _is_group(root, key) and _is_group(root[key], "EBSD") and _is_group(root[key]["EBSD"], "Data"):
            return "ebsd"
    return "other"


def _is_group(group: Any, key: str) -> bool:
    link = group.get(key, getlink=True) if key in group else None
    return isinstance(link, h5py.HardLink) and group.get(key, getclass=True) is h5py.Group


def claim(path: Path, head: bytes, kind: str) -> int:
    """Rank of a reader for files of a kind; a file that cannot be opened goes to any, which then says why."""
    return {kind: 90, "broken": 1}.get(kind_of(path, head), 0)
