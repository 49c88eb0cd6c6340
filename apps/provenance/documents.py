"""One way to read a PROV document of any form.  Imports ``prov``, and for each form the library that reads it."""

from __future__ import annotations

from apps.provenance.constraints import Document, Limits
from apps.provenance.foreign import read_foreign
from apps.provenance.forms import OWN, read_own


def read_document(body: bytes, form: str, limits: Limits) -> Document:
    """Return the document that bytes of a form (a value of ``forms.FORM_OF``) describe.

    Raises
    ------
    DocumentError
        Not of this form; a ``DocumentTooLargeError`` where it is larger than the limits.
    """
    return read_own(body, form, limits) if form in OWN else read_foreign(body, form, limits)
