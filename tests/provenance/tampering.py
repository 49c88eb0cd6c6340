"""Raw statements against the ledger's tables, as somebody with the database's password would send them."""

from __future__ import annotations

from django.db import connection, transaction

from apps.provenance import triggers


def run(sql: str, params: list[object] | None = None) -> None:
    """Send a statement in a savepoint, so that a refusal leaves the transaction usable."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params or [])


def tamper(sql: str, params: list[object] | None = None) -> None:
    """Send a statement with the triggers off, as whoever owns the database can."""
    with triggers.suspended(connection):
        run(sql, params)
