"""The process in which one document of strangers is read and judged.

    python -P -m apps.provenance.validator_child FORM MOST_BYTES MEMORY_BYTES SECONDS < document

Answers with one JSON object on standard output: ``{"report": {...}}``, or ``{"refused": message, "too_large": bool}``.
Memory and time are limited by the kernel, so what a document leads a parser to ends this process and no other.
"""

from __future__ import annotations

import ctypes
import json
import math
import resource
import signal
import sys
from typing import Any

from apps.provenance.constraints import DocumentError, DocumentTooLargeError, Limits, validate
from apps.provenance.documents import read_document

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read, judge, answer."""
    form, most, memory, seconds = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    limit = math.ceil(float(seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    try:
        answer = _answer(form, Limits(bytes=int(most)))
    except MemoryError:
        answer = {"refused": "the document takes more memory than there is for one", "too_large": True}
    sys.stdout.write(json.dumps(answer))


def _answer(form: str, limits: Limits) -> dict[str, Any]:
    try:
        return {"report": validate(read_document(sys.stdin.buffer.read(), form, limits)).to_dict()}
    except DocumentError as error:
        return {"refused": str(error), "too_large": isinstance(error, DocumentTooLargeError)}


if __name__ == "__main__":
    main()
