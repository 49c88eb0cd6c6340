"""Nothing a client sends makes a 5xx: it is refused with a problem document, and nothing is stored."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from rest_framework.test import APIClient

from apps.audit import fsck
from apps.core import storage
from apps.provenance.models import ChainHead
from tests.contract.mutations import Mutation, fields, of_bodies, of_fields
from tests.contract.requests import Call, requests_of, short
from tests.contract.test_openapi import document, operation, served  # noqa: F401 - fixtures
from tests.factories import FrameFactory, ProjectFactory, SpecimenFactory, TransformFactory

pytestmark = pytest.mark.django_db

PROBLEM = {"type", "title", "status", "detail", "code", "errors"}
NOWHERE = "3f0f3f0f-0000-4000-8000-000000000000"


def client_of(user: Any) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(user)
    return client


@pytest.fixture
def manager(world) -> APIClient:
    """Manages the project, and is staff: nothing is refused for want of permission."""
    return client_of(world.users["staff_manager"])


def state() -> dict[str, Any]:
    """Everything that a refused request must leave as it is."""
    rows = {m._meta.label: m._default_manager.count() for m in apps.get_models()}
    head = ChainHead.objects.get()
    staged = [*storage.job_folders(), *storage.upload_folders()]
    return rows | {"head": (head.seq, head.hash), "staged": staged, "stored": sorted(storage.final_keys())}


@pytest.fixture
def nothing_stored(world) -> Iterator[None]:
    before = state()
    yield
    after = state()
    assert {name: (before[name], after[name]) for name in before if before[name] != after[name]} == {}


def problem(response: Any) -> str:
    """Say what is wrong with a refusal; empty if it is one, in the form of RFC 9457."""
    if not 400 <= response.status_code < 500:
        return f"answers {response.status_code} {response.content[:200]!r}"
    if response.headers.get("Content-Type") != "application/problem+json":
        return f"{response.status_code} as {response.headers.get('Content-Type')}"
    body = response.json()
    if not set(body) >= PROBLEM or body["status"] != response.status_code:
        return f"no problem document: {body}"
    if len(response.content) > 20_000:
        return f"repeats what it was sent: {len(response.content)} bytes"
    return ""


def send(client: APIClient, call: Call, mutation: Mutation) -> str:
    """Send a body; what an odd one did, if it was taken, is undone."""
    with transaction.atomic():
        response = client.generic(call.method, call.url, mutation.body, content_type=mutation.content_type)
        if 200 <= response.status_code < 300 and not mutation.refused:
            transaction.set_rollback(True)
            return ""
    wrong = problem(response)
    return f"{call.key}, {mutation.name}: {wrong}" if wrong else ""


def writing(world) -> list[Call]:
    """Writing calls of the REST surface that take JSON, or nothing."""
    calls = [c for c in requests_of(world, "staff_manager") if c.route.is_api and c.method in ("post", "patch", "put")]
    return [c for c in calls if c.form == "json" and "{path}" not in c.route.path]


def test_odd_bodies_are_refused(world, manager, nothing_stored):
    findings = []
    calls = writing(world)
    for call in calls:
        body = call.body(world) if call.body else {}
        for mutation in of_bodies(body):
            findings.append(send(manager, call, mutation))
        if call.method == "post" and call.body:
            findings.append(send(manager, call, Mutation("nothing", b"")))
            findings.append(send(manager, call, Mutation("an empty object", b"{}", refused="accept" not in call.url)))
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert len(calls) > 20
    assert len(findings) > 500


def test_odd_values_are_refused(world, manager, document, nothing_stored):  # noqa: F811
    findings, tried = [], 0
    for call in writing(world):
        types = fields(document, operation(document, call.method, call.url.split("?")[0]))
        body = call.body(world) if call.body else {}
        for mutation in of_fields(body, types):
            tried += 1
            findings.append(send(manager, call, mutation))
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert tried > 1500


NESTED = {
    "POST specimen-events/": [
        {"conditions": {"grain": {"value": 3.0, "unit": "furlong"}}},
        {"conditions": {"grain": {"value": "3", "unit": "um"}}},
        {"conditions": {"grain": {"value": 3.0, "unit": "um", "odd": 1}}},
        {"conditions": {"grain": [3.0, "um"]}},
        {"occurred_at": "2024-05-01T12:00:00"},
        {"occurred_at": "2024-02-31T12:00:00Z"},
        {"occurred_at": "99999-01-01T00:00:00Z"},
        {"child": {"name": "x", "odd": 1}},
        {"child": {}},
    ],
    "POST acquisitions/{pk}/ingest/": [
        {"overrides": {"spacing_um": {"x": 0.5, "y": 0.5, "z": 0.5}}},
        {"overrides": {"spacing_um": {"x": -1, "y": 0.5, "z": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_um": {"x": 0, "y": 0.5, "z": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_um": {"x": "0.5", "y": 0.5, "z": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_um": {"w": 0.5}, "spacing_u_um": 0.1}},
        {"overrides": {"spacing_u_um": 0.1}},
        {"overrides": {"handedness": "both"}},
        {"overrides": {"name": "../../etc/passwd"}},
        {"overrides": {"odd": 1}},
    ],
    "POST images/{pk}/calibrate/": [
        {"spacing_um": {}},
        {"spacing_um": {"x": 1e309, "y": 1, "z": 1}},
        {"spacing_um": {"x": 1e-320, "y": 1, "z": 1}},
        {"spacing_u_um": -0.1},
        {"spacing_u_um": {"q": 0.1}},
        {"reason": ""},
    ],
    "POST materials/{pk}/properties/": [
        {"unit": "furlong"},
        {"unit": "um"},
        {"unit": "(" * 5000},
        {"unit": "m" + "2" * 300},
        {"u": -1},
        {"value": 1e308, "unit": "Ym"},
        {"quantity": "no such quantity"},
    ],
    "POST transforms/": [
        {"matrix": [[0.0] * 4] * 4},
        {"matrix": [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0.5, 1.0]]},
        {"matrix": [1, 2, 3]},
        {"matrix": [["a"] * 4] * 4},
        {"matrix": [[1e308] * 4] * 4},
        {"covariance": [[1.0]]},
        {"covariance": [[-1.0] * 12] * 12},
        {"landmarks": [{"source": [0, 0], "target": [0, 0, 0]}]},
        {"landmarks": [{"source": [0, 0, 0], "target": [0, 0, "z"]}]},
        {"valid_states": [NOWHERE]},
        {"target": None},
    ],
    "POST rois/": [
        {"geometry": {"type": "blob"}},
        {"geometry": {"type": "point", "coordinates": [1, 2]}},
        {"geometry": {"type": "point", "coordinates": [1, 2, "3"]}},
        {"geometry": {"type": "polygon", "coordinates": [[0, 0, 0]]}},
        {"geometry": {"type": "box", "coordinates": {"min": [1, 1, 1], "max": [0, 0, 0]}}},
        {"geometry": {"type": "mesh", "coordinates": {"vertices": [], "faces": []}}},
        {"geometry": {"type": "point", "coordinates": [1, 2, 3], "odd": 1}},
    ],
    "POST jobs/": [
        {"plugin": "no.such"},
        {"plugin": "../../etc"},
        {"params": {"method": "magic"}},
        {"params": {"method": "fixed", "thresholds": [2, 1]}},
        {"params": {"odd": 1}},
        {"inputs": {}},
        {"inputs": {"image": "no id"}},
        {"inputs": {"image": [NOWHERE]}},
        {"inputs": {"image": NOWHERE}},
        {"inputs": {"image": {"id": NOWHERE}}},
        {"inputs": {"odd": NOWHERE}},
        {"seed": -1},
        {"seed": 2**53},
    ],
    "POST calibrations/": [
        {"factor": 0},
        {"factor": -1.0},
        {"u_factor": -0.1},
        {"measured_at": "yesterday"},
        {"measured_at": "2024-13-01"},
        {"axes": ["w"]},
    ],
    "POST instruments/": [{"modality": "telescope"}, {"detectors": [[[]]]}, {"stage_axes": {"q": 1}}],
    "POST acquisitions/": [
        {"acquired_at": "soon"},
        {"acquired_zone": "Mars/Olympus"},
        {"settings": {"voltage": {"value": 1, "unit": "furlong"}}},
        {"settings": {"voltage": {"value": "NaN", "unit": "V"}}},
        {"position": {"x": "left"}},
        {"position": {"q": 1}},
        {"operator": "nobody-of-that-name"},
        {"operator": {"name": "x", "odd": 1}},
        {"operator": {"name": ""}},
        {"series_index": -1},
    ],
    "POST projects/{pk}/members/": [{"username": "nobody"}, {"role": "king"}, {"username": ""}],
    "POST specimens/": [{"key_values": {"a": {"b": 1}}}, {"tags": [""]}, {"tags": [{}]}, {"external_ids": {"": "x"}}],
    "POST mounts/": [{"unmounted_at": "2020-01-01T00:00:00Z"}, {"mounted_at": "2024-05-01"}],
}


def test_values_that_cannot_be_are_refused(world, manager, nothing_stored):
    findings, seen = [], set()
    for call in writing(world):
        for change in NESTED.get(short(call.route), ()):
            seen.add(short(call.route))
            raw = json.dumps({**call.body(world), **change}).encode()
            findings.append(send(manager, call, Mutation(f"{change}"[:120], raw)))
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert seen == set(NESTED)


# ------------------------------------------------------------------------------------------------- ids of other projects


def references(body: dict[str, Any], taken: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield bodies with one reference replaced by what another project has of that kind."""
    kinds = {"supersedes": "roi" if "geometry" in body else "transform", "parent": "specimen", "child": "specimen"}
    for field in ("project", "specimen", "state", "mount", "frame", "source", "target", *kinds):
        if field in body or field in kinds or (field == "state" and "specimen" in body):
            yield field, {**body, field: taken[kinds.get(field, field)]}


