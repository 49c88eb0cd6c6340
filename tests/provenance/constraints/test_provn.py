"""Our reader of PROV-N: what the grammar admits, what it does not, and where."""

from __future__ import annotations

import pytest

from apps.provenance.constraints import DocumentError, DocumentTooLargeError, Limits, Literal, Name, Time, read_provn
from apps.provenance.constraints.model import MARKER, XSD

EX = "http://example.org/"


def document(statements: str, declarations: str = f"prefix ex <{EX}>") -> str:
    return f"document\n{declarations}\n{statements}\nendDocument"


def only(statement: str):
    (record,) = read_provn(document(statement)).top.records
    return record


def name(local: str) -> Name:
    return Name(EX + local, f"ex:{local}")


@pytest.mark.parametrize(
    ("statement", "identifier", "arguments"),
    [
        ("used(ex:a)", None, (name("a"), None, None)),
        ("used(ex:a, -, -)", None, (name("a"), MARKER, MARKER)),
        ("used(ex:a, ex:e)", None, (name("a"), name("e"), None)),
        ("used(-; ex:a, ex:e, -)", None, (name("a"), name("e"), MARKER)),
        ("used(ex:u; ex:a, ex:e, 2012-11-16T16:05:00)", name("u"), (name("a"), name("e"), Time("2012-11-16T16:05:00"))),
        ("activity(ex:a)", name("a"), (None, None)),
        ("activity(ex:a, -, 2012-11-16T16:05:00.5+01:00)", name("a"), (MARKER, Time("2012-11-16T16:05:00.5+01:00"))),
        ("wasDerivedFrom(ex:b, ex:a)", None, (name("b"), name("a"), None, None, None)),
        ("wasDerivedFrom(ex:b, ex:a, -, ex:g, -)", None, (name("b"), name("a"), MARKER, name("g"), MARKER)),
        ("wasAttributedTo(ex:e, -)", None, (name("e"), MARKER)),
        ("prov:mentionOf(ex:a, ex:b, ex:c)", None, (name("a"), name("b"), name("c"))),
        ("wasAssociatedWith(ex:a, [])", None, (name("a"), None, None)),
    ],
)
def test_left_out_and_marker_are_kept_apart(statement, identifier, arguments):
    record = only(statement)
    assert (record.identifier, record.arguments) == (identifier, arguments)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"plain"', Literal("plain")),
        ('"a\\"b\\\\c\\n"', Literal('a"b\\c\n')),
        ('"\\u00b5m"', Literal("µm")),
        ('"""two\nlines with "quotes" """', Literal('two\nlines with "quotes" ')),
        ('"bonjour"@fr-CH', Literal("bonjour", "", "fr-CH")),
        ('"1" %% xsd:int', Literal("1", XSD + "int")),
        ('"1"%%xsd:int', Literal("1", XSD + "int")),
        ("-42", Literal("-42", XSD + "int")),
        ("'ex:thing'", name("thing")),
        ("'xsd:int'", Name(XSD + "int", "xsd:int")),
        ('"a // b /* c */"', Literal("a // b /* c */")),
    ],
)
def test_values_of_attributes(written, value):
    assert only(f"entity(ex:e, [ex:k={written}, ex:k = {written}])").attributes == ((name("k"), value),) * 2


def test_escapes_in_names_are_part_of_the_uri():
    record = only(r"entity(ex:a\=b\,c\(d\)\:e%20f/g~h.i)")
    assert record.identifier.uri == EX + "a=b,c(d):e%20f/g~h.i"


def test_default_namespace_bundles_and_comments():
    text = """document // a comment
      default <http://d/> prefix ex <http://example.org/>
      /* of two
         lines */ entity(e1)
      bundle b1
        prefix ex <http://other.org/>
        entity(ex:e2) // to the end
      endBundle
      bundle ex:b2 endBundle
    endDocument"""
    found = read_provn(text)
    assert [record.identifier.uri for record in found.top.records] == ["http://d/e1"]
    assert found.bundles[0].identifier.uri == "http://d/b1"
    assert found.bundles[0].records[0].identifier.uri == "http://other.org/e2"
    assert found.bundles[1].identifier.uri == "http://example.org/b2"


