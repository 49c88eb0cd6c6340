"""Our reader of PROV-JSON: what it takes, and what it refuses by name."""

from __future__ import annotations

import json

import pytest

from apps.provenance.constraints import DocumentError, DocumentTooLargeError, Limits, Literal, Time, read_provjson
from apps.provenance.constraints.model import XSD

PREFIX = {"ex": "http://example.org/"}
TYPED = {"prov:type": {"$": "ex:T", "type": "xsd:QName"}}


def read(**content):
    return read_provjson(json.dumps({"prefix": PREFIX, **content}))


def test_arguments_attributes_and_bundles():
    found = read(
        activity={"ex:a": {"prov:startTime": "2012-11-16T16:05:00Z"}},
        used={"_:u1": {"prov:activity": "ex:a", "prov:entity": {"$": "ex:e", "type": "prov:QUALIFIED_NAME"}}},
        entity={"ex:e": [{"ex:k": [1, 2.5, True, "x", {"$": "y", "lang": "fr"}]}, TYPED]},
        hadMember={"_:m": {"prov:collection": "ex:c", "prov:entity": ["ex:e", "ex:f"]}},
        bundle={"ex:b": {"prefix": {"default": "http://d/"}, "entity": {"e": {}}}},
    )
    activity, used, first, second, *members = found.top.records
    assert activity.arguments == (Time("2012-11-16T16:05:00Z"), None)
    assert used.identifier.uri == "_:u1"
    assert [a and a.text for a in used.arguments] == ["ex:a", "ex:e", None]
    assert [value for _, value in first.attributes] == [
        Literal("1", XSD + "int"),
        Literal("2.5", XSD + "double"),
        Literal("true", XSD + "boolean"),
        Literal("x"),
        Literal("y", "", "fr"),
    ]
    assert second.attributes[0][1].uri == "http://example.org/T"
    assert [record.arguments[1].text for record in members] == ["ex:e", "ex:f"]
    assert found.bundles[0].records[0].identifier.uri == "http://d/e"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"entities": {}}, "no statement 'entities'"),
        ({"entity": []}, "'entity' must be an object"),
        ({"entity": {"ex:e": 3}}, "entity 'ex:e' must be an object, not 3"),
        ({"entity": {"other:e": {}}}, "prefix 'other'"),
        ({"entity": {"e": {}}}, "default namespace"),
        ({"entity": {":e": {}}}, "no qualified name"),
        ({"entity": {"ex:e": {"ex:k": None}}}, "ex:k must be a text"),
        ({"entity": {"ex:e": {"ex:k": {"type": "xsd:int"}}}}, "ex:k must be a text"),
        ({"entity": {"ex:e": {"ex:k": [[1]]}}}, "ex:k must be a text"),
        ({"used": {"_:u": {"prov:activity": ["ex:a"]}}}, "prov:activity must be one name"),
        ({"used": {"_:u": {"prov:activity": "ex:a", "prov:time": "noon"}}}, "prov:time is 'noon'"),
        ({"bundle": {"ex:b": {"bundle": {}}}}, "no statement 'bundle'"),
        ({"prefix": {"ex": 3}}, "must stand for an IRI"),
    ],
)
def test_what_is_no_provjson_is_refused_by_name(content, words):
    with pytest.raises(DocumentError) as found:
        read(**content)
    assert words in str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"entity": {}, "entity": {}}',
        b'{"entity": {"prov:e": {"prov:value": NaN}}}',
        b"\xff\xfe{}",
        b'{"entity": {"prov:e": {"prov:value": ' + b"9" * 5000 + b"}}}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_broken_json_is_refused(text):
    with pytest.raises(DocumentError):
        read_provjson(text)


def test_limits_are_kept():
    entities = {f"ex:e{n}": {"ex:" + "k" * 30: [1, 2, 3]} for n in range(5)}
    for limits in (Limits(bytes=10), Limits(records=4), Limits(attributes=2), Limits(name=19)):
        with pytest.raises(DocumentTooLargeError):
            read_provjson(json.dumps({"prefix": PREFIX, "entity": entities}), limits)
