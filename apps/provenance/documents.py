"""The forms that PROV comes in, and one way to read each; nothing here knows Django."""

from __future__ import annotations

import importlib
from typing import Final

from apps.provenance.constraints import Document, DocumentError, Limits, read_provjson, read_provn

FORM_OF: Final = {
    "text/provenance-notation": "provn",
    "application/json": "json",
    "application/provenance+json": "json",
    "application/provenance+xml": "xml",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/turtle": "turtle",
    "application/trig": "trig",
    "application/rdf+xml": "rdfxml",
}
"""Media type -> form."""
SUFFIX_OF: Final = {
    ".provn": "provn",
    ".json": "json",
    ".provx": "xml",
    ".xml": "xml",
    ".ttl": "turtle",
    ".trig": "trig",
    ".rdf": "rdfxml",
}
"""Ending of a file name -> form."""


def read_document(body: bytes, form: str, limits: Limits) -> Document:
    """Return the document that bytes of a form describe.

    Parameters
    ----------
    body : bytes
        The whole document; text is UTF-8, with or without a byte order mark.
    form : str
        A value of :data:`FORM_OF`.
    limits : Limits
        How much is read.

    Raises
    ------
    DocumentError
        Not of this form; a ``DocumentTooLargeError`` where it is larger than the limits.
    """
    limits.check_bytes(len(body))
    body = body.removeprefix(b"\xef\xbb\xbf")
    if form == "json":
        return read_provjson(body, limits)
    if form == "provn":
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DocumentError(f"no UTF-8: byte {error.start} is {body[error.start]:#04x}") from error
        return read_provn(text, limits)
    # `prov`, lxml and rdflib take as long to import as a small document takes to judge: only for what needs them.
    foreign = importlib.import_module("apps.provenance.foreign")
    document: Document = foreign.read_foreign(body, form, limits)
    return document