WITH_PARENT = {"POST specimens/": "parent", "POST specimen-events/": "child"}


def crossed(world, taken: dict[str, str]) -> Iterator[tuple[Call, Mutation]]:
    """Yield every writing call with one reference into another project."""
    for call in writing(world):
        name, body = short(call.route), call.body(world) if call.body else {}
        for field, changed in references(body, taken):
            fits = field in body or WITH_PARENT.get(name) == field or field == "state"
            fits = fits or (field == "supersedes" and name in ("POST rois/", "POST transforms/"))
            if fits:
                yield call, Mutation(f"{field} of another project", json.dumps(changed).encode())
        if name == "POST jobs/":
            for other in (taken["specimen"], taken.get("image", NOWHERE)):
                changed = {**body, "inputs": {"image": other}}
                yield call, Mutation("an input of another project", json.dumps(changed).encode())


def test_ids_of_a_hidden_project_are_refused(world, manager, nothing_stored):
    """The caller may not know of the other project at all."""
    findings = [send(manager, call, mutation) for call, mutation in crossed(world, world.foreign)]
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert len(findings) > 15


def test_two_projects_of_one_account_are_not_mixed(world, manager):
    """The caller may write in both, and still nothing of one is built into the other."""
    specimen = SpecimenFactory(project=ProjectFactory(actor=world.users["staff_manager"]))
    frame = FrameFactory(specimen=specimen)
    transform = TransformFactory(source=frame)
    rows = {
        "specimen": specimen,
        "state": specimen.current_state,
        "mount": frame.mount,
        "frame": frame,
        "source": frame,
        "target": frame,
        "transform": transform,
        "roi": transform,
        "project": specimen.project,
    }
    twin = {name: str(row.pk) for name, row in rows.items()}
    calls = [(call, m) for call, m in crossed(world, twin) if not builds_there(call, m)]
    before = state()
    findings = [send(manager, call, mutation) for call, mutation in calls]
    assert not (found := [finding for finding in findings if finding]), "\n".join(found)
    assert state() == before
    assert len(findings) > 10


