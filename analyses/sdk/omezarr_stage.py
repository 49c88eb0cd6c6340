"""Outputs of a plugin: level 0 is written piece by piece into staging, pyramid and metadata follow at the end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from analyses.sdk.manifest import entry_of, stored_files
from analyses.sdk.omezarr_cascade import Progress, run_cascade
from analyses.sdk.omezarr_encode import FileEncoder
from analyses.sdk.omezarr_files import FolderFiles
from analyses.sdk.omezarr_layout import Description, Level, check_axes, check_description, create_level, plan_levels
from analyses.sdk.omezarr_read import StoreArray, StoredLevel
from analyses.sdk.omezarr_write import StoreInfo, finish_store
from analyses.sdk.pyramid import check_dtype
from analyses.sdk.values import SIGNAL_AXIS, Channel, ImageKind

BASE = "0"


class StagedArray:
    """Level 0 of a store that is being written; implements ``WritableArray``.

    ``chunks`` is the shape of one stored file: writing along its borders, each by one writer, never reads anything back
    and is safe from several threads.
    """

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self.path, self._array = path, array

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        shape: Sequence[int],
        dtype: Any,
        axes: Sequence[str],
        kind: ImageKind = "intensity",
        chunks: Sequence[int] | None = None,
    ) -> StagedArray:
        """Make the folder ``path`` with an empty level 0.

        Parameters
        ----------
        path
            Folder of the store to be; must not exist.
        shape, dtype, axes
            As in ``write_image``.
        kind
            ``labels`` chooses the compression that suits them.
        chunks
            Samples per stored file along each axis; chosen by size if not given.

        Raises
        ------
        ValueError
            For axes, shape, dtype or chunks that a store cannot hold.
        FileExistsError
            If ``path`` exists.
        """
        if SIGNAL_AXIS in axes:
            raise ValueError("spectrum images are written whole, by write_image; none is staged piece by piece")
        described = Description(check_axes(axes, shape), kind, {})
        check_description(described, shape, dtype)
        level = plan_levels(described.axes, shape, check_dtype(dtype).itemsize)[0]
        if chunks is not None:
            level = Level(BASE, level.shape, _check_chunks(chunks, level.shape), None, level.factors)
        path.mkdir(parents=True)
        return cls(path, create_level(path, level, dtype, described))

    @classmethod
    def open(cls, path: Path) -> StagedArray:
        """Open the staged level 0 of another process or run for writing."""
        return cls(path, zarr.open_array(str(path / BASE), mode="r+"))

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples along each axis."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Sample type."""
        return np.dtype(self._array.dtype)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return tuple(str(name) for name in self._array.metadata.to_dict()["dimension_names"])  # type: ignore[union-attr]

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of one stored file."""
        return tuple(self._array.shards or self._array.chunks)

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        return np.asarray(self._array[key])

    def __setitem__(self, key: Any, value: npt.ArrayLike) -> None:
        self._array[key] = np.asarray(value)


def _check_chunks(chunks: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    if len(chunks) != len(shape) or any(c < 1 for c in chunks):
        raise ValueError(f"chunks are {tuple(chunks)}; shape {tuple(shape)} needs {len(shape)} lengths of at least 1")
    return tuple(min(c, n) for c, n in zip(chunks, shape, strict=True))


def finish_pyramid(
    dest: Path,
    *,
    spacing_um: Mapping[str, float | None],
    kind: ImageKind,
    channels: Sequence[Channel] = (),
    name: str = "",
    unit: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> StoreInfo:
    """Add the coarser levels and all metadata to a store whose level 0 was staged.

    Parameters
    ----------
    dest
        Folder given to ``StagedArray.create``.
    spacing_um, kind, channels, name, unit, threads, progress
        As in ``write_image``.

    Returns
    -------
    StoreInfo
        Hashes of level 0 are of its files as read back here, those of the other levels are taken while writing.

    Raises
    ------
    ValueError
        If the description does not fit, or a chunk of level 0 was never written: zarr would read it as zeros.
    """
    base, dtype, axes = _staged_level(dest)
    described = Description(axes, kind, dict(spacing_um), tuple(channels), name, unit)
    check_description(described, base.shape, dtype)
    files = [f for f in stored_files(dest / BASE) if f != "zarr.json"]
    if len(files) != math.prod(base.grid):
        raise ValueError(f"{len(files)} of {math.prod(base.grid)} chunks of the output were written; all must be")
    planned = plan_levels(axes, base.shape, dtype.itemsize)[1:]
    for level in planned:
        create_level(dest, level, dtype, described)
    levels = (base, *planned)
    entries = [entry_of(dest, f"{BASE}/{f}") for f in files]
    if planned:
        encoders = [None, *(FileEncoder(dest, level, dtype, kind) for level in planned)]
        whole = tuple(1.0 for _ in axes)
        stored = StoredLevel(BASE, base.shape, dtype, base.chunks, base.file_shape, whole, tuple(0.0 for _ in axes))
        source = StoreArray(FolderFiles(dest), stored, "0.5", complete=True)
        entries += run_cascade(source, levels, encoders, described.method, dest.parent, threads, progress)
    return finish_store(dest, dtype, described, levels, entries)


def _staged_level(dest: Path) -> tuple[Level, np.dtype[Any], tuple[str, ...]]:
    if not (dest / BASE / "zarr.json").is_file():
        raise ValueError(f"{dest.name} holds no staged level {BASE}")
    axes = tuple(json.loads((dest / BASE / "zarr.json").read_text())["dimension_names"])
    array = zarr.open_array(str(dest / BASE), mode="r")
    level = Level(BASE, tuple(array.shape), tuple(array.chunks), array.shards, (1,) * len(axes))
    return level, check_dtype(array.dtype), axes
