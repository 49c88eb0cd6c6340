"""Bodies that no route may take: each in order but for one thing, derived from the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MARK = "@@raw@@"
LONG = "a" * 100_000
# Values as they stand in the body: JSON, or what some parsers take for it.
RAW: dict[str, str] = {
    "a list": "[]",
    "a list of lists": "[[[[1]]]]",
    "an object": '{"such": "thing"}',
    "a flag": "true",
    "a number": "7",
    "a fraction": "1.5",
    "a negative number": "-1",
    "a huge integer": str(2**70),
    "an infinite number": "1e400",
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "a text": '"@#"',
    "an empty text": '""',
    "white space": '" "',
    "a NUL": '"a\\u0000b"',
    "half a surrogate pair": '"\\ud800"',
    "a long text": json.dumps(LONG),
    "a deep nest": "[" * 10_000 + "]" * 10_000,
    "a nest as deep as is parsed": '{"a":' * 60 + "1" + "}" * 60,
    "a NUL in a key": '{"\\u0000": 1}',
    "a key twice": '{"a": 1, "a": 2}',
}
ALWAYS_WRONG = frozenset(
    {"NaN", "Infinity", "an infinite number", "a huge integer", "a NUL", "half a surrogate pair", "a deep nest"}
    | {"a NUL in a key", "a key twice"}
)
# What each JSON type is never made of; what else is wrong depends on the field, and may not break anything.
WRONG: dict[str, frozenset[str]] = {
    "string": frozenset({"a list", "a list of lists", "an object", "a flag", "a number", "a fraction", "a long text"}),
    "number": frozenset({"a list", "a list of lists", "an object", "a flag", "a text", "an empty text", "a long text"}),
    "integer": frozenset({"a list", "an object", "a flag", "a text", "a fraction", "a long text"}),
    "boolean": frozenset({"a list", "an object", "a number", "a text", "a long text"}),
    "array": frozenset({"an object", "a flag", "a number", "a text", "a list of lists", "a long text"}),
    "object": frozenset({"a list", "a list of lists", "a flag", "a number", "a text", "a long text"}),
}


@dataclass(frozen=True)
class Mutation:
    """A body, what is odd about it, and whether it must be refused or only must break nothing."""

    name: str
    body: bytes
    refused: bool = True
    content_type: str = "application/json"


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while True:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        else:
            return schema


def fields(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, set[str]]:
    """Return field -> JSON types that it takes, as the document says; empty where the call takes no body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return {}
    properties = _resolved(document, content["schema"]).get("properties", {})
    return {name: _types(document, schema) for name, schema in properties.items()}


def _types(document: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    schema = _resolved(document, schema)
    given = schema.get("type")
    if given:
        return {given} if isinstance(given, str) else set(given)
    found: set[str] = set()
    for choice in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        found |= _types(document, choice)
    return found or ({"string"} if "enum" in schema else {"any"})


def with_raw(body: dict[str, Any], field: str, raw: str) -> bytes:
    """Return a body as JSON with the text ``raw`` as the value of a field."""
    return json.dumps({**body, field: _MARK}).replace(json.dumps(_MARK), raw, 1).encode()


def of_fields(body: dict[str, Any], types: dict[str, set[str]]) -> Iterator[Mutation]:
    """Yield bodies with one field of another kind."""
    for field, takes in types.items():
        for name, raw in RAW.items():
            wrong = name in ALWAYS_WRONG or (
                "any" not in takes and all(name in WRONG.get(t, ()) for t in takes - {"null"})
            )
            yield Mutation(f"{field}: {name}", with_raw(body, field, raw), refused=wrong)
        yield Mutation(
            f"{field}: null", with_raw(body, field, "null"), refused="null" not in takes and "any" not in takes
        )


def of_bodies(body: dict[str, Any]) -> Iterator[Mutation]:
    """Yield bodies that are no object of known fields, whatever the route."""
    text = json.dumps(body)
    yield Mutation("an unknown field", json.dumps({**body, "no_such_field": 1}).encode())
    yield Mutation("an unknown field with an odd name", json.dumps({**body, "__class__": {"a": [1]}}).encode())
    yield Mutation("a field twice", (text[:-1] + (", " if body else "") + '"x": 1, "x": 2}').encode())
    yield Mutation("half a body", text[:-1].encode())
    yield Mutation("two bodies", (text + text).encode())
    for name in ("a list", "a number", "a text", "NaN", "a deep nest", "a long text", "a huge integer"):
        yield Mutation(f"nothing but {name}", RAW[name].encode())
    yield Mutation("null", b"null")
    yield Mutation("no UTF-8", b'{"name": "\xff\xfe"}')
    yield Mutation("a byte order mark", b"\xef\xbb\xbf" + text.encode())
    yield Mutation("UTF-16", text.encode("utf-16"), content_type="application/json; charset=utf-8")
    yield Mutation("an unknown charset", text.encode(), content_type="application/json; charset=no-such", refused=False)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml"):
        yield Mutation(f"sent as {content_type}", text.encode(), content_type=content_type)
    yield Mutation("sent as a broken media type", text.encode(), content_type="json;;;")
    yield Mutation("sent as a form", b"--x\r\nbroken", content_type="multipart/form-data; boundary=x")
