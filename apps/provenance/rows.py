"""Nodes and edges as values, as lineage answers, redaction and serialisers pass them on."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

HIDDEN_TYPE = "corr:Hidden"


@dataclass(frozen=True)
class NodeRow:
    """A node with all that was ever said of it.

    Attributes
    ----------
    id, kind, type, project, seq
        As in the ledger; `seq` is the event that recorded it first.
    attributes : mapping
        First attributes and later annotations in one; where a list is said again it grows, any other value said again
        replaces the former.
    texts : mapping
        Name -> erasable text; None where it was erased.
    recorded_at : datetime or None
        Server's time of the first record.
    hidden : bool
        True for the stand-in of a part that the viewer may not see.
    """

    id: uuid.UUID
    kind: str
    type: str
    project: uuid.UUID | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str | None] = field(default_factory=dict)
    seq: int | None = None
    recorded_at: dt.datetime | None = None
    hidden: bool = False


@dataclass(frozen=True)
class EdgeRow:
    """An edge; `subject` came later than `object`."""

    relation: str
    subject: uuid.UUID
    object: uuid.UUID
    activity: uuid.UUID | None = None
    plan: uuid.UUID | None = None
    role: str = ""
    time: dt.datetime | None = None
    seq: int | None = None


class Neighbourhood(NamedTuple):
    """Part of the graph: the asked nodes first, then the found ones; edges among them; whether a cap cut it."""

    nodes: list[NodeRow]
    edges: list[EdgeRow]
    truncated: bool
