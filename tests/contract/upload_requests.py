"""What the routes of uploads are sent: bodies that are bytes, and words in headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TUS = {"Tus-Resumable": "1.0.0"}
BODIES: dict[str, Any] = {
    "POST uploads/": None,
    "PATCH uploads/{pk}/": lambda w: b"bytes",
    "DELETE uploads/{pk}/": None,
}
RAW = {"PATCH uploads/{pk}/": "application/offset+octet-stream"}
HEADERS: dict[str, Mapping[str, str]] = {
    "POST uploads/": {**_TUS, "Upload-Length": "5", "Upload-Metadata": "filename YS5yYXc="},
    "PATCH uploads/{pk}/": {**_TUS, "Upload-Offset": "0"},
    "DELETE uploads/{pk}/": _TUS,
}
