"""The OpenAPI document as a judge: which operation serves an address, and whether an answer is as described."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.contract.matrix import Answer

BASE = "urn:corrspace:openapi"


def operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    """Return the operation that serves an address; one without parameters before one with."""
    fitting = [pattern for pattern in patterns(tuple(document["paths"])) if pattern[1].fullmatch(path)]
    for name, _ in fitting:
        if method in document["paths"][name]:
            found: dict[str, Any] = document["paths"][name][method]
            return found
    return {}


@cache
def patterns(paths: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    """Return templates with what they match; a store's key has slashes."""
    made = []
    for path in sorted(paths, key=lambda path: path.count("{")):
        parts = re.split(r"(\{\w+\})", path)
        regex = "".join(".+" if p == "{key}" else "[^/]+" if p.startswith("{") else re.escape(p) for p in parts)
        made.append((path, re.compile(regex)))
    return made


class Judge:
    """Holds answers against the document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        resource = Resource.from_contents(document, default_specification=DRAFT202012)
        self.registry = Registry().with_resource(BASE, resource)

    def findings(self, answer: Answer) -> list[str]:
        """Return what is not as the document says; empty if all is."""
        where = f"{answer.role}: {answer.call.key} -> {answer.status}"
        path = answer.call.url.split("?")[0]
        responses = operation(self.document, answer.call.method, path).get("responses", {})
        response = responses.get(str(answer.status)) or responses.get(f"{answer.status // 100}XX")
        if response is None:
            return [f"{where}: not among {sorted(responses)}"]
        content = response.get("content", {})
        if not content:
            return [f"{where}: a body where none is described"] if answer.content else []
        media_type = answer.content_type.split(";")[0]
        if media_type not in content:
            return [f"{where}: {media_type} is not among {sorted(content)}"]
        if answer.json is None:
            return []
        schema = absolute(content[media_type]["schema"])
        errors = Draft202012Validator(schema, registry=self.registry).iter_errors(answer.json)
        return [f"{where}: {error.json_path}: {error.message[:300]}" for error in errors]


def absolute(schema: Any) -> Any:
    """Return a schema whose references name the document they point into."""
    if isinstance(schema, dict):
        return {
            name: f"{BASE}{value}" if name == "$ref" and str(value).startswith("#") else absolute(value)
            for name, value in schema.items()
        }
    return [absolute(item) for item in schema] if isinstance(schema, list) else schema
