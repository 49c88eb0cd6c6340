"""PROV-XML and RDF through ``prov``: one meaning in every form, and nothing that an XML parser should not do."""

from __future__ import annotations

import pytest

from apps.provenance.constraints import DocumentError, DocumentTooLargeError, Limits, read_provn, validate
from apps.provenance.documents import read_document
from apps.provenance.foreign import read_foreign

PROVN = """document
prefix ex <http://example.org/>
entity(ex:e1, [ex:k="v"])
activity(ex:a1, 2012-11-16T16:05:00, -)
wasGeneratedBy(ex:e1, ex:a1, 2012-11-16T17:05:00)
endDocument"""
XML = b"""<?xml version="1.0"?>
<prov:document xmlns:prov="http://www.w3.org/ns/prov#" xmlns:ex="http://example.org/">
  <prov:entity prov:id="ex:e1"><ex:k>v</ex:k></prov:entity>
  <prov:activity prov:id="ex:a1"><prov:startTime>2012-11-16T16:05:00</prov:startTime></prov:activity>
  <prov:wasGeneratedBy><prov:entity prov:ref="ex:e1"/><prov:activity prov:ref="ex:a1"/>
    <prov:time>2012-11-16T17:05:00</prov:time></prov:wasGeneratedBy>
  <prov:bundleContent prov:id="ex:b"><prov:agent prov:id="ex:ag"/></prov:bundleContent>
</prov:document>"""
TURTLE = b"""@prefix prov: <http://www.w3.org/ns/prov#> . @prefix ex: <http://example.org/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
ex:e1 a prov:Entity ; ex:k "v" ; prov:qualifiedGeneration [ a prov:Generation ; prov:activity ex:a1 ;
    prov:atTime "2012-11-16T17:05:00"^^xsd:dateTime ] .
ex:a1 a prov:Activity ; prov:startedAtTime "2012-11-16T16:05:00"^^xsd:dateTime ."""


def plain(records):
    return sorted(
        (r.kind, r.identifier and r.identifier.uri, [getattr(a, "uri", getattr(a, "text", None)) for a in r.arguments])
        for r in records
    )


@pytest.mark.parametrize(("body", "form"), [(XML, "xml"), (TURTLE, "turtle"), (TURTLE, "trig")])
def test_other_forms_say_the_same(body, form):
    found = read_document(body, form, Limits())
    assert plain(found.top.records) == plain(read_provn(PROVN).top.records)
    assert validate(found).valid


def test_bundles_of_xml_are_bundles():
    (bundle,) = read_foreign(XML, "xml", Limits()).bundles
    assert bundle.identifier.uri == "http://example.org/b"
    assert [record.kind for record in bundle.records] == ["agent"]


ENTITIES = b"".join(b'<!ENTITY %c "%s">' % (98 + k, b"&%c;" % (97 + k) * 10) for k in range(9))
BOMB = b'<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">' + ENTITIES + b"]><d>&j;</d>"


@pytest.mark.parametrize("form", ["xml", "rdfxml"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (BOMB, "DOCTYPE"),
        (b'<!DOCTYPE d SYSTEM "secret.txt"><d/>', "DOCTYPE"),
        (b'<!DOCTYPE d [<!ENTITY x SYSTEM "secret.txt">]><d>&x;</d>', "DOCTYPE"),
        (b"<a>" * 100_000, "deeper"),
        (b"<a>" * 65 + b"</a>" * 65, "deeper"),
        (b"", "no XML"),
        (b"{}", "no XML"),
        (b"<d></e>", "no XML"),
        (b'<?xml version="1.0" encoding="no-such"?><d/>', "no XML"),
    ],
    ids=["bomb", "external", "external entity", "nested", "just too deep", "empty", "json", "unclosed", "encoding"],
)
def test_xml_that_is_not_read(form, body, words):
    with pytest.raises(DocumentError) as found:
        read_foreign(body, form, Limits())
    assert words in str(found.value)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"@@@", "turtle"),
        (b"<d/>", "xml"),
        (b"\xff\xfe", "turtle"),
        (b"@prefix : <http://e/> . :a :b " + b"[ :b " * 20_000, "turtle"),
        (b"@prefix : <http://e/> . :a :b " + b"( " * 20_000, "trig"),
        (b"\xff\xfe", "provn"),
    ],
    ids=["words", "not prov", "bytes", "nested", "lists", "no utf-8"],
)
def test_what_is_no_document_is_refused(body, form):
    with pytest.raises(DocumentError):
        read_document(body, form, Limits())


def test_limits_are_kept():
    for limits in (Limits(bytes=10), Limits(records=2), Limits(attributes=0), Limits(depth=1)):
        with pytest.raises(DocumentTooLargeError):
            read_foreign(XML, "xml", limits)


def test_a_byte_order_mark_is_a_mistake_in_json_alone():
    with pytest.raises(DocumentError, match="BOM"):
        read_document(b"\xef\xbb\xbf{}", "json", Limits())
    assert len(read_document(b"\xef\xbb\xbf" + PROVN.encode(), "provn", Limits()).top.records) == 3
