"""Names for what messages and paths call by id: transforms by the frames they join."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Mapping

from apps.spatial.models import Transform
from apps.spatial.paths import Doubt

_NAMED = re.compile(r"\b(transform|region) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")

_MICRO = re.compile(r"\bum\b")


def transforms_by_id(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Transform]:
    """Return transforms with their frames and calibrations; one query."""
    rows = Transform.objects.select_related("source", "target", "calibration__instrument", "job", "created_by")
    return {row.pk: row for row in rows.filter(pk__in=set(ids))}


def transform_name(row: Transform) -> str:
    """Return a transform as the frames it joins."""
    return f"{row.source.name} → {row.target.name}"


def readable(message: str, rows: Mapping[uuid.UUID, Transform]) -> str:
    """Return a message with the names of transforms in the place of their ids, as a sentence."""

    def name(found: re.Match[str]) -> str:
        row = rows.get(uuid.UUID(found[2]))
        if found[1] == "region":
            return "this region"
        return f"the transform {transform_name(row)}" if row else found[0]

    return sentence(_NAMED.sub(name, message))


def sentence(message: str) -> str:
    """Return a message as the pages write it: begun with a capital, micrometres by their sign."""
    text = micro(message)
    return text[:1].upper() + text[1:]


def micro(message: str) -> str:
    """Return a message with micrometres by their sign."""
    return _MICRO.sub("µm", message)


def told(doubts: Iterable[Doubt], rows: Mapping[uuid.UUID, Transform]) -> list[str]:
    """Return doubts in words, each once."""
    return list(dict.fromkeys(readable(doubt.message, rows) for doubt in doubts))
