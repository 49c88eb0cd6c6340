"""Blocks of samples as stored files: a chunk, or a shard of chunks, hashed while it is written.

The bytes are those of zarr v3's ``bytes`` (little endian), ``blosc`` and ``sharding_indexed`` codecs with the index at
the end (https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html).  zarr-python writes the
metadata of the arrays; writing whole files here takes its scheduling and copies off the path that all data take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from analyses.sdk.manifest import Entry
from analyses.sdk.omezarr_layout import Level, compressor

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FileEncoder:
    """Writes files of one level; safe to call from several threads, one file by one of them."""

    store: Path
    level: Level
    dtype: np.dtype[Any]
    kind: str

    def write(self, position: tuple[int, ...], block: Array) -> Entry:
        """Write the file at a grid position.

        Parameters
        ----------
        position
            Index in ``level.grid``.
        block
            The samples of the file, axes as the store's; shorter than a file at the end of an axis.

        Raises
        ------
        OSError
            Where the bytes cannot be written (a full disk among others).
        """
        relative = "/".join([self.level.path, "c", *map(str, position)])
        path = self.store / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with path.open("xb", buffering=0) as stream:
            for part in self._shard(block) if self.level.shards else iter([self._chunk(block)]):
                _write_all(stream, part)
                digest.update(part)
                size += len(part)
        return Entry(relative, size, digest.hexdigest())

    def _chunk(self, block: Array) -> bytes:
        """One compressed chunk; a block cut off by the end of an axis is filled up with the fill value 0."""
        chunk = self.level.chunks
        if block.shape == chunk and block.dtype == self.dtype:
            data = np.ascontiguousarray(block)
        else:
            data = np.zeros(chunk, self.dtype)
            data[tuple(slice(n) for n in block.shape)] = block
        clevel, shuffle = compressor(self.dtype, self.kind)
        # Called from a thread of a pool, numcodecs gives blosc a context of its own and releases the interpreter.
        encoded: bytes = blosc.compress(data, b"zstd", clevel, shuffle, 0, typesize=self.dtype.itemsize)
        return encoded

    def _shard(self, block: Array) -> Iterator[bytes]:
        """The chunks of a shard in C order, then the index of (offset, size) with its checksum."""
        shards, chunk = self.level.file_shape, self.level.chunks
        counts = tuple(s // c for s, c in zip(shards, chunk, strict=True))
        index = np.full((*counts, 2), np.iinfo(np.uint64).max, "<u8")
        offset = 0
        for place in product(*map(range, counts)):
            part = block[tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunk, strict=True))]
            if part.size:
                encoded = self._chunk(part)
                index[place] = offset, len(encoded)
                offset += len(encoded)
                yield encoded
        table = index.tobytes()
        yield table
        yield google_crc32c.value(table).to_bytes(4, "little")


def _write_all(stream: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]
