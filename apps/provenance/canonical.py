"""From values to the exact bytes that are hashed."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import math
import secrets
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import rfc8785

from apps.core.ids import urn

PAYLOAD_VERSION: Final = 1
GENESIS_HASH: Final = "0" * 64
_SAFE_INTEGER: Final = 2**53 - 1


class RecordError(ValueError):
    """What a service says to the ledger cannot be: a bug of the service, never of its user."""


def plain(value: Any, path: str = "attributes") -> Any:
    """Return a value as JSON has it, the same on every database.

    Parameters
    ----------
    value : object
        Mappings, sequences, strings, finite numbers, booleans, None, UUIDs, aware datetimes, dates, decimals and numpy
        scalars, nested as you like.
    path : str
        Where the value stands, for the error.

    Returns
    -------
    object
        UUIDs become ``urn:uuid:...``, times ISO 8601 in UTC, decimals and integers beyond 2**53 - 1 strings: JSON
        readers keep no more digits, so a seed would otherwise come back as another seed.

    Raises
    ------
    RecordError
        A value that JSON or one of the databases cannot hold: NaN, infinities, naive times, NUL or lone surrogates in
        text, keys that are no strings, other types.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str(value), path)
    if isinstance(value, int | float):
        return _number(value, path)
    if isinstance(value, Mapping):
        return {_key(key, path): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return _scalar(value, path)


def _text(value: str, path: str) -> str:
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise RecordError(f"{path}: text with NUL or a lone surrogate cannot be recorded: {value!r}")
    return value


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise RecordError(f"{path}: the key {key!r} is no string")
    return _text(str(key), path)


def _number(value: float, path: str) -> Any:
    if isinstance(value, int):
        return int(value) if abs(value) <= _SAFE_INTEGER else str(int(value))
    if not math.isfinite(value):
        raise RecordError(f"{path}: {value!r} is no number that JSON can hold; leave the key out or say why in words")
    return float(value)


def _scalar(value: Any, path: str) -> Any:
    if isinstance(value, uuid.UUID):
        return urn(value)
    if isinstance(value, dt.datetime):
        return instant(value, path)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, AbstractSet):
        raise RecordError(f"{path}: a set has no order; give a sorted list")
    item = getattr(value, "item", None)  # numpy scalars, without importing numpy here
    if callable(item) and getattr(value, "ndim", None) == 0:
        return plain(item(), path)
    raise RecordError(f"{path}: {type(value).__name__} cannot be recorded: {value!r}")


def instant(value: dt.datetime, path: str = "time") -> str:
    """Return an aware time as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``.

    Raises
    ------
    RecordError
        The time has no zone.
    """
    if value.utcoffset() is None:
        raise RecordError(f"{path}: {value!r} has no zone; local times without zone are recorded as text")
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(value: Any) -> str:
    """Return the canonical JSON text (RFC 8785) of a plain value, also where it came back from JSON."""
    try:
        return rfc8785.dumps(value).decode("utf-8")
    except rfc8785.IntegerDomainError:
        # 1e20 is written as an integer and read back as one; true integers of that size were strings (see `plain`)
        return rfc8785.dumps(_large_integers_as_floats(value)).decode("utf-8")


def _large_integers_as_floats(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        return float(value)
    if isinstance(value, Mapping):
        return {key: _large_integers_as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_large_integers_as_floats(item) for item in value]
    return value


def event_hash(version: int, prev_hash: str, payload: str) -> str:
    """Return ``sha256(version byte || previous hash as 32 bytes || payload as UTF-8)`` in hex."""
    return hashlib.sha256(bytes([version]) + bytes.fromhex(prev_hash) + payload.encode("utf-8")).hexdigest()


def new_salt() -> str:
    """Return 32 random bytes in hex."""
    return secrets.token_hex(32)


def commitment(salt: str, text: str) -> str:
    """Return ``sha256(salt bytes || text as UTF-8)`` in hex.  Without the salt the text cannot be guessed from it."""
    return hashlib.sha256(bytes.fromhex(salt) + text.encode("utf-8")).hexdigest()
