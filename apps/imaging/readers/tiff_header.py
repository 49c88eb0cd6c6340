"""The header of a TIFF as JSON values, whole, and the few facts in it that every TIFF may state."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from apps.imaging.readers.base import fact

# Tables of strips and tiles say where samples lie in this one file; they describe nothing.
_LEFT_OUT = {273, 279, 324, 325}
_FACTS = {305: "software", 271: "instrument_make", 272: "instrument_model", 315: "artist", 316: "host_computer"}
_DATE_TIME = 306


def json_value(value: Any) -> Any:
    """A header value that JSON and every database can hold.

    Bytes become base64, numbers that are not finite their name; NUL and lone surrogates in text become U+FFFD.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Mapping):
        return {text(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item) for item in value]
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    return text(value)


def text(value: Any) -> str:
    """Text without NUL and lone surrogates."""
    return str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def tags_of(page: Any) -> dict[str, Any]:
    """All tags of a page by ``number name``."""
    return {f"{tag.code} {tag.name}": json_value(tag.value) for tag in page.tags.values() if tag.code not in _LEFT_OUT}


def facts_of(page: Any) -> dict[str, dict[str, Any]]:
    """Software, camera, date of the file and photometric meaning, where the page states them.

    The date is that of writing the file, which converters and acquisition programs set hours after the measurement.
    """
    found = {}
    for code, name in _FACTS.items():
        value = page.tags.valueof(code)
        if isinstance(value, str) and value.strip():
            found[name] = fact(text(value).strip())
    date = page.tags.valueof(_DATE_TIME)
    if isinstance(date, str) and (moment := local_time(date)):
        found["file_created_at"] = fact(moment)
    found["photometric"] = fact(getattr(page.photometric, "name", text(page.photometric)).lower())
    return found


def local_time(value: str) -> str | None:
    """A TIFF date ``YYYY:MM:DD HH:MM:SS`` as ISO 8601 without a zone: TIFF has none."""
    try:
        return datetime.strptime(value.strip()[:19], "%Y:%m:%d %H:%M:%S").isoformat()  # noqa: DTZ007 - the file has no zone
    except ValueError:
        return None
