"""Judge a document of strangers in a process of its own, with its memory and its time bounded.

Whoever sends a document chooses what a parser does: 100,000 brackets, a megabyte of lists in lists, a graph that takes
a library minutes.  The process ends at its limits, and the answer says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any, Final

from django.conf import settings

from apps.core.errors import CorrError, RetryLaterError, TooLargeError

_MEMORY_BYTES: Final = 500 * 10**6
_SECONDS: Final = 4.5
_AT_ONCE: Final = 2
_PATIENCE: Final = 2.0  # seconds to wait for others to end
_turns = threading.BoundedSemaphore(_AT_ONCE)


class UnreadableDocumentError(CorrError, ValueError):
    """The body is no PROV document of the form that its media type announces."""

    code = "unreadable_document"
    title = "The document cannot be read"


def judge(body: bytes, form: str) -> dict[str, Any]:
    """Return the verdict over a document as JSON values.

    Parameters
    ----------
    body : bytes
        The document.
    form : str
        A value of ``documents.FORM_OF``.

    Returns
    -------
    dict
        ``Report.to_dict()`` of :mod:`apps.provenance.constraints`.

    Raises
    ------
    UnreadableDocumentError
        Not a document of that form.
    TooLargeError
        It takes more time or memory than one document may take.
    RetryLaterError
        As many documents as this process judges at once are being judged.
    """
    if not _turns.acquire(timeout=_PATIENCE):
        raise RetryLaterError(f"{_AT_ONCE} documents are being judged; send this one again in a moment")
    try:
        output = _run(body, form)
    finally:
        _turns.release()
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError as error:  # ended by the kernel, at a limit
        raise TooLargeError("reading this document ends the process that reads it; it is too large") from error
    if "report" in answer:
        return dict(answer["report"])
    raise (TooLargeError if answer["too_large"] else UnreadableDocumentError)(answer["refused"])


def _run(body: bytes, form: str) -> bytes:
    most = str(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    module = "apps.provenance.validator_child"
    command = [sys.executable, "-P", "-m", module, form, most, str(_MEMORY_BYTES), str(_SECONDS)]
    try:
        done = subprocess.run(
            command,
            input=body,
            check=False,
            timeout=_SECONDS,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(settings.CORR_CHILD_ENVIRONMENT),
        )
    except subprocess.TimeoutExpired as error:
        raise TooLargeError(
            f"the document was not judged within {_SECONDS} s; manage.py prov_validate has no such limit"
        ) from error
    except OSError as error:
        raise RetryLaterError(f"no process can be started to judge the document: {error}") from error
    return done.stdout