def builds_there(call: Call, mutation: Mutation) -> bool:
    """True if the changed body names the other project alone: then it is in order there."""
    name, field = short(call.route), mutation.name.split()[0]
    return (name, field) in {
        ("POST specimen-events/", "specimen"),
        ("POST mounts/", "specimen"),
        ("POST rois/", "frame"),
    }


# ------------------------------------------------------------------------------------------------------------- addresses


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
                response = manager.get(f"{call.url}?{query}")
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


def lists(world) -> list[Call]:
    return [c for c in reading(world) if "{pk}" not in c.route.path or c.url.endswith(("/log/", "/states/", "/members/"))]


def test_odd_cursors_and_limits_break_nothing(world, manager):
    """A cursor of no answer's making is a 404, or, where it happens to be a place in the list, a page."""
    findings, paged = [], [c for c in lists(world) if c.url not in ("/api/v1/", "/api/v1/me/", "/api/v1/plugins/")]
    for call in paged:
        for given in CURSORS:
            response = manager.get(f"{call.url}?cursor={given}")
            page = response.status_code == 200 and "results" in response.json()
            if not page and (wrong := problem(response)):
                findings.append(f"{call.key} cursor {given[:40]}: {wrong}")
        for given in ("0", "-1", "abc", "1.5", "", "%00", "9" * 30, "١"):
            if wrong := problem(manager.get(f"{call.url}?limit={given}")):
                findings.append(f"{call.key} limit {given}: {wrong}")
    assert not findings, "\n".join(findings)
    assert len(paged) >= 15


