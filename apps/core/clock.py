"""The database's clock: the one that all processes of an installation share.

Leases are compared and set in SQL with this expression, never with the clock of a host.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func
from django.db.models.sql.compiler import SQLCompiler
from django.utils.dateparse import parse_datetime


class DbNow(Func):
    """Time by the database's clock at the moment the statement runs, shifted by ``seconds``.

    PostgreSQL: ``clock_timestamp()``, which goes on while a statement waits for a row lock (``now()`` stands still for
    a whole transaction).  SQLite: ``strftime`` to the millisecond, in the form in which Django stores times there.
    """

    arity = 0

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(output_field=DateTimeField())
        self.seconds = float(seconds)

    def __repr__(self) -> str:
        return f"DbNow({self.seconds:+g} s)"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Any:
        """Render for SQLite."""
        return "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s)", [f"{self.seconds:+.3f} seconds"]

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Any:
        """Render for PostgreSQL."""
        return "(clock_timestamp() + make_interval(secs => %s))", [self.seconds]


def now() -> dt.datetime:
    """Ask the database what time it is (UTC, aware)."""
    sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')" if sqlite else "SELECT clock_timestamp()")
        (value,) = cursor.fetchone()
    if isinstance(value, str):
        parsed = parse_datetime(value)
        if parsed is None:
            raise ValueError(f"the database says it is {value!r}")
        value = parsed.replace(tzinfo=dt.UTC)
    found: dt.datetime = value
    return found.astimezone(dt.UTC)
