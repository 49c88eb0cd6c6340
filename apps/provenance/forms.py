"""The forms that PROV comes in, and how those are read that need no library; nothing here knows Django."""

from __future__ import annotations

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


OWN: Final = frozenset({"provn", "json"})
"""Forms that are read here, without the ``prov`` package."""


def read_own(body: bytes, form: str, limits: Limits) -> Document:
    """Return the document that bytes of one of our own forms describe.

    Parameters
    ----------
    body : bytes
        The whole document in UTF-8; PROV-N may have a byte order mark, JSON may not (RFC 8259).
    form : str
        A member of :data:`OWN`.
    limits : Limits
        How much is read.

    Raises
    ------
    DocumentError
        Not of this form; a ``DocumentTooLargeError`` where it is larger than the limits.
    """
    limits.check_bytes(len(body))
    if form == "json":
        return read_provjson(body, limits)
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"no UTF-8: byte {error.start} is {body[error.start]:#04x}") from error
    return read_provn(text, limits)