def test_statements_of_other_vocabularies_are_read():
    record = only('ex:observed(ex:o1; ex:a, "text", {("k", ex:e)}, 2012-11-16T16:05:00, -, [ex:k=1])')
    assert record.kind == "ex:observed"
    assert record.identifier == name("o1")
    assert len(record.arguments) == 5
    assert record.attributes == ((name("k"), Literal("1", XSD + "int")),)


def test_records_know_their_line():
    found = read_provn(document("entity(ex:e1)\n\n// here\nentity(ex:e2)"))
    assert [record.line for record in found.top.records] == [3, 6]


@pytest.mark.parametrize(
    ("statement", "line", "column", "words"),
    [
        ("entity(ex:e", 4, 1, "')' expected"),
        ("entity(other:e)", 3, 8, "prefix 'other'"),
        ("entity(e)", 3, 8, "default namespace"),
        ("entity ex:e", 3, 1, "a statement"),
        ("entity()", 3, 8, "a name expected"),
        ("entity(-)", 3, 8, "a name expected"),
        ("thing(ex:e)", 3, 1, "no statement thing"),
        ("wasAttributedTo(ex:e)", 3, 21, "its agent"),
        ("specializationOf(ex:x; ex:a, ex:b)", 3, 1, "no identifier"),
        ("alternateOf(ex:a, ex:b, [ex:k=1])", 3, 1, "no attributes"),
        ("used(ex:a, ex:e, yesterday)", 3, 18, "a time"),
        ("used(ex:a, ex:e, 2012-11-16T16:05:00, ex:x)", 3, 39, "3 arguments"),
        ("entity(ex:e, [ex:k=])", 3, 20, "a value"),
        ('entity(ex:e, [ex:k="open])', 3, 20, "closing quote"),
        ('entity(ex:e, [ex:k="\\q"])', 3, 20, "escape \\q"),
        ('entity(ex:e, [ex:k="\\uD800"])', 3, 20, "no character"),
        ("entity(ex:e.)", 3, 8, "ends in a dot"),
        ("entity(ex:e, [ex:k='ex:e])", 3, 20, "single quotes"),
        ("entity(ex:e) prefix late <http://l/>", 3, 14, "a statement"),
        ("bundle ex:b entity(ex:e)", 4, 1, "a statement"),
        ("endDocument entity(ex:e)", 3, 13, "nothing may follow"),
    ],
)
def test_errors_name_the_place(statement, line, column, words):
    with pytest.raises(DocumentError) as found:
        read_provn(document(statement))
    assert words in str(found.value)
    assert (found.value.line, found.value.column) == (line, column)


@pytest.mark.parametrize(
    "text", ["", "document", "documententity(ex:e)endDocument", "<xml/>", "{}", "\x00", "document /*"]
)
def test_what_is_no_document_is_refused(text):
    with pytest.raises(DocumentError):
        read_provn(text)


def test_prov_and_xsd_are_nobody_elses():
    with pytest.raises(DocumentError, match="prefix prov is that of"):
        read_provn(document("", "prefix prov <http://other/>"))


def test_limits_are_kept():
    many = document("entity(ex:e)\n" * 5)
    with pytest.raises(DocumentTooLargeError, match="4 statements"):
        read_provn(many, Limits(records=4))
    with pytest.raises(DocumentTooLargeError, match="bytes"):
        read_provn(many, Limits(bytes=20))
    with pytest.raises(DocumentError, match="3 characters"):
        read_provn(many, Limits(name=3))
    with pytest.raises(DocumentError, match="2 attributes"):
        read_provn(document("entity(ex:e, [ex:k=1, ex:k=2, ex:k=3])"), Limits(attributes=2))


@pytest.mark.parametrize(
    "text",
    [
        "document " + "entity(" * 100_000,
        'document entity(ex:e, [ex:k="' + "\\\\" * 200_000,
        'document prefix ex <http://e/> entity(ex:e, [ex:k="""' + '""a' * 100_000,
        "document " + "/*" * 200_000,
        "document prefix ex <http://e/> entity(" + "ex:" + "a." * 200_000,
        "document prefix ex <http://e/> ex:f(ex:a, " + "{" * 200_000,
        "document prefix ex <http://e/> " + "bundle ex:b " * 50_000,
    ],
    ids=["statements", "escapes", "quotes", "comments", "dots", "braces", "bundles"],
)
def test_long_and_nested_nonsense_ends_in_a_refusal(text):
    """Without possessive patterns each of these would take hours."""
    with pytest.raises(DocumentError):
        read_provn(text)
