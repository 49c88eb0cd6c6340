"""``POST prov/validate/`` and ``manage.py prov_validate``: verdicts, refusals, bounds, and nothing stored."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.test import override_settings

from apps.core.errors import RetryLaterError
from apps.provenance import validator
from apps.provenance.constraints import read_provjson, read_provn, validate
from apps.provenance.constraints.model import PROV
from tests.contract.refusals import client_of, problem, state
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/prov/validate/"
PROVN = "text/provenance-notation"
VALID = "document prefix ex <http://e/> entity(ex:e) endDocument"
INVALID = "document prefix ex <http://e/> entity(ex:e) activity(ex:e) endDocument"


@pytest.fixture
def client():
    return client_of(UserFactory())


def post(client, body, media_type=PROVN, url=URL):
    return client.generic("POST", url, body, content_type=media_type)


def test_a_valid_document(client):
    response = post(client, VALID, "text/provenance-notation; charset=utf-8")
    assert response.status_code == 200
    assert response.json() == {
        "valid": True,
        "mode": "spec",
        "problems": [],
        "records": 1,
        "unjudged": 0,
        "truncated": False,
    }


def test_a_document_that_is_not_valid(client):
    response = post(client, INVALID)
    assert response.status_code == 200
    (found,) = response.json()["problems"]
    assert found["rule"] == 55
    assert found["records"] == ["entity(ex:e)", "activity(ex:e)"]


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", '{"prefix": {"ex": "http://e/"}, "entity": {"ex:e": {}}}'),
        ("application/xml", f'<d:document xmlns:d="{PROV}" xmlns:e="http://e/"><d:entity d:id="e:e"/></d:document>'),
        ("text/turtle", "<http://e/e> a <http://www.w3.org/ns/prov#Entity> ."),
        ("application/trig", "<http://e/e> a <http://www.w3.org/ns/prov#Entity> ."),
    ],
)  # fmt: skip
def test_every_form_is_judged(client, media_type, body):
    response = post(client, body, media_type)
    assert (response.status_code, response.json()["records"]) == (200, 1), response.content


@pytest.mark.parametrize(
    ("media_type", "body", "status", "words"),
    [
        ("text/provenance-notation", "document\nentity(e)\nendDocument", 400, "line 2, column 8"),
        ("text/provenance-notation", "", 400, "line 1, column 1"),
        ("application/json", "[1]", 400, "must be an object"),
        ("application/json", "[" * 100_000, 413, "nested"),
        ("application/json", "[" + '{"":0},' * 2_300_000 + "0]", 413, "memory"),
        ("application/xml", "<!DOCTYPE d [<!ENTITY a 'b'>]><d>&a;</d>", 400, "DOCTYPE"),
        ("text/turtle", "@@@", 400, "turtle"),
        ("text/plain", VALID, 415, "text/provenance-notation"),
        ("application/ld+json", "{}", 415, "text/turtle"),
        ("text/provenance-notation", " " * (17 * 2**20), 413, "bytes"),
    ],
    ids=["name", "empty", "list", "nested", "memory", "entities", "turtle", "plain", "json-ld", "size"],
)
def test_refusals(client, media_type, body, status, words):
    before = state()
    response = post(client, body, media_type)
    assert response.status_code == status, response.content
    assert not problem(response)
    assert words in response.json()["detail"]
    assert state() == before


def test_a_media_type_has_to_be_said(client):
    assert post(client, VALID, "").status_code == 415


def test_unknown_query_parameters_are_refused(client):
    assert post(client, VALID, url=f"{URL}?strict=1").status_code == 400


def test_malformed_suite_is_refused(client, shared_data):
    folder = shared_data / "prov-cases"
    if not folder.is_dir():
        pytest.skip(f"shared data: {folder} does not exist")
    media_types = {"json": "application/json", "xml": "text/xml", "ttl": "text/turtle", "rdf": "application/rdf+xml"}
    statuses = {}
    for case in json.loads((folder / "manifest.json").read_text())["cases"]:
        if case["suite"] == "malformed":
            file = case["files"][0]
            response = post(client, (folder / file["path"]).read_bytes(), media_types[file["format"]])
            statuses[case["id"]] = response.status_code
            if response.status_code == 200:
                assert case["expected"] == "empty-or-reject"
                assert response.json()["records"] == 0
    assert len(statuses) == 9
    assert sorted(set(statuses.values())) == [200, 400]
    assert list(statuses.values()).count(200) == 1


def test_a_document_that_takes_too_long_is_told_where_it_may(client, monkeypatch):
    monkeypatch.setattr(validator, "_SECONDS", 1)
    endless = "@prefix : <http://e/> . " + ":a :b :c . " * 300_000
    response = post(client, endless, "text/turtle")
    assert response.status_code == 413
    assert "prov_validate" in response.json()["detail"]


def test_a_machine_that_is_too_busy_asks_for_patience(client, monkeypatch):
    monkeypatch.setattr(validator, "_MOST_SECONDS", 0.001)
    assert post(client, VALID).status_code == 503


def test_only_so_many_at_once(client, monkeypatch):
    monkeypatch.setattr(validator, "_PATIENCE", 0.01)
    for _ in range(validator._AT_ONCE):
        assert validator._turns.acquire(timeout=1)
    try:
        with pytest.raises(RetryLaterError):
            validator.judge(b"", "provn")
        assert post(client, VALID).status_code == 503
    finally:
        for _ in range(validator._AT_ONCE):
            validator._turns.release()
    assert post(client, VALID).status_code == 200


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=20)
def test_the_limit_is_that_of_a_request(client):
    assert post(client, VALID).status_code == 413


# -------------------------------------------------------------------------------------------------------------- command


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"a.provn": VALID}, 0, "valid (1 statements)"),
        ({"a.provn": VALID, "b.provn": INVALID}, 1, "rule 55 (entity-activity-disjoint)"),
        ({"a.provn": INVALID, "b.provn": "nothing"}, 2, "not valid, 1 problems"),
        ({"a.txt": VALID}, 2, ""),
        ({"a.provn": "document prefix ex <http://e/> wasAttributedTo(ex:e, -) endDocument"}, 1, "not well formed"),
    ],
)  # fmt: skip
def test_the_command_exits_with_the_worst(tmp_path, files, code, words):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    output, complaints = io.StringIO(), io.StringIO()
    paths = [str(tmp_path / name) for name in files]
    if code:
        with pytest.raises(SystemExit) as found:
            call_command("prov_validate", *paths, stdout=output, stderr=complaints)
        assert found.value.code == code
    else:
        call_command("prov_validate", *paths, stdout=output, stderr=complaints)
    assert words in output.getvalue()
    assert bool(complaints.getvalue()) == (code == 2)


def test_the_command_says_the_same_as_the_route(tmp_path, client):
    (tmp_path / "a.txt").write_text(INVALID)
    output = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("prov_validate", str(tmp_path / "a.txt"), "--form", "provn", "--json", stdout=output)
    told = json.loads(output.getvalue())
    assert told.pop("file") == str(tmp_path / "a.txt")
    assert told == post(client, INVALID).json()


# ---------------------------------------------------------------------------------------------------------- our exports


def test_what_we_export_is_valid(study):
    client = client_of(study.maker)
    things = {
        "images": (study.image, study.labels),
        "acquisitions": (study.acquisition,),
        "properties": (study.result("conductivity", "tensor"), study.result("measure", "mean_diameter")),
        "jobs": (study.jobs["conductivity"],),
    }
    for name, rows in things.items():
        for row in rows:
            for form, read in (("json", read_provjson), ("provn", read_provn)):
                response = client.get(f"/api/v1/{name}/{row.pk}/provenance/?format={form}")
                assert response.status_code == 200, (name, response.content)
                report = validate(read(response.content.decode()))
                assert report.valid, (name, form, report.problems)
                assert report.records > 5
