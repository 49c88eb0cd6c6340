"""The committed OpenAPI document is the served one, and what the routes answer is what it says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from rest_framework.test import APIClient

from tests.contract.conftest import asked
from tests.contract.matrix import Answer

pytestmark = pytest.mark.django_db

FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.yaml"
BASE = "urn:corrspace:openapi"
# Described by themselves, or by no document: the index of the surface, the pages of the documentation, the schema.
UNDESCRIBED = {"/api/v1/", "/api/v1/no-such-thing/", "/api/v1/docs/", "/api/v1/schema/"}


@pytest.fixture(scope="module")
def served() -> bytes:
    """The document as the surface gives it."""
    response = APIClient().get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert response.status_code == 200
    return response.content


@pytest.fixture(scope="module")
def document(served: bytes) -> dict[str, Any]:
    return yaml.safe_load(served)


def test_committed_document_is_the_served_one(served, request):
    if asked(request.config, "--update-openapi"):
        FILE.write_bytes(served)
    hint = "the surface has changed; if it is meant, run: python -m pytest tests/contract --update-openapi"
    assert FILE.read_bytes() == served, hint


def test_document_is_made_without_a_warning(tmp_path):
    """Also holds it against the OpenAPI 3.1 meta-schema."""
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "openapi.yaml"))


def test_every_route_is_described(answers, document):
    routes = {(a.call.method, a.call.url.split("?")[0]) for a in answers if a.call.route.is_api}
    missing = [
        (method, path) for method, path in routes if path not in UNDESCRIBED and not operation(document, method, path)
    ]
    assert not missing


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


def test_answers_are_as_described(answers, document):
    """Successes of the manager and of staff, and every refusal: status, media type, and body against its schema."""
    judge = Judge(document)
    mine = [a for a in answers if a.call.route.is_api and a.call.url.split("?")[0] not in UNDESCRIBED]
    succeeded = [a for a in mine if a.succeeded and a.role in ("manager", "staff_manager")]
    refused = {(a.call.key, a.status): a for a in mine if a.status >= 400}
    findings = [line for answer in [*succeeded, *refused.values()] for line in judge.findings(answer)]
    assert not findings, "\n".join(sorted(set(findings)))
    assert len({a.call.key for a in succeeded}) > 100
    assert len(refused) > 150
