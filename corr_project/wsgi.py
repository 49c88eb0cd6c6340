"""WSGI entry point."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.wsgi import get_wsgi_application

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "corr_project.settings")
_django = get_wsgi_application()
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^;\"]*)\"?", re.IGNORECASE)
_TEXT = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"})


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request; a charset that nobody writes text in is ignored, as an unknown one is.

    Django reads the address in the charset of the body before any of its error handling is there, so that a codec of
    Python that is no charset (``zlib``, ``idna``) would end the request without an answer.
    """
    content_type = environ.get("CONTENT_TYPE", "")
    found = _CHARSET.search(content_type)
    if found and found[1].strip().lower() not in _TEXT:
        environ["CONTENT_TYPE"] = _CHARSET.sub("", content_type)
    return _django(environ, start_response)
