"""Text and JSON from files and plugins, made so that JSON, SQLite and PostgreSQL all hold them.

NUL is no character of a PostgreSQL text, half a surrogate pair is none of UTF-8, NaN and infinities are none of JSON:
each ends the statement or the answer it stands in.  A file may hold all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable_text(text: str, limit: int | None = None) -> str:
    """Text with the replacement character for NUL and half surrogate pairs, cut after ``limit`` characters."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text[:limit])


def storable_json(value: Any) -> Any:
    """A value as JSON and both databases hold it: NaN and infinities as text, tuples as lists, other types as text."""
    if isinstance(value, str):
        return storable_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {storable_text(str(key)): storable_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(item) for item in value]
    return storable_text(str(value))