def test_odd_filters_break_nothing(world, manager, document):  # noqa: F811
    """Every parameter of every list that the document names, with values of no kind that it takes."""
    findings, tried = [], 0
    for call in lists(world):
        parameters = operation(document, "get", call.url).get("parameters", [])
        names = {p["name"]: p["schema"] for p in parameters if p["in"] == "query" and p["name"] not in ("cursor", "limit")}
        for name, schema in names.items():
            for given in ("abc", "", "%00", "-1", NOWHERE, "9" * 400, "%ED%A0%80", "a" * 5000, "%27%3B--", "1e400"):
                tried += 1
                response = manager.get(f"{call.url}?{name}={given}")
                typed = schema.get("format") in ("uuid", "date-time") or "enum" in schema or "$ref" in schema
                if response.status_code == 200 and (not typed or given in ("", NOWHERE)):
                    continue
                if wrong := problem(response):
                    findings.append(f"{call.key} {name}={given[:20]}: {wrong}")
    assert not findings, "\n".join(findings)
    assert tried > 300


def test_a_filter_does_not_tell_whether_a_hidden_row_exists(world, document):  # noqa: F811
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
    for call in calls:
        (pk,) = {part for part in call.url.split("/") if is_uuid(part)} & ids_of(world) or {None}
        if pk is None:
            continue
        for odd in ("abc", "1", NOWHERE, "%00", "..", "%2e%2e", pk.upper(), pk.replace("-", ""), pk + "%0a", "-" * 36):
            url = call.url.replace(pk, odd, 1)
            response = manager.generic(call.method.upper(), url, b"{}", content_type="application/json")
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
        for method in ("post", "put", "patch", "delete"):
            if (method, url) not in served_methods:
                if wrong := problem(manager.generic(method.upper(), url)):
                    findings.append(f"{method} {call.route.path}: {wrong}")
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


@pytest.mark.parametrize("header", ["bytes=", "bytes=a-b", "bytes=5-1", "bytes=-0", "bytes=999999-", "bytes=0-0,2-3", "x"])
def test_odd_ranges_break_nothing(world, manager, header):
    response = manager.get(f"/api/v1/images/{world.id('image')}/zarr/zarr.json", HTTP_RANGE=header)
    assert response.status_code in (200, 416)
    if response.status_code == 416:
        assert problem(response) == ""


