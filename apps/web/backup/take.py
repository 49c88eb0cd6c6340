"""Takes a backup beside writers: the database first, then every store that it names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from apps.core import storage
from apps.web.backup import bundle, database
from apps.web.backup.bundle import BackupError, Bundle, Findings, StoredThing

_SNAPSHOTS = 5
Say = Callable[[str], None]


def take(target: Path, *, with_secret: bool = False, say: Say = lambda line: None) -> Bundle:
    """Back up this installation into a new folder.

    A store is written once and its bytes stay while a row names them, so that a snapshot of the rows and the bytes
    taken after it agree.  Where a store is deleted in between, another snapshot is taken.

    Parameters
    ----------
    target : Path
        A folder that is absent or empty, outside of the data root.
    with_secret : bool
        Put the installation's secret key in as well.
    say : callable
        Takes a line of progress.

    Raises
    ------
    BackupError
        The target is not empty or lies in the data root; the database or a store is damaged.  What was written has no
        manifest and is no backup.
    """
    _check_target(target)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    snapshot, stores = _consistent(target, say)
    bundle.write_stores(target, stores)
    names = [snapshot.path.name, bundle.STORES]
    if with_secret:
        bundle.write_durably(target / bundle.SECRET, settings.SECRET_KEY.encode())
        names.append(bundle.SECRET)
    manifest = Bundle(
        engine=snapshot.engine,
        made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        files={name: bundle.entry(target / name) for name in names},
        store_count=len(stores),
        store_bytes=sum(store.size for store in stores),
        chain=list(snapshot.chain),
        migrations=list(snapshot.migrations),
        secret=with_secret,
    )
    bundle.write_manifest(target, manifest)
    return manifest


def _check_target(target: Path) -> None:
    inside = storage.root().resolve()
    if inside == target.resolve() or inside in target.resolve().parents:
        raise BackupError(f"{target} lies in the data root {inside}: what destroys one would destroy the other")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupError(f"{target} is not an empty folder; each backup wants one of its own")


def _consistent(target: Path, say: Say) -> tuple[database.Snapshot, list[StoredThing]]:
    """Return a snapshot and its stores, all of which are in the target."""
    have: dict[str, StoredThing] = {}
    gone: list[str] = []
    for number in range(1, _SNAPSHOTS + 1):
        snapshot = database.take(target)
        say(f"database: {snapshot.path.stat().st_size} bytes, chain at {snapshot.chain[0]}")
        named = {store.key: store for store in snapshot.stores}
        for key in have.keys() - named.keys():
            _remove(target / key)
            del have[key]
        before, gone = gone, _take_stores(target, named, have, say)
        if not gone:
            return snapshot, list(have.values())
        if gone == before:
            raise BackupError("ready by the database, and not there; see `manage.py fsck`:\n" + "\n".join(gone))
        say(f"{len(gone)} stores were deleted meanwhile; snapshot {number + 1}")
    raise BackupError(f"stores were deleted during each of {_SNAPSHOTS} snapshots; try again when less is deleted")


def _take_stores(target: Path, named: dict[str, StoredThing], have: dict[str, StoredThing], say: Say) -> list[str]:
    """Bring every named store into the target, checked; return the keys of those that are gone."""
    gone, findings = [], Findings()
    wanted = [store for key, store in sorted(named.items()) if key not in have]
    for number, store in enumerate(wanted, start=1):
        finding = _take_store(target, store)
        if not finding:
            have[store.key] = store
        elif not storage.path(store.key).exists():
            _remove(target / store.key)
            gone.append(store.key)
        else:
            findings.lines.append(finding)
        if number % 100 == 0 or number == len(wanted):
            say(f"stores: {number} of {len(wanted)}")
    findings.refuse("stores are damaged; see `manage.py fsck`")
    return gone


def _take_store(target: Path, store: StoredThing) -> str:
    try:
        bundle.place(storage.root(), target, store)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        return f"{store.key}: {error}"
    return store.finding(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        for item in path.iterdir():
            _remove(item)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
