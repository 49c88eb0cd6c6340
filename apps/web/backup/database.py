"""The database's side: a consistent snapshot beside writers, what it names, and the way back."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.core.models import Store
from apps.provenance.models import ChainHead
from apps.web.backup.bundle import DATABASES, BackupError, Engine, StoredThing, engine_of, sync

_BUSY_SECONDS = 60.0
_OPTIONS = {
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "service": "PGSERVICE",
    "passfile": "PGPASSFILE",
}
Query = Callable[[str], Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class Snapshot:
    """A database at one instant: its file, and what the rows in it say."""

    engine: Engine
    path: Path
    stores: tuple[StoredThing, ...]
    chain: tuple[int, str]
    migrations: tuple[str, ...]


def take(folder: Path) -> Snapshot:
    """Write a snapshot of the database into ``folder``; writers are neither stopped nor slowed.

    SQLite: its backup interface, all pages in one read transaction.  PostgreSQL: ``pg_dump`` on an exported snapshot of
    a serialisable, deferrable transaction, in which the rows are read as well.

    Raises
    ------
    BackupError
        ``pg_dump`` is not there or refuses; the snapshot is not whole.
    """
    engine = engine_of(connection.vendor)
    path = folder / DATABASES[engine]
    path.unlink(missing_ok=True)
    return _take_sqlite(path) if engine == "sqlite" else _take_postgres(path)


def _described(engine: Engine, path: Path, query: Query) -> Snapshot:
    store, head = Store._meta.db_table, ChainHead._meta.db_table
    rows = query(f"SELECT key, kind, digest, size_bytes FROM {store} WHERE state = 'ready'")  # noqa: S608 - own names
    chain = query(f"SELECT seq, hash FROM {head}")  # noqa: S608 - own names
    migrations = query("SELECT app, name FROM django_migrations")
    return Snapshot(
        engine,
        path,
        tuple(StoredThing(*row) for row in rows),
        (int(chain[0][0]), str(chain[0][1])) if chain else (0, ""),
        tuple(sorted(f"{app}.{name}" for app, name in migrations)),
    )


def _take_sqlite(path: Path) -> Snapshot:
    source = f"{Path(connection.settings_dict['NAME']).resolve().as_uri()}?mode=ro"
    path.touch(mode=0o600)
    with (
        closing(sqlite3.connect(source, uri=True, timeout=_BUSY_SECONDS)) as live,
        closing(sqlite3.connect(path)) as copy,
    ):
        live.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole without a log beside it
        (answer,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            raise BackupError(f"the database is damaged: {answer}")
        snapshot = _described("sqlite", path, lambda sql: copy.execute(sql).fetchall())
    sync(path)
    return snapshot


def _take_postgres(path: Path) -> Snapshot:
    program = _program("pg_dump")

    def query(sql: str) -> Sequence[Sequence[Any]]:
        cursor.execute(sql)
        return list(cursor.fetchall())

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE")
        cursor.execute("SELECT pg_export_snapshot()")
        (name,) = cursor.fetchone()
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={name}", f"--file={path}"]
        path.touch(mode=0o600)
        _run([program, *options])
        snapshot = _described("postgresql", path, query)
    sync(path)
    return snapshot


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"{name} is not installed here; install PostgreSQL's client programs of the server's version")
    return found


def _run(command: list[str]) -> None:
    """Run a client program on the installation's database; the password goes by environment, not by argument."""
    given = connection.settings_dict
    names = {"HOST": "PGHOST", "PORT": "PGPORT", "USER": "PGUSER", "PASSWORD": "PGPASSWORD", "NAME": "PGDATABASE"}
    environment = {variable: str(given[name]) for name, variable in names.items() if given.get(name)}
    options = given.get("OPTIONS") or {}
    environment |= {variable: str(options[name]) for name, variable in _OPTIONS.items() if options.get(name)}
    done = subprocess.run(
        command,
        env={**settings.CORR_CHILD_ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BackupError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-2000:]}")


def is_empty() -> bool:
    """True if the installation's database has no table."""
    return not connection.introspection.table_names()


def put_back(engine: Engine, source: Path) -> None:
    """Fill the empty database of this installation from a snapshot, all of it or nothing."""
    if engine == "postgresql":
        options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
        name = str(connection.settings_dict["NAME"])
        connection.close()
        _run([_program("pg_restore"), *options, f"--dbname={name}", str(source)])
        return
    final = Path(connection.settings_dict["NAME"])
    connection.close()
    draft = final.with_name(f".{final.name}.restoring")
    shutil.copyfile(source, draft)
    draft.chmod(0o600)
    sync(draft)
    for suffix in ("-wal", "-shm", "-journal"):
        final.with_name(final.name + suffix).unlink(missing_ok=True)
    draft.replace(final)
    sync(final.parent)


def chain_head() -> tuple[int, str]:
    """Sequence and hash of the ledger's last event."""
    head = ChainHead.objects.first()
    return (head.seq, head.hash) if head else (0, "")
