"""No address makes a 5xx: ids, filters, cursors, methods, credentials and keys of stores that cannot be."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from django.db import transaction
from rest_framework.response import Response
from rest_framework.test import APIClient

from tests.contract.mutations import Mutation
from tests.contract.openapi import operation
from tests.contract.refusals import NOWHERE, client_of, problem, writing
from tests.contract.requests import Call, requests_of

pytestmark = pytest.mark.django_db


def reading(world) -> list[Call]:
    calls = [c for c in requests_of(world, "staff_manager") if c.route.is_api and c.method == "get"]
    skipped = ("/api/v1/schema/", "/api/v1/docs/", "{path}", "?")
    return [c for c in calls if not any(word in c.key for word in skipped)]


def test_unknown_query_parameters_are_refused(world, manager, nothing_stored):
    findings = []
    calls = [c for c in reading(world) if c.url != "/api/v1/" and "zarr" not in c.url]
    for call in [*calls, *(c for c in writing(world) if "?" not in c.url)]:
        mutation = Mutation("an unknown parameter", json.dumps(call.body(world) if call.body else {}).encode())
        for query in ("no_such_parameter=1", "%00=1", "project%5B%5D=1"):
            if call.method == "get":
                response = manager.get(f"{call.url}{'&' if '?' in call.url else '?'}{query}")
            else:
                response = manager.generic(call.method, f"{call.url}?{query}", mutation.body, "application/json")
            if wrong := problem(response):
                findings.append(f"{call.key} ?{query}: {wrong}")
    assert not findings, "\n".join(findings)


def cursor(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


CURSORS = [
    "x",
    "%00",
    "===",
    "%F0%9F%92%A9",
    *(
        cursor(text)
        for text in (
            "p=abc",
            "p=2024-01-01",
            "p=%00",
            "p=" + "9" * 400,
            "r=1&p=abc",
            "o=abc&p=1",
            "o=-1&p=x",
            "o=99999999999999999999",
            "p=2024-13-45T00:00:00Z",
            "p=0001-01-01T00:00:00%2B23:59",
            "p=9999-12-31T23:59:59-23:59",
            "\ud800",
        )
    ),
    "A" * 20_000,
]


LIMITS = ("0", "-1", "abc", "1.5", "", "%00", "9" * 30, "\u0661")


def lists(world) -> list[Call]:
    return [
        c for c in reading(world) if "{pk}" not in c.route.path or c.url.endswith(("/log/", "/states/", "/members/"))
    ]


def undone(client: APIClient, url: str) -> Response:
    """Ask in a savepoint: what PostgreSQL refuses spoils the transaction that a request of its own would not have."""
    with transaction.atomic():
        response = client.get(url)
        transaction.set_rollback(True)
    return response


def test_odd_cursors_and_limits_break_nothing(world, manager):
    """A cursor of no answer's making is a 404, or, where it happens to be a place in the list, a page."""
    findings, paged = [], [c for c in lists(world) if c.url not in ("/api/v1/", "/api/v1/me/", "/api/v1/plugins/")]
    for call in paged:
        for given in CURSORS:
            response = undone(manager, f"{call.url}?cursor={given}")
            page = response.status_code == 200 and "results" in response.json()
            if not page and (wrong := problem(response)):
                findings.append(f"{call.key} cursor {given[:40]}: {wrong}")
        answers = {given: manager.get(f"{call.url}?limit={given}") for given in LIMITS}
        findings += [
            f"{call.key} limit {given}: {problem(found)}" for given, found in answers.items() if problem(found)
        ]
    assert not findings, "\n".join(findings)
    assert len(paged) >= 15


def test_odd_filters_break_nothing(world, manager, document):
    """Every parameter of every list that the document names, with values of no kind that it takes."""
    findings, tried = [], 0
    for call in lists(world):
        parameters = operation(document, "get", call.url).get("parameters", [])
        names = {
            p["name"]: p["schema"] for p in parameters if p["in"] == "query" and p["name"] not in ("cursor", "limit")
        }
        for name, schema in names.items():
            for given in ("abc", "", "%00", "-1", NOWHERE, "9" * 400, "%ED%A0%80", "a" * 5000, "%27%3B--", "1e400"):
                tried += 1
                response = undone(manager, f"{call.url}?{name}={given}")
                typed = schema.get("format") in ("uuid", "date-time") or "enum" in schema or "$ref" in schema
                if response.status_code == 200 and (not typed or given in ("", NOWHERE)):
                    continue
                if wrong := problem(response):
                    findings.append(f"{call.key} {name}={given[:20]}: {wrong}")
    assert not findings, "\n".join(findings)
    assert tried > 300


def test_a_filter_does_not_tell_whether_a_hidden_row_exists(world, document):
    outsider = client_of(world.users["outsider"])
    hidden = {name: str(row.pk) for name, row in world.things.items() if hasattr(row, "pk")}
    tried = 0
    for call in lists(world):
        for parameter in operation(document, "get", call.url).get("parameters", []):
            if parameter["schema"].get("format") != "uuid" or parameter["in"] != "query":
                continue
            name = parameter["name"]
            for pk in (hidden["project"], hidden["specimen"], hidden["image"], hidden["threshold"], hidden["frame"]):
                tried += 1
                there, nowhere = (outsider.get(f"{call.url}?{name}={key}") for key in (pk, NOWHERE))
                assert (there.status_code, there.content) == (nowhere.status_code, nowhere.content), (call.key, name)
    assert tried > 100


