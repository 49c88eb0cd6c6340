"""The committed OpenAPI document is the served one, and what the routes answer is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command

from tests.contract.conftest import asked
from tests.contract.openapi import Judge, operation

pytestmark = pytest.mark.django_db

FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.yaml"
# Described by themselves, or by no document: the index of the surface, the pages of the documentation, the schema.
UNDESCRIBED = {"/api/v1/", "/api/v1/no-such-thing/", "/api/v1/docs/", "/api/v1/schema/"}


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
