"""Facts of a file as rows of a table: what they are, how large, where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SOURCES = {"file": "file", "derived": "derived", "user": "typed by hand", "calibration": "calibration"}


@dataclass(frozen=True)
class FactRow:
    """One fact; ``entry`` is what the filter ``quantity`` takes."""

    name: str
    entry: Any
    source: str
    tag: str
    raw: str


def fact_rows(facts: Mapping[str, Any]) -> list[FactRow]:
    """Return facts by name; a plain value is the software's own, that is derived."""
    return [_row(name, entry) for name, entry in sorted(facts.items())]


def _row(name: str, entry: Any) -> FactRow:
    if not isinstance(entry, Mapping):
        return FactRow(name, entry, "derived", "", "")
    source = str(entry.get("source") or "derived")
    raw = entry.get("raw")
    text = "" if raw is None else _plain(raw)
    return FactRow(name, entry, SOURCES.get(source, source), str(entry.get("tag") or ""), text)


def _plain(raw: Any) -> str:
    if isinstance(raw, Mapping):
        return " ".join(str(raw[key]) for key in ("value", "unit") if raw.get(key) not in (None, ""))
    return str(raw)
