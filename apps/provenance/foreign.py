"""PROV-XML, Turtle, TriG and RDF/XML through the ``prov`` package, into the values of :mod:`constraints`.

PROV-N and PROV-JSON have readers of their own there: ``prov`` keeps no difference between ``-`` and left out, and takes
longer to read PROV-JSON than it takes to read and judge it here.  Nothing in this module knows Django.
"""

from __future__ import annotations

import datetime as dt
import io
import warnings
from collections.abc import Iterable
from typing import Any, Final

import prov
from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from prov.constants import PROV_N_MAP
from prov.identifier import QualifiedName
from prov.model import Literal as ProvLiteral
from prov.model import ProvBundle, ProvDocument, ProvRecord

from apps.provenance.constraints import (
    Bundle,
    Document,
    DocumentError,
    DocumentTooLargeError,
    Limits,
    Literal,
    Name,
    Record,
    Time,
)
from apps.provenance.constraints.model import SHAPES, Argument

_FORMATS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "xml": ("xml", {}),
    "turtle": ("rdf", {"rdf_format": "turtle"}),
    "trig": ("rdf", {"rdf_format": "trig"}),
    "rdfxml": ("rdf", {"rdf_format": "xml"}),
}
_XML: Final = frozenset({"xml", "rdfxml"})
_LONGEST = 300
# What bytes that are no document of the form lead `prov`, lxml and rdflib to; each has exceptions of its own.
_SURPRISES = (Exception,)


def read_foreign(body: bytes, form: str, limits: Limits) -> Document:
    """Return the document that bytes of a form describe.

    Parameters
    ----------
    body : bytes
        The whole document.
    form : str
        ``xml``, ``turtle``, ``trig`` or ``rdfxml``.
    limits : Limits
        How much is read.

    Raises
    ------
    DocumentError
        Not of this form, or XML with a document type.
    DocumentTooLargeError
        Larger than the limits, or nested deeper.
    """
    limits.check_bytes(len(body))
    if form in _XML:
        _check_xml(body, limits)
    name, options = _FORMATS[form]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = ProvDocument.deserialize(io.BytesIO(body), format=name, **options)
    except RecursionError as error:
        raise DocumentTooLargeError(f"the {form} document is nested too deeply") from error
    except MemoryError:
        raise
    except (prov.Error, *_SURPRISES) as error:
        text = " ".join(str(error).split())
        raise DocumentError(f"no PROV in {form}: {type(error).__name__}: {text}"[:_LONGEST]) from error
    return _document(document, limits)


def _check_xml(body: bytes, limits: Limits) -> None:
    """Refuse a document type (entities are defined there) and endless nesting before anything else parses it."""
    depth = 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(body), events=("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if depth > limits.depth:
                raise DocumentTooLargeError(f"the XML is nested deeper than {limits.depth} levels")
            if event == "end":
                element.clear()
    except DefusedXmlException as error:
        raise DocumentError("XML with a document type (DOCTYPE) is not read: entities are defined there") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"no XML: {error}"[:_LONGEST]) from error


# ------------------------------------------------------------------------------------------------------- to our values


def _document(document: ProvDocument, limits: Limits) -> Document:
    prefixes = {namespace.prefix: namespace.uri for namespace in document.namespaces}
    count = len(document.records) + sum(len(bundle.records) for bundle in document.bundles)
    limits.check_records(count)
    bundles = tuple(_bundle(bundle, limits) for bundle in document.bundles)
    return Document(_bundle(document, limits), bundles, prefixes)


def _bundle(bundle: ProvBundle, limits: Limits) -> Bundle:
    identifier = None if bundle.is_document() else _name(bundle.identifier)
    records: list[Record] = []
    for record in bundle.records:
        records += _records(record, limits)
    return Bundle(identifier, tuple(records))


def _records(record: ProvRecord, limits: Limits) -> Iterable[Record]:
    kind = PROV_N_MAP[record.get_type()]
    shape = SHAPES[kind]
    said = {name.localpart: value for name, value in record.formal_attributes}
    arguments = tuple(_argument(said.get(parameter.name)) for parameter in shape.parameters)
    attributes = tuple((_name(name), _value(value)) for name, value in record.extra_attributes)
    if len(attributes) > limits.attributes:
        raise DocumentTooLargeError(f"a statement may have {limits.attributes} attributes")
    identifier = _name(record.identifier) if record.identifier is not None and shape.has_identifier else None
    return [Record(kind, identifier, arguments, attributes)]


def _name(name: Any) -> Name:
    return Name(name.uri, str(name))


def _argument(value: Any) -> Argument:
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return Time(value.isoformat())
    return _name(value)


def _value(value: Any) -> Name | Literal:
    if isinstance(value, QualifiedName):
        return _name(value)
    if isinstance(value, ProvLiteral):
        return Literal(value.value, value.datatype.uri if value.datatype else "", value.langtag or "")
    return Literal(value.isoformat() if isinstance(value, dt.datetime) else str(value))
