"""What acts have said and not yet written: statements in memory, until the outermost act ends."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from apps.provenance.canonical import RecordError, plain
from apps.provenance.relations import Relation


@dataclass(frozen=True)
class NodeSpec:
    """A node to be written; `shared` ones (accounts, software, a job's activity) are made on first use only."""

    id: uuid.UUID
    kind: str
    type: str
    project: uuid.UUID | None
    attributes: dict[str, Any]
    shared: bool = False


@dataclass(frozen=True)
class EdgeSpec:
    """An edge to be written."""

    relation: Relation
    subject: uuid.UUID
    object: uuid.UUID
    activity: uuid.UUID | None = None
    plan: uuid.UUID | None = None
    role: str = ""
    time: dt.datetime | None = None


@dataclass(frozen=True)
class TextSpec:
    """An erasable text; with `first_use` it is written only if its node is new."""

    node: uuid.UUID
    name: str
    text: str
    first_use: bool = False


@dataclass(frozen=True)
class StaleSpec:
    """A stale mark to be written."""

    thing: uuid.UUID
    cause: uuid.UUID
    reason: str


Select = Callable[[Sequence[uuid.UUID]], Collection[uuid.UUID]]


@dataclass(frozen=True)
class ClosureSpec:
    """Marks on what rests on a cause, to be found when the event is written; `marked` is filled then."""

    cause: uuid.UUID
    reason: str
    select: Select
    relations: Sequence[str] | None
    marked: list[uuid.UUID] = field(default_factory=list)


@dataclass(frozen=True)
class InheritSpec:
    """Marks on outputs whose sources are found stale when the event is written."""

    outputs: tuple[uuid.UUID, ...]
    sources: tuple[uuid.UUID, ...]
    reason: str


@dataclass(frozen=True)
class FreshSpec:
    """Things none of which may be stale when the event is written; `refusal` makes the error out of the reason."""

    things: tuple[uuid.UUID, ...]
    refusal: Callable[[str], Exception]


@dataclass(frozen=True)
class PersonKey:
    """A named person without account: the same name within one project is the same person."""

    name: str
    project: uuid.UUID | None


@dataclass
class Buffer:
    """Statements of one act, or of an act and the acts within it."""

    nodes: dict[uuid.UUID, NodeSpec] = field(default_factory=dict)
    edges: dict[EdgeSpec, None] = field(default_factory=dict)
    annotations: list[tuple[uuid.UUID, dict[str, Any]]] = field(default_factory=list)
    texts: list[TextSpec] = field(default_factory=list)
    stale: list[StaleSpec] = field(default_factory=list)
    closures: list[ClosureSpec] = field(default_factory=list)
    inherited: list[InheritSpec] = field(default_factory=list)
    fresh: list[FreshSpec] = field(default_factory=list)
    erased: list[uuid.UUID] = field(default_factory=list)
    persons: dict[PersonKey, uuid.UUID] = field(default_factory=dict)
    revisions: list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]] = field(default_factory=list)

    def add_node(self, node: NodeSpec) -> None:
        """Add a node; a shared one may be said again, and made in full, any other only once."""
        old = self.nodes.get(node.id)
        if old is None:
            self.nodes[node.id] = node
            return
        if old.kind != node.kind or not (old.shared or node.shared):
            raise RecordError(f"{node.type} {node.id} is recorded twice in one act, as {old.kind} and {node.kind}")
        full, named = (old, node) if node.shared else (node, old)
        self.nodes[node.id] = replace(full, attributes=named.attributes | full.attributes)

    def add_edge(self, edge: EdgeSpec) -> None:
        """Add an edge; the same said twice stands once."""
        if edge.subject == edge.object:
            raise RecordError(f"{edge.relation} joins {edge.subject} with itself")
        self.edges[edge] = None

    def annotate(self, node: uuid.UUID, attributes: Mapping[str, Any]) -> None:
        """Add attributes to a node that may exist already."""
        if attributes:
            self.annotations.append((node, plain(attributes)))

    def person(self, key: PersonKey) -> uuid.UUID:
        """Return the stand-in id of a named person; the writer puts the recorded one in its place."""
        return self.persons.setdefault(key, uuid.uuid4())

    def absorb(self, inner: Buffer) -> None:
        """Take over what an act within this one has said."""
        stand_ins = {mine: self.person(key) for key, mine in inner.persons.items()}
        inner.rename(stand_ins)
        for node in inner.nodes.values():
            self.add_node(node)
        self.edges |= inner.edges
        self.annotations += inner.annotations
        self.texts += inner.texts
        self.stale += inner.stale
        self.closures += inner.closures
        self.inherited += inner.inherited
        self.fresh += inner.fresh
        self.erased += inner.erased
        self.revisions += inner.revisions

    def rename(self, ids: Mapping[uuid.UUID, uuid.UUID]) -> None:
        """Put other ids in the place of stand-ins, in all edges."""
        if ids:
            self.edges = {_renamed(edge, ids): None for edge in self.edges}

    def mentioned(self) -> Iterable[uuid.UUID]:
        """Yield every id that must be a node when the act ends, with repeats."""
        for edge in self.edges:
            yield from (end for end in (edge.subject, edge.object, edge.activity, edge.plan) if end is not None)
        yield from (node for node, _ in self.annotations)
        yield from (text.node for text in self.texts)
        for mark in self.stale:
            yield from (mark.thing, mark.cause)


def _renamed(edge: EdgeSpec, ids: Mapping[uuid.UUID, uuid.UUID]) -> EdgeSpec:
    return replace(edge, subject=ids.get(edge.subject, edge.subject), object=ids.get(edge.object, edge.object))
