"""Schemathesis over the whole interface: whatever the description allows, and what it does not, no answer is a 5xx.

Bodies and queries are generated from the description; half of the cases go to the address of a thing that exists, so
that they get past the look-up.  ``CORR_API_EXAMPLES`` sets how many cases an operation gets; the seed is fixed, so that
a failure is found again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest
import requests
import schemathesis
from django.db import transaction
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from tests.contract.openapi import operation
from tests.contract.refusals import client_of
from tests.contract.requests import requests_of

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(3600)]

EXAMPLES = int(os.environ.get("CORR_API_EXAMPLES", "4"))
SEED = 20261122
FEWEST_OPERATIONS = 75
OWN_HEADERS = {"content-type", "content-length", "authorization", "user-agent", "x-schemathesis-testcaseid"}
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@pytest.mark.parametrize("role", ["staff_manager", "viewer"])
def test_no_request_makes_a_server_error(world, document, role):
    client = client_of(world.users[role])
    existing = addresses(world, document)
    findings, operations = [], 0
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        generated = found.ok()
        operations += 1
        run = fuzz(generated, client, existing.get((generated.method.upper(), generated.path)))
        try:
            run()
        except AssertionError as error:
            findings.append(f"{generated.label}: {error}"[:2000])
    assert operations >= FEWEST_OPERATIONS
    assert not findings, "\n\n".join(findings)


def addresses(world: Any, document: dict[str, Any]) -> dict[tuple[str, str], str]:
    """For each operation the address of a thing that exists."""
    templates = {
        id(item[method]): (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    found = {}
    for call in requests_of(world, "staff_manager"):
        served = operation(document, call.method, call.url.split("?")[0])
        if id(served) in templates:
            found[templates[id(served)]] = call.url.split("?")[0]
    return found


def fuzz(generated: Any, client: Any, address: str | None) -> Callable[[], None]:
    """Return a call that tries an operation with many cases, and undoes what each did."""
    cases = [generated.as_strategy(generation_mode=mode) for mode in GenerationMode]

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=st.one_of(cases), real=st.booleans())
    def run(case: Any, real: bool) -> None:
        prepared = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        split = urlsplit(prepared.url)
        path = address if real and address else split.path
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
        with transaction.atomic():
            response = client.generic(
                case.method,
                f"{path}?{split.query}" if split.query else path,
                body,
                content_type=prepared.headers.get("Content-Type", "application/json"),
                headers={name: value for name, value in prepared.headers.items() if name.lower() not in OWN_HEADERS},
            )
            transaction.set_rollback(True)
        assert response.status_code < 500, f"{case.method} {path}?{split.query} {body[:500]!r}: {response.status_code}"

    return run
