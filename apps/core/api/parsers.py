"""Request bodies: strict JSON, so that nothing odd reaches a column."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from apps.core.errors import TooLargeError

_MAX_DEPTH = 64
_MAX_INTEGER = 2**63 - 1


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands twice in one object")
        seen[key] = value
    return seen


def _check_leaf(value: Any) -> None:
    """Refuse what some database cannot hold: NUL, lone surrogates, huge numbers."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("a string holds a NUL character")
        value.encode("utf-8")  # lone surrogates raise UnicodeEncodeError, a ValueError
    elif isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise ValueError("an integer is larger than 64 bits")
    elif isinstance(value, float) and math.isinf(value):
        raise ValueError("a number is too large for a double")


def _check(value: Any, depth: int = 0) -> None:
    """Check keys and leaves, and that nesting ends."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        for key in value:
            _check_leaf(key)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    else:
        _check_leaf(value)


class StrictJSONParser(JSONParser):
    """JSON without NaN, duplicate keys, NUL characters, lone surrogates, 64-bit overflow or endless nesting."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the parsed body; ParseError (400) says what is wrong, TooLargeError (413) that it is too long."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLargeError(f"a JSON body may have {limit} bytes; files go to acquisitions/{{id}}/files/")
        try:
            # JSON is UTF-8 (RFC 8259); a codec of the client's choice may take minutes for a megabyte
            text = body.decode("utf-8")
            value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
            _check(value)
        except RecursionError as error:
            raise ParseError("JSON: nested too deeply") from error
        except ValueError as error:
            raise ParseError(f"JSON: {error}") from error
        return value
