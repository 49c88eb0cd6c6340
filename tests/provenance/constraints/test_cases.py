"""The W3C's own cases: verdicts, and the rules that they were written for."""

from __future__ import annotations

import re

import pytest

from apps.provenance.constraints import Limits, read_provjson, read_provn, validate
from apps.provenance.documents import read_document

READERS = {"provn": read_provn, "json": read_provjson}
FORMS = {"xml": "xml", "ttl": "turtle", "trig": "trig", "rdf": "rdfxml", "json": "json", "provn": "provn"}


def judged(prov_cases, cases, form):
    for case in cases:
        if case["suite"] == "constraints" and case["expected"] != "unverified":
            for file in case["files"]:
                if file["format"] == form:
                    yield case, validate(READERS[form]((prov_cases / file["path"]).read_text()))


def test_verdicts_and_rules_are_those_of_the_manifest(prov_cases, cases, repo_root):
    wrong, right, named, of_rules = [], 0, 0, 0
    for form in ("provn", "json"):
        for case, report in judged(prov_cases, cases, form):
            if report.valid != (case["expected"] == "valid"):
                wrong.append(case["id"])
                continue
            right += 1
            if not report.valid and case.get("constraints"):
                of_rules += 1
                named += any(problem.rule in case["constraints"] for problem in report.problems)
    assert not wrong
    assert named >= 0.9 * of_rules
    page = (repo_root / "docs" / "reference" / "prov-validate.md").read_text()
    written = [
        int(number) for number in re.findall(r"(\d+) of (\d+)", page)[0] + re.findall(r"(\d+) of (\d+)", page)[1]
    ]
    assert written == [right, right + len(wrong), named, of_rules], "docs/reference/prov-validate.md names both figures"


def test_xml_forms_of_the_cases_agree_where_no_verdict_rests_on_the_marker(prov_cases, cases):
    compared = 0
    for case in cases:
        if case["suite"] != "constraints" or case["expected"] == "unverified":
            continue
        for file in case["files"]:
            if file["format"] == "xml" and file["prov323"].get("parse") == "ok":
                report = validate(read_document((prov_cases / file["path"]).read_bytes(), "xml", Limits()))
                assert report.valid == (case["expected"] == "valid"), case["id"]
                compared += 1
    assert compared > 90


def test_every_provn_file_of_all_suites_is_read(provn_texts):
    counts = {path: len(read_provn(text).top.records) for path, text in provn_texts.items()}
    assert len(counts) > 330
    assert sum(counts.values()) > 1000


def test_every_json_file_that_is_none_of_the_malformed_is_read(prov_cases, cases):
    paths = [f["path"] for c in cases if c["suite"] != "malformed" for f in c["files"] if f["format"] == "json"]
    for path in paths:
        read_provjson((prov_cases / path).read_bytes())
    assert len(paths) > 240


def test_malformed_files_are_refused(prov_cases, cases):
    tried = 0
    for case in cases:
        if case["suite"] == "malformed":
            file = case["files"][0]
            body, form = (prov_cases / file["path"]).read_bytes(), FORMS[file["format"]]
            tried += 1
            if case["id"] == "malformed-foreign_vocabulary.ttl":
                assert read_document(body, form, Limits()).top.records == ()
                continue
            with pytest.raises(ValueError, match=r"\w"):
                read_document(body, form, Limits())
    assert tried == 9
