"""What the two databases say differently: lists of ids as one parameter, and times."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable
from typing import Any

from django.db import connection


def id_list(ids: Iterable[uuid.UUID]) -> tuple[str, Any]:
    """Return (SELECT of one column ``id``, its one parameter), however many ids there are."""
    if connection.vendor == "postgresql":
        return "SELECT unnest(%s::uuid[]) AS id", list(ids)
    return "SELECT value AS id FROM json_each(%s)", json.dumps([value.hex for value in ids])


def word_list(words: Iterable[str]) -> tuple[str, Any]:
    """Return (SELECT of one column, its one parameter) for words."""
    if connection.vendor == "postgresql":
        return "SELECT unnest(%s::text[])", list(words)
    return "SELECT value FROM json_each(%s)", json.dumps(list(words))


def id_param(value: uuid.UUID) -> Any:
    """Return one id as a parameter."""
    return value if connection.vendor == "postgresql" else value.hex


def time_param(value: dt.datetime) -> Any:
    """Return an aware time as a parameter."""
    return connection.ops.adapt_datetimefield_value(value)


def as_id(value: Any) -> uuid.UUID:
    """Return an id as the database gave it."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