def test_odd_ids_in_addresses_are_not_found(world, manager, nothing_stored):
    findings = []
    calls = [c for c in requests_of(world, "staff_manager") if c.route.is_api and "{pk}" in c.route.path]
    calls = [c for c in calls if "break-glass" not in c.url]  # refused before anything is looked up
    for call in calls:
        known = ids_of(world)
        pk = next((part for part in call.url.split("/") if is_uuid(part) and part in known), None)
        if pk is None:
            continue
        for odd in ("abc", "1", NOWHERE, "%00", "..", "%2e%2e", pk.upper(), pk.replace("-", ""), pk + "%0a", "-" * 36):
            url = call.url.replace(pk, odd, 1)
            body = json.dumps(call.body(world) if call.body and call.form == "json" else {})
            response = manager.generic(call.method.upper(), url, body, content_type="application/json")
            if response.status_code != 404 and odd not in (".", ".."):
                findings.append(f"{call.key} {odd}: {response.status_code}")
            elif wrong := problem(response):
                findings.append(f"{call.key} {odd}: {wrong}")
    assert not findings, "\n".join(findings)
    assert len(calls) > 60


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def ids_of(world) -> set[str]:
    return {str(row.pk) for name, row in world.things.items() if hasattr(row, "pk") and name != "membership"}


def test_methods_that_are_not_there_are_refused(world, manager, nothing_stored):
    findings = []
    skipped = ("{path}", "/docs/", "/schema/")
    requests = [c for c in requests_of(world, "staff_manager") if c.route.is_api]
    calls = {c.url: c for c in requests if not any(word in c.key for word in skipped)}
    served_methods = {(c.method, c.url) for c in requests_of(world, "staff_manager")}
    for url, call in calls.items():
        methods = [method for method in ("post", "put", "patch", "delete") if (method, url) not in served_methods]
        answers = {method: problem(manager.generic(method.upper(), url)) for method in methods}
        findings += [f"{method} {call.route.path}: {wrong}" for method, wrong in answers.items() if wrong]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(
    "header",
    ["Token", "Token a b", "Token \xff", "Token " + "a" * 10_000, "Bearer x", "Token \x00", "Basic eHg6eHg=", ""],
)
def test_odd_credentials_are_a_401(world, header):
    client = APIClient(raise_request_exception=False)
    response = client.get("/api/v1/me/", HTTP_AUTHORIZATION=header)
    assert (response.status_code, problem(response)) == (401, "")


def test_a_body_beyond_the_limit_is_a_413(world, manager, settings, nothing_stored):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = manager.post("/api/v1/projects/", {"name": "a", "description": "b" * 2000}, format="json")
    assert (response.status_code, problem(response)) == (413, "")


# ----------------------------------------------------------------------------------------------------- bytes of a store


ODD_KEYS = [
    "../zarr.json",
    "..%2fzarr.json",
    "%2e%2e/zarr.json",
    "%2e%2e%2f%2e%2e%2fcorrspace.sqlite3",
    "0/../zarr.json",
    "0/..%2fzarr.json",
    "./zarr.json",
    "0//zarr.json",
    "/zarr.json",
    "%2fetc/passwd",
    "//etc/passwd",
    "zarr.json/",
    "zarr.json%00",
    "zarr.json%00.png",
    "0\\c\\0",
    "..\\zarr.json",
    "0",
    "0/",
    "0/c",
    "%F0%9F%92%A9",
    "%ED%A0%80",
    "a" * 5000,
    "%252e%252e/zarr.json",
    "..;/zarr.json",
    "ZARR.JSON",
    "link.json",
    "folder/passwd",
]


def test_keys_that_a_store_does_not_have_are_not_found(world, manager):
    """Also those of links and files that somebody laid into the store: the manifest says what it has."""
    root = world.store_path
    root.chmod(0o700)
    (root / "link.json").symlink_to("/etc/passwd")
    (root / "folder").symlink_to("/etc", target_is_directory=True)
    try:
        for key in ODD_KEYS:
            for method in ("GET", "HEAD"):
                response = manager.generic(method, f"/api/v1/images/{world.id('image')}/zarr/{key}")
                assert response.status_code == 404, (method, key, response.status_code)
                assert b"root:" not in getattr(response, "content", b""), key
    finally:
        (root / "link.json").unlink()
        (root / "folder").unlink()


def test_a_file_that_became_a_link_is_not_followed(world, manager):
    """A key of the manifest whose file was swapped for a link is damage, said as such and never followed."""
    path = world.store_path / "0" / "zarr.json"
    text = path.read_bytes()
    path.parent.chmod(0o700)
    path.unlink()
    path.symlink_to("/etc/passwd")
    try:
        response = manager.get(f"/api/v1/images/{world.id('image')}/zarr/0/zarr.json")
        assert (response.status_code, response.json()["code"]) == (500, "store_damaged")
    finally:
        path.unlink()
        path.write_bytes(text)


@pytest.mark.parametrize(
    "header", ["bytes=", "bytes=a-b", "bytes=5-1", "bytes=-0", "bytes=999999-", "bytes=0-0,2-3", "x"]
)
def test_odd_ranges_break_nothing(world, manager, header):
    response = manager.get(f"/api/v1/images/{world.id('image')}/zarr/zarr.json", HTTP_RANGE=header)
    assert response.status_code in (200, 416)
    if response.status_code == 416:
        assert problem(response) == ""


@pytest.mark.parametrize("size", ["0", "-1", "1e3", "99999", "abc", "%00", "9" * 400])
def test_odd_thumbnail_sizes_are_refused(world, manager, size):
    assert problem(manager.get(f"/api/v1/images/{world.id('image')}/thumbnail.png?size={size}")) == ""
