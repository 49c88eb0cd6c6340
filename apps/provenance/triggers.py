"""Triggers that make the ledger append-only, on SQLite and PostgreSQL, and the decisions that apps above it register.

They are put in place by the first migration and put back after every ``migrate`` (SQLite remakes a table to change it
and drops its triggers with the old one); ``missing`` says which are not there as they should be.  No trigger on SQLite
names another table than its own: while one table is remade, SQLite refuses a rename if a trigger elsewhere names it.

On SQLite, ``INSERT OR REPLACE`` deletes the old row without firing DELETE triggers unless ``recursive_triggers`` is on.
The settings switch it on, and the insert triggers refuse a key that is taken, so a connection without it is held too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

_MESSAGE: Final = "the ledger is append-only"


@dataclass(frozen=True)
class Guard:
    """What is guarded of one table.

    Attributes
    ----------
    table : str
        Table name.
    keys : tuple of str
        Columns of which each value stands once; an insert that repeats one is refused.
    allowed : str
        SQL over OLD and NEW under which an UPDATE passes; empty: never.
    """

    table: str
    keys: tuple[str, ...]
    allowed: str = ""


_TEXT_ERASED: Final = (
    "OLD.text IS NOT NULL AND NEW.text IS NULL AND NEW.salt IS NULL AND NEW.erased_seq IS NOT NULL"
    " AND NEW.id = OLD.id AND NEW.node_id = OLD.node_id AND NEW.name = OLD.name"
    " AND NEW.commitment = OLD.commitment AND NEW.seq = OLD.seq"
)
_HEAD_FORWARD: Final = "NEW.id = OLD.id AND NEW.seq = OLD.seq + 1 AND NEW.hash <> OLD.hash"

GUARDS: Final[tuple[Guard, ...]] = (
    Guard("provenance_node", ("id",)),
    Guard("provenance_edge", ("id",)),
    Guard("provenance_annotation", ("id",)),
    Guard("provenance_stale", ("id",)),
    Guard("provenance_event", ("seq", "hash", "prev_hash")),
    Guard("provenance_erasabletext", ("id",), _TEXT_ERASED),
    Guard("provenance_chainhead", ("id",), _HEAD_FORWARD),
)

_registered: dict[str, Guard] = {}


def register(guard: Guard) -> None:
    """Have the rows of another app written once too; called from ``AppConfig.ready``, before any ``migrate``."""
    _registered[guard.table] = guard


def guards() -> tuple[Guard, ...]:
    """The ledger's own tables, then those registered."""
    return (*GUARDS, *_registered.values())


_FUNCTION: Final = "corr_ledger_refuse"
_FUNCTION_BODY: Final = f"""
BEGIN
    RAISE EXCEPTION '{_MESSAGE}: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END;
"""


def _sqlite_triggers(guard: Guard) -> dict[str, str]:
    """Return name -> CREATE statement."""
    taken = " OR ".join(f"{key} = NEW.{key}" for key in guard.keys)
    exists = f"EXISTS (SELECT 1 FROM {guard.table} WHERE {taken})"  # noqa: S608 - constants of this module
    conditions = {
        ("update", "UPDATE"): f"WHEN NOT ({guard.allowed})" if guard.allowed else "",
        ("delete", "DELETE"): "",
        ("replace", "INSERT"): f"WHEN {exists}",
    }
    return {
        f"{guard.table}_no_{what}": f"CREATE TRIGGER {guard.table}_no_{what} BEFORE {operation} ON {guard.table}"
        f" FOR EACH ROW {when} BEGIN SELECT RAISE(ABORT, '{_MESSAGE}: {what} on {guard.table} is refused'); END"
        for (what, operation), when in conditions.items()
    }


def _postgres_triggers(guard: Guard) -> dict[str, str]:
    """Return name -> CREATE statement.  There is no REPLACE; ON CONFLICT DO UPDATE fires the update trigger."""
    clauses = {
        "update": f"FOR EACH ROW WHEN (NOT ({guard.allowed}))" if guard.allowed else "FOR EACH ROW",
        "delete": "FOR EACH ROW",
        "truncate": "FOR EACH STATEMENT",
    }
    return {
        f"{guard.table}_no_{what}": f"CREATE TRIGGER {guard.table}_no_{what} BEFORE {what.upper()} ON {guard.table}"
        f" {clause} EXECUTE FUNCTION {_FUNCTION}()"
        for what, clause in clauses.items()
    }


def _expected(connection: BaseDatabaseWrapper, guard: Guard) -> dict[str, str]:
    return _postgres_triggers(guard) if connection.vendor == "postgresql" else _sqlite_triggers(guard)


def install(connection: BaseDatabaseWrapper) -> None:
    """Put every trigger in place anew, on those guarded tables that exist."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            declaration = f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql"
            cursor.execute(f"{declaration} AS $corr${_FUNCTION_BODY}$corr$")
        for guard in guards():
            if guard.table not in tables:
                continue
            on_table = f" ON {guard.table}" if connection.vendor == "postgresql" else ""
            for name, create in _expected(connection, guard).items():
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")
                cursor.execute(create)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers off.  For tests that flush and for undoing the first migration; nothing else may call it."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for guard in guards():
            if guard.table in tables:
                on_table = f" ON {guard.table}" if connection.vendor == "postgresql" else ""
                for name in _expected(connection, guard):
                    cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of triggers that are absent, switched off, or not the ones that were installed."""
    present = _present_postgres(connection) if connection.vendor == "postgresql" else _present_sqlite(connection)
    return [
        name
        for guard in guards()
        for name, create in _expected(connection, guard).items()
        if present.get(name) != _comparable(create)
    ]


def _comparable(statement: str) -> str:
    return " ".join(statement.split())


def _present_sqlite(connection: BaseDatabaseWrapper) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return {name: _comparable(sql) for name, sql in cursor.fetchall()}


def _present_postgres(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return name -> expected statement for every trigger that stands, is enabled and runs the unchanged function."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT t.tgname, c.relname, (t.tgqual IS NOT NULL)
            FROM pg_trigger t
            JOIN pg_class c ON c.oid = t.tgrelid
            JOIN pg_proc p ON p.oid = t.tgfoid
            WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND pg_table_is_visible(c.oid)
              AND p.proname = %s AND btrim(p.prosrc, E' \\n') = %s
            """,
            [_FUNCTION, _FUNCTION_BODY.strip()],
        )
        rows = set(cursor.fetchall())
    return {
        name: _comparable(create)
        for guard in guards()
        for name, create in _postgres_triggers(guard).items()
        if (name, guard.table, "WHEN (" in create) in rows
    }


@contextmanager
def suspended(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Take the triggers off for the body, and put them back.  For tests that flush (``testing.py``)."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)
