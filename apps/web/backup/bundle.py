"""What a backup is on disk: a database snapshot, the stores it names, and a manifest that is written last.

database.sqlite3 or database.pgdump     the snapshot
stores/.., files/..                     write-once bytes, under the keys they have in the data root
stores.json                             key, kind, digest and size of each of them
secret_key                              where asked for
backup.json                             digests of the above, chain head, migrations; without it there is no backup
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from analyses.sdk.manifest import build_manifest, hash_file
from apps.core import storage

Engine = Literal["sqlite", "postgresql"]
MANIFEST = "backup.json"
STORES = "stores.json"
SECRET = "secret_key"  # noqa: S105 - a file's name
DATABASES: dict[Engine, str] = {"sqlite": "database.sqlite3", "postgresql": "database.pgdump"}
FORMAT = "corrspace-backup"
VERSION = 1
_SHOWN = 20


class BackupError(Exception):
    """A backup or a restore cannot be done; the message says why, and nothing was made visible."""


@dataclass(frozen=True)
class StoredThing:
    """A ready store: its key, whether it is a folder (``zarr``) or a ``file``, its digest and its size in bytes."""

    key: str
    kind: str
    digest: str
    size: int

    def finding(self, root: Path) -> str:
        """What is wrong with its bytes below ``root``; empty if they are those of the digest."""
        path = root / self.key
        try:
            found = build_manifest(path).digest if self.kind == "zarr" else f"sha256:{hash_file(path)[1]}"
        except (OSError, ValueError) as error:
            return f"{self.key}: {error}"
        missing = self.kind == "zarr" and not path.is_dir()
        return "" if found == self.digest and not missing else f"{self.key}: the bytes are not those of its digest"


@dataclass(frozen=True)
class Bundle:
    """The manifest of a backup.

    ``files``: path -> ``[size, sha256]`` of the database, the list of stores and the secret; ``chain``: sequence and
    hash of the ledger's last event; ``migrations``: ``app.name`` of all that were applied.
    """

    engine: Engine
    made_at: str
    files: dict[str, list[Any]]
    store_count: int
    store_bytes: int
    chain: list[Any]
    migrations: list[str]
    secret: bool
    format: str = FORMAT
    version: int = VERSION

    @property
    def database(self) -> str:
        """Name of the snapshot."""
        return DATABASES[self.engine]


@dataclass
class Findings:
    """What is wrong, one line each."""

    lines: list[str] = field(default_factory=list)

    def refuse(self, what: str) -> None:
        """Raise BackupError if there is any finding."""
        if self.lines:
            more = f"\n... and {len(self.lines) - _SHOWN} more" if len(self.lines) > _SHOWN else ""
            raise BackupError(f"{what}:\n" + "\n".join(self.lines[:_SHOWN]) + more)


def sync(path: Path) -> None:
    """Make a file or a folder's names durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Write a private file so that it is there whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
    sync(path.parent)


def write_stores(folder: Path, stores: Iterable[StoredThing]) -> None:
    """Write the list of stores, sorted by key."""
    listed = sorted((asdict(store) for store in stores), key=lambda item: str(item["key"]))
    write_durably(folder / STORES, json.dumps(listed, indent=0).encode())


def write_manifest(folder: Path, bundle: Bundle) -> None:
    """Write the manifest: from then on the folder is a backup."""
    write_durably(folder / MANIFEST, (json.dumps(asdict(bundle), indent=1) + "\n").encode())


def entry(path: Path) -> list[Any]:
    """Size and sha256 of a file, as the manifest holds them."""
    return list(hash_file(path))


def read(folder: Path) -> tuple[Bundle, list[StoredThing]]:
    """Read a backup and check the digest of everything in it.

    Raises
    ------
    BackupError
        No manifest (interrupted, or no backup), an unknown format, or bytes that are not those of the digest; every
        one of them is named.
    """
    bundle = read_manifest(folder)
    findings = Findings()
    for name, expected in bundle.files.items():
        path = folder / name
        if not path.is_file():
            findings.lines.append(f"{name}: missing")
        elif entry(path) != expected:
            findings.lines.append(f"{name}: the bytes are not those of its digest")
    findings.refuse("the backup is damaged")
    stores = [StoredThing(**item) for item in json.loads((folder / STORES).read_bytes())]
    if len(stores) != bundle.store_count:
        raise BackupError(f"{STORES} lists {len(stores)} stores, {MANIFEST} counts {bundle.store_count}")
    for store in stores:
        if not storage.is_final_key(store.key):
            raise BackupError(f"{STORES} names {store.key!r}, which is no key of a store")
        if finding := store.finding(folder):
            findings.lines.append(finding)
    findings.refuse("the backup is damaged")
    return bundle, stores


def read_manifest(folder: Path) -> Bundle:
    """Read the manifest alone."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BackupError(f"{folder} has no {MANIFEST}: it is no backup, or one that was interrupted")
    try:
        found = json.loads(path.read_bytes())
        if found.get("format") != FORMAT or found.get("version") != VERSION:
            raise BackupError(
                f"{path} is {found.get('format')!r} {found.get('version')!r}; known is {FORMAT!r} {VERSION}"
            )
        bundle = Bundle(**found)
    except (ValueError, TypeError, AttributeError) as error:
        raise BackupError(f"{path} cannot be read: {error}") from error
    names = {bundle.database, STORES, *([SECRET] if bundle.secret else [])} if bundle.engine in DATABASES else set()
    if set(bundle.files) != names:
        raise BackupError(f"{path} is not complete: it lists {sorted(bundle.files)}")
    return bundle


def digest(bundle: Bundle) -> str:
    """Tell one backup from another."""
    return hashlib.sha256(json.dumps(asdict(bundle), sort_keys=True).encode()).hexdigest()


def engine_of(vendor: str) -> Engine:
    """The engine of a database by Django's name of its vendor."""
    if vendor not in DATABASES:
        raise BackupError(f"a {vendor} database cannot be backed up; SQLite and PostgreSQL can")
    return vendor


def place(source: Path, target: Path, store: StoredThing) -> None:
    """Put a store's bytes under its key below ``target``: linked where the file system allows, else copied.

    Stores are written once, so that a link is as good as a copy, and costs no room.
    """
    origin, final = source / store.key, target / store.key
    final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if store.kind == "file":
        _link_or_copy(origin, final)
    else:
        _place_tree(origin, final)
    sync(final.parent)


def _place_tree(origin: Path, final: Path) -> None:
    final.mkdir(mode=0o700)
    for item in sorted(origin.iterdir()):
        if item.is_symlink():
            raise ValueError(f"{item} is a symbolic link; a store holds files only")
        if item.is_dir():
            _place_tree(item, final / item.name)
        else:
            _link_or_copy(item, final / item.name)
    sync(final)


def _link_or_copy(origin: Path, final: Path) -> None:
    try:
        os.link(origin, final, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        with origin.open("rb") as read_from, final.open("xb") as write_to:
            while block := read_from.read(1 << 20):
                write_to.write(block)
            write_to.flush()
            os.fsync(write_to.fileno())


def unknown_migrations(bundle: Bundle, known: Sequence[str]) -> list[str]:
    """Migrations of the backup that this program does not have: it is older than the backup."""
    return sorted(set(bundle.migrations) - set(known))
