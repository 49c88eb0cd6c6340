r"""PROV-N, as the W3C Recommendation of 2013 has it, into :mod:`model` values that keep left out and ``-`` apart.

Beyond the grammar it takes: any number of fraction digits in a time, ``\u`` escapes, ``mentionOf`` without the prefix
``prov``, and ``-`` in a place where the grammar wants a name (the validator names it then).
"""

from __future__ import annotations

import re
from typing import Final

from apps.provenance.constraints.errors import DocumentError
from apps.provenance.constraints.garbage import no_cycles
from apps.provenance.constraints.limits import DEFAULT, Limits
from apps.provenance.constraints.model import (
    MARKER,
    SHAPES,
    XSD,
    Argument,
    Bundle,
    Document,
    Literal,
    Name,
    Parameter,
    Record,
    Shape,
    Time,
    Value,
)
from apps.provenance.constraints.names import Namespaces
from apps.provenance.constraints.scanner import INTEGER, IRI, LANGUAGE, NAME, PREFIX, TIME, Scanner

_KEYWORD: Final = re.compile(r"[A-Za-z]++(?![\w:.\-/@~&+*?#$!%\\(])")
_ESCAPED: Final = re.compile(r"\\(.)")
_EXTENSION: Final = Shape((), has_attributes=True, least=0)
_Attributes = tuple[tuple[Name, Value], ...]


def read_provn(text: str, limits: Limits = DEFAULT) -> Document:
    """Return the document that a PROV-N text describes.

    Parameters
    ----------
    text : str
        From ``document`` to ``endDocument``.
    limits : Limits
        How much is read.

    Raises
    ------
    DocumentError
        Not PROV-N; line and column say where.
    DocumentTooLargeError
        Larger than the limits.
    """
    with no_cycles():
        return _Reader(text, limits).document()


