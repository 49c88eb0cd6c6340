"""Identifiers: UUIDs inside, ``urn:uuid:`` in records."""

from __future__ import annotations

import uuid


def new_id() -> uuid.UUID:
    """Return a random UUID for a new row."""
    return uuid.uuid4()


def urn(value: uuid.UUID | str) -> str:
    """Return ``urn:uuid:...`` for an id."""
    return f"urn:uuid:{uuid.UUID(str(value))}"
