"""Where the bytes of a store that is read lie: in a folder, or inside one zip file."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

MAX_METADATA_BYTES = 16 << 20
_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


class StoreError(ValueError):
    """A folder or zip that is no OME-Zarr image we can read; ``path`` is the file or key at fault."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class UnsafeKeyError(StoreError):
    """A key that leads, or could lead, out of the store."""


class StoreFiles(Protocol):
    """Read access to the files of a store by key."""

    def read(self, key: str) -> bytes | None:
        """The content of a metadata file, None if it does not exist."""
        ...

    def spec(self, key: str) -> dict[str, Any]:
        """The tensorstore key-value store of the array at ``key``."""
        ...

    def count(self, key: str) -> int:
        """Number of chunk files of the array at ``key``."""
        ...


@dataclass(frozen=True)
class FolderFiles:
    """A store in a folder."""

    path: Path

    def read(self, key: str) -> bytes | None:
        """See ``StoreFiles``; StoreError for a file larger than any metadata is."""
        file = self.path / key
        if not file.is_file():
            return None
        _check_size(key, file.stat().st_size)
        return file.read_bytes()

    def spec(self, key: str) -> dict[str, Any]:
        """See ``StoreFiles``."""
        return {"driver": "file", "path": f"{self.path.absolute()}/{key}/"}

    def count(self, key: str) -> int:
        """See ``StoreFiles``."""
        return sum(1 for _, _, names in os.walk(self.path / key) for name in names if name not in _METADATA)


@dataclass(frozen=True)
class ZipFiles:
    """A store in a zip file, at its top or in the only folder there."""

    path: Path

    def read(self, key: str) -> bytes | None:
        """See ``StoreFiles``."""
        with zipfile.ZipFile(self.path) as archive:
            try:
                info = archive.getinfo(self.prefix + key)
            except KeyError:
                return None
            _check_size(key, info.file_size)
            return archive.read(info)

    def spec(self, key: str) -> dict[str, Any]:
        """See ``StoreFiles``."""
        base = {"driver": "file", "path": str(self.path.absolute())}
        return {"driver": "zip", "base": base, "path": f"{self.prefix}{key}/"}

    def count(self, key: str) -> int:
        """See ``StoreFiles``."""
        below = f"{self.prefix}{key}/"
        with zipfile.ZipFile(self.path) as archive:
            names = [name for name in archive.namelist() if name.startswith(below) and not name.endswith("/")]
        return sum(1 for name in names if name.rsplit("/", 1)[-1] not in _METADATA)

    @cached_property
    def prefix(self) -> str:
        """Folder of the group inside the zip, with ``/`` behind it, or nothing."""
        with zipfile.ZipFile(self.path) as archive:
            names = archive.namelist()
        if not {"zarr.json", ".zgroup"} & set(names):
            tops = {name.split("/", 1)[0] for name in names}
            if len(tops) == 1 and all("/" in name for name in names):
                return tops.pop() + "/"
        return ""


def files_of(path: Path) -> StoreFiles:
    """Folder or zip; StoreError if ``path`` is neither."""
    if path.is_dir():
        return FolderFiles(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return ZipFiles(path)
    raise StoreError(f"{path.name} is neither a folder nor a zip file", path.name)


def read_json(files: StoreFiles, key: str) -> dict[str, Any] | None:
    """A JSON object by key, None if the file does not exist; StoreError if it is anything else."""
    content = files.read(key)
    if content is None:
        return None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{key} is not JSON: {error}", key) from error
    if not isinstance(data, dict):
        raise StoreError(f"{key} holds a {type(data).__name__}, not an object", key)
    return data


def safe_key(key: Any) -> str:
    """A relative array path that stays inside its store.

    A path such as ``../../other/0`` in the metadata of an uploaded store would read another project's samples.
    """
    if not isinstance(key, str) or not key or key.startswith("/") or "\\" in key or "\0" in key:
        raise UnsafeKeyError(f"dataset path {key!r} is not a relative path inside the store", str(key))
    if not PurePosixPath(key).parts or ".." in PurePosixPath(key).parts:
        raise UnsafeKeyError(f"dataset path {key!r} leads out of the store", key)
    return key


def _check_size(key: str, size: int) -> None:
    if size > MAX_METADATA_BYTES:
        raise StoreError(f"{key} has {size} bytes; at most {MAX_METADATA_BYTES} are read", key)