class _Reader:
    def __init__(self, text: str, limits: Limits) -> None:
        limits.check_bytes(len(text))
        self._scan = Scanner(text)
        self._limits = limits
        self._names = Namespaces()
        self._count = 0
        self._line, self._counted_to = 1, 0

    # --------------------------------------------------------------------------------------------- document and bundles

    def document(self) -> Document:
        self._keyword("document")
        self._declarations()
        top = self._records(("bundle", "endDocument"))
        above, bundles = self._names, []
        while self._word() == "bundle":
            self._keyword("bundle")
            self._names = Namespaces(above)
            bundles.append(self._bundle())
        self._names = above
        self._keyword("endDocument")
        if self._scan.position < len(self._scan.text):
            raise self._scan.error(f"nothing may follow endDocument, not {self._scan.shown()}")
        return Document(Bundle(None, top), tuple(bundles), dict(above.uris))

    def _bundle(self) -> Bundle:
        start = self._scan.position
        written = self._scan.match(NAME)
        if written is None:
            raise self._scan.error(f"the name of the bundle expected, not {self._scan.shown()}")
        self._declarations()
        identifier = self._name(written, start)
        records = self._records(("endBundle",))
        self._keyword("endBundle")
        return Bundle(identifier, records)

    def _word(self) -> str:
        found = _KEYWORD.match(self._scan.text, self._scan.position)
        return found.group() if found else ""

    def _keyword(self, word: str) -> None:
        if self._word() != word:
            raise self._scan.error(f"{word!r} expected, not {self._scan.shown()}")
        self._scan.take(word)

    def _declarations(self) -> None:
        scan = self._scan
        while (word := self._word()) in ("prefix", "default"):
            start = scan.position
            scan.take(word)
            prefix = "" if word == "default" else scan.match(PREFIX)
            uri = scan.match(IRI)
            if prefix is None or uri is None:
                raise scan.error(f"{word} wants {'' if prefix == '' else 'a name and '}an <IRI>, not {scan.shown()}")
            try:
                self._names.declare(prefix, uri)
            except DocumentError as error:
                raise scan.error(str(error), start) from error

    def _records(self, ends: tuple[str, ...]) -> tuple[Record, ...]:
        records = []
        while self._word() not in ends:
            records.append(self._record())
            self._count += 1
            self._limits.check_records(self._count)
        return tuple(records)

    # ------------------------------------------------------------------------------------------------------- statements

    def _record(self) -> Record:
        scan = self._scan
        start = scan.position
        line = self._line_of(start)
        kind = scan.match(NAME)
        if kind is None or not scan.take("("):
            raise scan.error(
                f"a statement such as entity(ex:e1) expected, not {scan.text[start : start + 30]!r}", start
            )
        shape = SHAPES.get(kind) or SHAPES.get(kind.removeprefix("prov:"), _EXTENSION)
        if shape is _EXTENSION:
            return self._extension(kind, start, line)
        kind = kind.removeprefix("prov:")
        identifier = self._element_name() if shape.is_element else self._identifier()
        if identifier is not None and not shape.has_identifier:
            raise scan.error(f"{kind} has no identifier", start)
        arguments = self._arguments(kind, shape, first=not shape.is_element)
        attributes = self._attributes() if scan.at("[") else ()
        if attributes and not shape.has_attributes:
            raise scan.error(f"{kind} has no attributes", start)
        scan.expect(")")
        return Record(kind, identifier, arguments, attributes, line)

    def _element_name(self) -> Name:
        start = self._scan.position
        written = self._scan.match(NAME)
        if written is None:
            raise self._scan.error(f"a name expected, not {self._scan.shown()}")
        return self._name(written, start)

    def _identifier(self) -> Name | None:
        """The identifier before a semicolon, if there is one; ``-;`` is none."""
        scan = self._scan
        start = scan.position
        if scan.take("-"):
            if scan.take(";"):
                return None
        else:
            written = scan.match(NAME)
            if written is not None and scan.take(";"):
                return self._name(written, start)
        scan.position = start
        return None

    def _arguments(self, kind: str, shape: Shape, *, first: bool) -> tuple[Argument, ...]:
        scan = self._scan
        found: list[Argument] = []
        for parameter in shape.parameters:
            if not (first and not found) and not scan.take(","):
                break
            if scan.at("["):  # the comma was that before the attributes
                return self._filled(kind, shape, found)
            found.append(self._argument(kind, parameter))
        else:
            if shape.has_attributes and scan.take(",") and not scan.at("["):
                raise scan.error(f"{kind} has {len(shape.parameters)} arguments, not more")
        return self._filled(kind, shape, found)

    def _filled(self, kind: str, shape: Shape, found: list[Argument]) -> tuple[Argument, ...]:
        if len(found) < shape.least:
            missing = shape.parameters[len(found)].name
            raise self._scan.error(f"{kind} needs its {missing}, found {self._scan.shown()}")
        return tuple(found) + (None,) * (len(shape.parameters) - len(found))

    def _argument(self, kind: str, parameter: Parameter) -> Argument:
        scan = self._scan
        start = scan.position
        written = scan.match(TIME) if parameter.is_time else scan.match(NAME)
        if written is not None:
            return Time(written) if parameter.is_time else self._name(written, start)
        if scan.take("-"):
            return MARKER
        what = "a time such as 2012-11-16T16:05:00" if parameter.is_time else "a name"
        raise scan.error(f"{kind} wants {what} or - as its {parameter.name}, not {scan.shown()}")

    def _extension(self, kind: str, start: int, line: int) -> Record:
        """``ex:relation(id; a, b, [...])`` of another vocabulary: read, and judged by no rule."""
        scan = self._scan
        if ":" not in kind:
            raise scan.error(f"PROV-N has no statement {kind}; one of another vocabulary has a prefix", start)
        self._name(kind, start)
        identifier = self._identifier()
        found: list[Argument] = []
        attributes: _Attributes = ()
        while not scan.at(")"):
            if found:
                scan.expect(",")
            if scan.at("["):
                attributes = self._attributes()
                break
            found.append(self._extension_argument())
            if len(found) > self._limits.attributes:
                raise scan.error(f"{kind} has more than {self._limits.attributes} arguments")
        scan.expect(")")
        return Record(kind, identifier, tuple(found), attributes, line)

    def _extension_argument(self) -> Argument:
        """A name, a time, a marker; literals, and the pairs of PROV-Dictionary in braces, are passed over as ``-``."""
        scan = self._scan
        start = scan.position
        if (time := scan.match(TIME)) is not None:
            return Time(time)
        if (written := scan.match(NAME)) is not None:
            return self._name(written, start)
        if scan.at('"') or scan.at("'"):
            self._literal()
        elif scan.take("{"):
            self._braces()
        elif not scan.take("-"):
            raise scan.error(f"an argument expected, not {scan.shown()}")
        return MARKER

    def _braces(self) -> None:
        scan = self._scan
        while not scan.take("}"):
            if scan.take("(") or scan.take(")") or scan.take(","):
                continue
            if scan.match(NAME) is None:
                self._literal()

    # ------------------------------------------------------------------------------------------------------- attributes

    def _attributes(self) -> _Attributes:
        scan = self._scan
        scan.expect("[")
        found: list[tuple[Name, Value]] = []
        while not scan.at("]"):
            if found:
                scan.expect(",")
            start = scan.position
            written = scan.match(NAME)
            if written is None:
                raise scan.error(f"the name of an attribute expected, not {scan.shown()}")
            scan.expect("=")
            found.append((self._name(written, start), self._literal()))
            if len(found) > self._limits.attributes:
                raise scan.error(f"a statement may have {self._limits.attributes} attributes")
        scan.expect("]")
        return tuple(found)

    def _literal(self) -> Value:
        scan = self._scan
        start = scan.position
        if scan.take("'"):
            written = scan.match(NAME)
            if written is None or not scan.take("'"):
                raise scan.error(f"a name in single quotes expected, not {scan.shown()}", start)
            return self._name(written, start)
        if scan.at('"'):
            return self._text_literal()
        number = scan.match(INTEGER)
        if number is None:
            raise scan.error(f"a value expected, not {scan.shown()}")
        return Literal(number, XSD + "int")

    def _text_literal(self) -> Value:
        scan = self._scan
        text = scan.string()
        language = scan.match(LANGUAGE)
        if language is not None:
            return Literal(text, "", language)
        scan.skip()
        if not scan.take("%%"):
            return Literal(text)
        start = scan.position
        written = scan.match(NAME)
        if written is None:
            raise scan.error(f"the name of a datatype expected, not {scan.shown()}")
        return Literal(text, self._name(written, start).uri)

    # ------------------------------------------------------------------------------------------------------------ names

    def _name(self, written: str, start: int) -> Name:
        if len(written) > self._limits.name:
            raise self._scan.error(f"a name may have {self._limits.name} characters", start)
        if written.endswith(".") and not written.endswith("\\."):
            raise self._scan.error(f"the name {written[:60]!r} ends in a dot", start)
        try:
            if "\\" not in written:
                return self._names.name(written)
            return Name(self._names.name(_ESCAPED.sub(r"\1", written)).uri, written)
        except DocumentError as error:
            raise self._scan.error(str(error), start) from error

    def _line_of(self, position: int) -> int:
        """Lines are counted once, as the text is read."""
        self._line += self._scan.text.count("\n", self._counted_to, position)
        self._counted_to = position
        return self._line
