"""How many statements a read takes: as many as are written down, and no more where there are more rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.projects.services import set_member
from tests.contract.conftest import asked
from tests.contract.refusals import client_of
from tests.contract.requests import Call, requests_of
from tests.contract.world import double

pytestmark = pytest.mark.django_db

FILE = Path(__file__).with_name("query_counts.json")
# A graph is read whole, by one statement a kind of thing that is in it: more kinds, more statements, not more rows.
GRAPH = ("/derivation/", "/provenance/", "/stale/", "lineage/")


def reads(world) -> list[Call]:
    calls = [c for c in requests_of(world, "contributor") if c.method == "get" and not c.route.is_admin]
    skipped = ("schema/", "docs/", "healthz", "/login/", "{path}", "shares/{name}/")
    return [c for c in calls if not any(word in c.key for word in skipped)]


def count(client, call: Call) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = client.get(call.url)
        b"".join(response) if response.streaming else response.content
    assert response.status_code == 200, (call.key, response.status_code)
    return len([query for query in captured if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))])


def counts(world) -> dict[str, int]:
    api, pages = client_of(world.users["contributor"]), client_of(None)
    pages.force_login(world.users["contributor"], "django.contrib.auth.backends.ModelBackend")
    calls = reads(world)
    for call in calls:  # what is kept from one request to the next is not counted
        count(api if call.route.is_api else pages, call)
    return {call.key: count(api if call.route.is_api else pages, call) for call in calls}


def test_counts_are_as_written_down_and_do_not_grow_with_rows(world, request):
    found = counts(world)
    if asked(request.config, "--update-query-counts"):
        FILE.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    written = json.loads(FILE.read_text())
    hint = "; if it is meant, run: python -m pytest tests/contract --update-query-counts"
    assert set(found) == set(written), f"{set(found) ^ set(written)}{hint}"
    more = {key: (written[key], found[key]) for key in found if found[key] > written[key]}
    assert not more, f"{more}{hint}"
    double(world)
    again = counts(world)
    grown = {key: (found[key], again[key]) for key in found if again[key] > found[key] and not is_graph(key)}
    assert not grown


def is_graph(key: str) -> bool:
    return any(word in key for word in GRAPH)


def test_members_of_a_project_cost_no_statement_each(world):
    client = client_of(world.users["manager"])
    url = f"/api/v1/projects/{world.project.pk}/members/"
    call = Call("members", "get", url)
    before = count(client, call)
    for name in ("outsider", "staff", "superuser"):
        set_member(actor=world.users["manager"], project=world.project, username=name, role="viewer")
    assert count(client, call) == before
