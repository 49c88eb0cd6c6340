"""Puts a backup back into an empty installation."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from apps.audit import fsck
from apps.core import storage
from apps.jobs import leases
from apps.jobs.sweep import sweep_storage
from apps.provenance import checks, triggers
from apps.web.backup import bundle, database
from apps.web.backup.bundle import BackupError, Bundle, StoredThing

MARK = "restoring"
_SHOWN = 5
Say = Callable[[str], None]


@dataclass(frozen=True)
class Restored:
    """What came back: the manifest, jobs that were running and are retried, and what ``fsck`` finds."""

    bundle: Bundle
    interrupted_jobs: int
    findings: list[str]


def restore(source: Path, *, say: Say = lambda line: None) -> Restored:
    """Fill this installation, which must be empty, from a backup.

    Every digest is checked before anything is written; the database comes last, in one step, and nothing is visible
    without it.  A restore that was interrupted is taken up again by the same call.

    Raises
    ------
    BackupError
        The backup is not whole; the installation is not empty, is being served, has another kind of database or an
        older program than the backup.
    """
    say("checking the backup")
    manifest, stores = bundle.read(source)
    with _nobody_serves():
        _check_target(manifest)
        mark = storage.root() / MARK
        bundle.write_durably(mark, bundle.digest(manifest).encode())
        _place_stores(source, stores, say)
        if database.is_empty():
            say("database")
            database.put_back(manifest.engine, source / manifest.database)
        interrupted = _settle(manifest)
        if manifest.secret:
            secret = (source / bundle.SECRET).read_bytes()
            bundle.write_durably(storage.root() / bundle.SECRET, secret)
        mark.unlink()
        say("fsck")
        return Restored(manifest, interrupted, list(fsck.find()))


@contextmanager
def _nobody_serves() -> Iterator[None]:
    """Hold the lock that ``serve`` takes, so that it cannot start meanwhile."""
    folder = Path(settings.CORR_DATA_ROOT) / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "serve.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"a server runs on {folder.parent}; stop it first") from error
        yield


def _check_target(manifest: Bundle) -> None:
    """Refuse an installation that has anything, except from a restore of this very backup that did not end."""
    if connection.vendor != manifest.engine:
        raise BackupError(f"the backup is of {manifest.engine}, this installation runs on {connection.vendor}")
    known = [f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations]
    if unknown := bundle.unknown_migrations(manifest, known):
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        names = ", ".join(unknown[:_SHOWN]) + more
        raise BackupError(f"the backup is of a newer program, which knows {names}; install that one")
    mark = storage.root() / MARK
    again = mark.is_file() and mark.read_text() == bundle.digest(manifest)
    if not database.is_empty() and not (again and database.chain_head() == tuple(manifest.chain)):
        raise BackupError("the database is not empty; restore wants an installation that was never used")
    there = next(storage.final_keys(), None)
    if there is not None and not again:
        raise BackupError(f"the data root {storage.root()} is not empty: {there}")


def _place_stores(source: Path, stores: list[StoredThing], say: Say) -> None:
    for number, store in enumerate(stores, start=1):
        storage.discard(storage.path(store.key))  # half of it may be there from an interrupted restore
        bundle.place(source, storage.root(), store)
        if number % 100 == 0 or number == len(stores):
            say(f"stores: {number} of {len(stores)}")


def _settle(manifest: Bundle) -> int:
    """Bring tables up to this program, and end what was under way when the snapshot was taken."""
    call_command("migrate", interactive=False, verbosity=0)
    if checks.missing_triggers():
        triggers.install(connection)
    if database.chain_head() != tuple(manifest.chain):
        raise BackupError(f"the chain ends at {database.chain_head()}, by the backup at {tuple(manifest.chain)}")
    interrupted = leases.void_all()
    sweep_storage()
    return interrupted
