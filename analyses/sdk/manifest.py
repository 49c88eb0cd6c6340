"""What a store consists of: every file with its size and sha256, and one digest over them all.

The manifest is the sorted list of ``{"path", "sha256", "size"}`` in canonical JSON; the digest is its sha256.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


@dataclass(frozen=True, order=True)
class Entry:
    """One stored file: its path below the store with ``/``, its size in bytes, its sha256 in hex."""

    path: str
    size: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """The entry as the manifest writes it."""
        return {"path": self.path, "sha256": self.sha256, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """Entries sorted by path."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """A manifest of entries in any order; ValueError if a path occurs twice."""
        ordered = tuple(sorted(entries))
        if len({entry.path for entry in ordered}) != len(ordered):
            raise ValueError("a path occurs twice in the manifest")
        return cls(ordered)

    @classmethod
    def from_json(cls, data: Iterable[dict[str, Any]] | str | bytes) -> Manifest:
        """A manifest read back from its list or its JSON text."""
        items = json.loads(data) if isinstance(data, str | bytes) else data
        return cls.of(Entry(item["path"], item["size"], item["sha256"]) for item in items)

    def as_json(self) -> list[dict[str, Any]]:
        """The manifest as a list that JSON can hold."""
        return [entry.as_json() for entry in self.entries]

    def to_bytes(self) -> bytes:
        """Canonical JSON (keys sorted, no white space, UTF-8): equal stores give equal bytes."""
        return json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> str:
        """``sha256:`` and the sha256 of the canonical bytes."""
        return "sha256:" + hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)


def hash_file(path: Path) -> tuple[int, str]:
    """Size and sha256 of a file, read in blocks."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def entry_of(store: Path, relative: str) -> Entry:
    """The entry of one file of a store, by reading it."""
    return Entry(relative, *hash_file(store / relative))


def stored_files(store: Path) -> Iterator[str]:
    """Paths of all files below ``store``, with ``/``, in no order.

    Raises
    ------
    ValueError
        For a symbolic link: what it points to is outside the store and outside of any digest.
    """
    for folder, folders, files in os.walk(store):
        for name in (*folders, *files):
            if Path(folder, name).is_symlink():
                raise ValueError(f"{Path(folder, name)} is a symbolic link; a store holds files only")
        for name in files:
            yield Path(folder, name).relative_to(store).as_posix()


def build_manifest(store: Path) -> Manifest:
    """The manifest of a store from its files, in one pass over all bytes."""
    return Manifest.of(entry_of(store, path) for path in stored_files(store))


def verify_store(store: Path, manifest: Manifest | Sequence[dict[str, Any]]) -> list[str]:
    """Compare the files of a store with its manifest, reading every byte.

    Returns
    -------
    list of str
        One finding a line: ``missing: <path>``, ``extra: <path>``, ``changed: <path>``, each with what was expected;
        empty if the store is what the manifest says.
    """
    known = manifest if isinstance(manifest, Manifest) else Manifest.from_json(manifest)
    expected = {entry.path: entry for entry in known.entries}
    present = set(stored_files(store)) if store.is_dir() else set()
    findings = [f"missing: {path}" for path in sorted(expected.keys() - present)]
    findings += [f"extra: {path}" for path in sorted(present - expected.keys())]
    for path in sorted(expected.keys() & present):
        found = entry_of(store, path)
        if found != expected[path]:
            findings.append(
                f"changed: {path} has {found.size} bytes and sha256 {found.sha256}, "
                f"expected {expected[path].size} and {expected[path].sha256}"
            )
    return findings


def fsync_tree(root: Path) -> None:
    """Make all files below ``root`` and the folders that name them durable, ``root`` included."""
    for folder, _, files in os.walk(root, topdown=False):
        for name in files:
            _fsync(Path(folder, name))
        _fsync(Path(folder))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
