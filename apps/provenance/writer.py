"""Writing one event: the chain head is locked, the sequence taken from it, and everything buffered becomes rows.

All writers take the head row first and nothing of the ledger before it, so there is one lock order and no deadlock.
SQLite holds its one write lock since BEGIN IMMEDIATE; PostgreSQL waits at the row.  The conditional update of the head
at the end would refuse a second writer even where a lock were missing.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Q
from django.utils.dateparse import parse_datetime

from apps.core.ids import urn
from apps.provenance.buffer import Buffer, EdgeSpec, NodeSpec, TextSpec
from apps.provenance.canonical import (
    GENESIS_HASH,
    PAYLOAD_VERSION,
    RecordError,
    canonical,
    commitment,
    event_hash,
    instant,
    new_salt,
)
from apps.provenance.models import Annotation, ChainHead, Edge, ErasableText, Event, Node, Stale
from apps.provenance.relations import RULES, VERSION_ROLE, Kind, Relation
from apps.provenance.staleness import settle
from apps.provenance.statements import (
    annotation_statement,
    edge_statement,
    node_statement,
    stale_statement,
    text_statement,
    urn_or_none,
)

ACCOUNT = "corr:account"  # attribute that tells persons with an account from named ones
_PERSON = "prov:Person"
_CHUNK = 5000
_T = TypeVar("_T")


class LedgerBrokenError(RuntimeError):
    """The chain head is missing or does not fit the events: somebody has been at the tables."""


@dataclass(frozen=True)
class Heading:
    """What an event says of its act as a whole."""

    activity: uuid.UUID
    project: uuid.UUID | None
    verb: str


def write(buffer: Buffer, heading: Heading) -> Event:
    """Write everything buffered as one event, inside the transaction that is open.

    Raises
    ------
    RecordError
        A statement names something that was never recorded, joins the wrong kinds, or records a thing twice.
    LedgerBrokenError
        The chain head does not fit the events.
    """
    head = _lock_head()
    recorded_at = _database_now()
    _resolve_persons(buffer)
    _resolve_revisions(buffer)
    settle(buffer)
    known = _known_kinds(buffer)
    nodes = _split_shared(buffer, known)
    _check_edges(buffer, known | {node.id: node.kind for node in nodes})
    seq = head.seq + 1
    texts = [_committed(spec, seq) for spec in _texts_to_write(buffer, {node.id for node in nodes})]
    marks = _stale_rows(buffer, heading, seq, texts)
    payload = canonical(_payload(buffer, heading, seq, recorded_at, nodes, texts, marks))
    event = Event(
        seq=seq,
        recorded_at=recorded_at,
        activity=heading.activity,
        project=heading.project,
        verb=heading.verb,
        version=PAYLOAD_VERSION,
        payload=payload,
        prev_hash=head.hash,
        hash=event_hash(PAYLOAD_VERSION, head.hash, payload),
    )
    _insert(buffer, nodes, texts, marks, event)
    _erase(buffer.erased, seq)
    _advance(head, event)
    return event


# ------------------------------------------------------------------------------------------------------- head and clock


def _lock_head() -> ChainHead:
    head = ChainHead.objects.select_for_update().filter(pk=1).first()
    if head is None:
        if Event.objects.exists():
            raise LedgerBrokenError("the chain head is missing although there are events")
        ChainHead.objects.bulk_create([ChainHead(id=1, seq=0, hash=GENESIS_HASH)], ignore_conflicts=True)
        head = ChainHead.objects.select_for_update().get(pk=1)
    return head


def _database_now() -> dt.datetime:
    # asked after the lock: the clock of an earlier statement may be older than the event before this one
    postgres = connection.vendor == "postgresql"
    sql = "SELECT clock_timestamp()" if postgres else "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    with connection.cursor() as cursor:
        cursor.execute(sql)
        (value,) = cursor.fetchone()
    now = parse_datetime(value) if isinstance(value, str) else value
    if not isinstance(now, dt.datetime):
        raise LedgerBrokenError(f"the database's clock says {value!r}")
    return now.astimezone(dt.UTC)


def _advance(head: ChainHead, event: Event) -> None:
    moved = ChainHead.objects.filter(pk=1, seq=head.seq, hash=head.hash).update(seq=event.seq, hash=event.hash)
    if moved != 1:
        raise LedgerBrokenError(f"the chain head moved under event {event.seq}")


# ------------------------------------------------------------------------------------------- what only the lock settles


def _resolve_persons(buffer: Buffer) -> None:
    """Put recorded persons in the place of stand-ins, and make those that are new."""
    if not buffer.persons:
        return
    recorded = {}
    for project in {key.project for key in buffer.persons}:
        at_home = Q(node__project__isnull=True) if project is None else Q(node__project=project)
        rows = ErasableText.objects.filter(
            at_home, node__type=_PERSON, name="name", text__in={key.name for key in buffer.persons}
        ).values_list("text", "node_id", "node__attributes")
        # an account's name is no key: two people may share it, and only the account says which one is meant
        recorded.update({(text, project): node for text, node, said in rows if not said.get(ACCOUNT)})
    stand_ins = {}
    for key, stand_in in buffer.persons.items():
        existing = recorded.get((key.name, key.project))
        if existing is not None:
            stand_ins[stand_in] = existing
            continue
        buffer.add_node(NodeSpec(stand_in, Kind.AGENT.value, _PERSON, key.project, {}))
        buffer.texts.append(TextSpec(stand_in, "name", key.name))
    buffer.rename(stand_ins)
    buffer.persons.clear()


def _resolve_revisions(buffer: Buffer) -> None:
    """Say which version each new version revises: the latest recorded one, or the thing itself."""
    latest: dict[uuid.UUID, uuid.UUID] = {}
    things = {thing for _, thing, _ in buffer.revisions}
    for chunk in _chunks(sorted(things)):
        rows = Edge.objects.filter(relation=Relation.SPECIALIZATION_OF, role=VERSION_ROLE, object__in=chunk)
        latest.update(rows.order_by("id").values_list("object_id", "subject_id"))
    for version, thing, activity in buffer.revisions:
        former = latest.get(thing, thing)
        buffer.add_edge(EdgeSpec(Relation.WAS_REVISION_OF, version, former, activity=activity))
        latest[thing] = version


def _known_kinds(buffer: Buffer) -> dict[uuid.UUID, str]:
    known: dict[uuid.UUID, str] = {}
    for chunk in _chunks(sorted({*buffer.nodes, *buffer.mentioned()})):
        known.update(Node.objects.filter(id__in=chunk).values_list("id", "kind"))
    return known


def _split_shared(buffer: Buffer, known: Mapping[uuid.UUID, str]) -> list[NodeSpec]:
    """Return the nodes to write; attributes of an activity that exists already become an annotation."""
    new = []
    for node in buffer.nodes.values():
        if node.id not in known:
            new.append(node)
        elif not node.shared:
            raise RecordError(
                f"{node.type} {node.id} is already recorded; what happens to it later is `changed` or `used`"
            )
        elif known[node.id] != node.kind:
            raise RecordError(f"{node.id} is recorded as {known[node.id]}, it cannot act as {node.kind}")
        elif node.kind == Kind.ACTIVITY and node.attributes:
            buffer.annotations.append((node.id, node.attributes))
    return new


def _check_edges(buffer: Buffer, kinds: Mapping[uuid.UUID, str]) -> None:
    missing = sorted({str(node) for node in buffer.mentioned() if node not in kinds})
    if missing:
        raise RecordError(f"never recorded, so nothing can be said of it: {', '.join(missing[:10])}")
    for edge in buffer.edges:
        problem = RULES[edge.relation].problem(kinds[edge.subject], kinds[edge.object])
        if problem:
            raise RecordError(f"{edge.relation.value}({edge.subject}, {edge.object}): {problem}")


# ---------------------------------------------------------------------------------------------------- payload and rows


def _texts_to_write(buffer: Buffer, new: set[uuid.UUID]) -> list[TextSpec]:
    """Return the texts; a name that goes with a first use only where the node is new and has not been named yet."""
    texts = [spec for spec in buffer.texts if not spec.first_use]
    named = {(spec.node, spec.name) for spec in texts}
    for spec in buffer.texts:
        if spec.first_use and spec.node in new and (spec.node, spec.name) not in named:
            named.add((spec.node, spec.name))
            texts.append(spec)
    return texts


def _committed(spec: TextSpec, seq: int) -> ErasableText:
    salt = new_salt()
    return ErasableText(
        node_id=spec.node, name=spec.name, salt=salt, text=spec.text, commitment=commitment(salt, spec.text), seq=seq
    )


def _stale_rows(buffer: Buffer, heading: Heading, seq: int, texts: list[ErasableText]) -> list[Stale]:
    """Return the marks; each different reason is one erasable text of the act."""
    reasons: dict[str, ErasableText] = {}
    for mark in buffer.stale:
        if mark.reason not in reasons:
            reasons[mark.reason] = _committed(TextSpec(heading.activity, "stale_reason", mark.reason), seq)
    texts += reasons.values()
    return [
        Stale(thing_id=mark.thing, cause=mark.cause, commitment=reasons[mark.reason].commitment, seq=seq)
        for mark in buffer.stale
    ]


def _payload(
    buffer: Buffer,
    heading: Heading,
    seq: int,
    recorded_at: dt.datetime,
    nodes: Sequence[NodeSpec],
    texts: Sequence[ErasableText],
    marks: Sequence[Stale],
) -> dict[str, Any]:
    """Return the payload of form 1.  Kinds of statement of which there are none are left out."""
    statements = {
        "nodes": [node_statement(node.id, node.kind, node.type, node.project, node.attributes) for node in nodes],
        "edges": [edge_statement(edge) for edge in buffer.edges],
        "annotations": [annotation_statement(node, attributes) for node, attributes in buffer.annotations],
        "texts": [text_statement(text) for text in texts],
        "stale": [stale_statement(mark.thing_id, mark.cause, mark.commitment) for mark in marks],
        "erased": [urn(text) for text in buffer.erased],
    }
    return {
        "seq": seq,
        "recordedAt": instant(recorded_at),
        "activity": urn(heading.activity),
        "project": urn_or_none(heading.project),
        "verb": heading.verb,
    } | {kind: said for kind, said in statements.items() if said}


def _insert(
    buffer: Buffer, nodes: Sequence[NodeSpec], texts: Sequence[ErasableText], marks: Sequence[Stale], event: Event
) -> None:
    seq = event.seq
    _create(
        Node.objects.bulk_create,
        (Node(id=n.id, kind=n.kind, type=n.type, project=n.project, attributes=n.attributes, seq=seq) for n in nodes),
    )
    _create(Edge.objects.bulk_create, (_edge_row(edge, seq) for edge in buffer.edges))
    _create(
        Annotation.objects.bulk_create,
        (Annotation(node_id=node, attributes=said, seq=seq) for node, said in buffer.annotations),
    )
    _create(ErasableText.objects.bulk_create, texts)
    _create(Stale.objects.bulk_create, marks)
    event.save(force_insert=True)


def _edge_row(edge: EdgeSpec, seq: int) -> Edge:
    return Edge(
        relation=edge.relation,
        subject_id=edge.subject,
        object_id=edge.object,
        activity=edge.activity,
        plan=edge.plan,
        role=edge.role,
        time=edge.time,
        seq=seq,
    )


def _create(bulk_create: Callable[[list[_T]], object], rows: Iterable[_T]) -> None:
    for chunk in _chunks(rows):
        bulk_create(chunk)


def _erase(texts: Sequence[uuid.UUID], seq: int) -> None:
    for chunk in _chunks(texts):
        erased = ErasableText.objects.filter(id__in=chunk, text__isnull=False).update(
            text=None, salt=None, erased_seq=seq
        )
        if erased != len(chunk):
            raise RecordError(f"of {len(chunk)} texts to erase {erased} were there")


def _chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
