"""The one sanctioned way to empty the ledger: for tests whose database is flushed between them.

A transactional test ends with Django's ``flush``, which the triggers refuse.  The root ``conftest.py`` lets it pass,
with the triggers off for exactly as long as the flush runs::

    from apps.provenance.testing import flushing_allowed

    @pytest.fixture(scope="session", autouse=True)
    def _ledger_can_be_flushed():
        with flushing_allowed():
            yield

Without it, and so in any installation, ``manage.py flush`` is refused by the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.core.management.commands.flush import Command
from django.db import connections, transaction

from apps.provenance import triggers
from apps.provenance.canonical import GENESIS_HASH


@contextmanager
def flushing_allowed() -> Iterator[None]:
    """Let Django's flush command empty the ledger while the body runs."""
    original = Command.handle

    @wraps(original)
    def handle(self: Command, **options: Any) -> Any:
        connection = connections[options["database"]]
        with triggers.suspended(connection):
            return original(self, **options)

    Command.handle = handle  # type: ignore[method-assign]
    try:
        yield
    finally:
        Command.handle = original  # type: ignore[method-assign]


def reset_ledger(alias: str = "default") -> None:
    """Empty the ledger and put the chain head back to its beginning, triggers in place."""
    connection = connections[alias]
    with transaction.atomic(using=alias), triggers.suspended(connection), connection.cursor() as cursor:
        for guard in sorted(triggers.GUARDS, key=lambda guard: guard.table == "provenance_node"):  # referenced: last
            cursor.execute(f"DELETE FROM {guard.table}")  # noqa: S608 - a constant of triggers.py
        cursor.execute("INSERT INTO provenance_chainhead (id, seq, hash) VALUES (1, 0, %s)", [GENESIS_HASH])