@pytest.mark.parametrize("size", ["0", "-1", "1e3", "99999", "abc", "%00", "9" * 400])
def test_odd_thumbnail_sizes_are_refused(world, manager, size):
    assert problem(manager.get(f"/api/v1/images/{world.id('image')}/thumbnail.png?size={size}")) == ""


# ------------------------------------------------------------------------------------------------------------- uploads


def part(name: str = "file", filename: str | None = "a.tif", body: bytes = b"bytes", extra: str = "") -> bytes:
    shown = "" if filename is None else f'; filename="{filename}"'
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{shown}\r\nContent-Type: image/tiff{extra}\r\n\r\n'
    return head.encode("utf-8", "surrogateescape") + body + b"\r\n"


END = b"--x--\r\n"
UPLOADS = {
    "nothing": b"",
    "no file": END,
    "an empty file": part(body=b"") + END,
    "no closing boundary": part(),
    "half a part": part()[:40],
    "another boundary": part().replace(b"--x", b"--y") + b"--y--\r\n",
    "another field": part(name="image") + END,
    "a field that is no file": part(filename=None) + END,
    "an empty file name": part(filename="") + END,
    "a path": part(filename="../../etc/passwd") + END,
    "an absolute path": part(filename="/etc/passwd") + END,
    "a path of another system": part(filename="..\\..\\a.tif") + END,
    "two dots": part(filename="..") + END,
    "a NUL in the name": part(filename="a\x00.tif") + END,
    "a line end in the name": part(filename="a\x0b.tif") + END,
    "a name turned round": part(filename="a\u202efit.exe") + END,
    "bytes that are no text in the name": part(filename="a\udcff.tif") + END,
    "a long name": part(filename="a" * 5000) + END,
    "the same file twice": part() + part(filename="b.tif") + END,
    "the same name twice": part() + part(body=b"others") + END,
    "a huge header": part(extra="\r\nX-Odd: " + "a" * 200_000) + END,
    "many headers": part(extra="".join(f"\r\nX-{n}: 1" for n in range(2000))) + END,
    "a huge field": part(name="a" * 100_000) + END,
    "many files": b"".join(part(filename=f"{n}.tif", body=f"{n}".encode()) for n in range(150)) + END,
    "base64 that is none": part(extra="\r\nContent-Transfer-Encoding: base64", body=b"?=") + END,
}


@pytest.mark.parametrize("name", UPLOADS)
def test_odd_uploads_leave_nothing(world, manager, nothing_stored, name):
    url = f"/api/v1/acquisitions/{world.id('empty')}/files/"
    response = manager.generic("POST", url, UPLOADS[name], content_type="multipart/form-data; boundary=x")
    assert problem(response) == ""


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 5000]
    + ["application/json", "text/plain", "", "multipart/mixed; boundary=x", "multipart/form-data; boundary=\xff"],
)
def test_odd_media_types_of_uploads_leave_nothing(world, manager, nothing_stored, content_type):
    url = f"/api/v1/acquisitions/{world.id('empty')}/files/"
    assert problem(manager.generic("POST", url, part() + END, content_type=content_type)) == ""


def test_bytes_that_are_there_already_are_refused(world, manager, nothing_stored):
    """The same bytes twice in one acquisition: 409."""
    body = world.things["waiting"].files.get()
    data = storage.path(body.store.key).read_bytes()
    url = f"/api/v1/acquisitions/{world.id('waiting')}/files/"
    response = manager.generic("POST", url, part(body=data) + END, content_type="multipart/form-data; boundary=x")
    assert (response.status_code, problem(response)) == (409, "")


def test_staging_is_empty_and_the_world_is_sound(world):
    assert not list(storage.job_folders())
    assert not list(storage.upload_folders())
    assert not [name for name in os.listdir(storage.root()) if name.startswith("tmp")]
    assert fsck
