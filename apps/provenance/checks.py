"""Does the ledger hold?  Hashes, order, and whether the rows still say what the hashed payloads say."""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from django.db import connection
from django.db.models import Model, QuerySet

from apps.core.ids import urn
from apps.provenance import triggers
from apps.provenance.buffer import EdgeSpec
from apps.provenance.canonical import GENESIS_HASH, canonical, commitment, event_hash, instant
from apps.provenance.models import Annotation, ChainHead, Edge, ErasableText, Event, Node, Stale
from apps.provenance.relations import Relation
from apps.provenance.statements import (
    annotation_statement,
    edge_statement,
    node_statement,
    stale_statement,
    text_statement,
)

_CHUNK: Final = 200
_Statements = dict[int, Counter[str]]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    code : str
        ``hash``, ``link``, ``gap``, ``head``, ``column``, ``row_missing``, ``row_extra``, ``text``, ``erasure`` or
        ``trigger``.
    message : str
        For a person.
    seq : int or None
        The event concerned.
    """

    code: str
    message: str
    seq: int | None = None


def missing_triggers() -> list[str]:
    """Return the names of append-only triggers that are not there as they should be."""
    return triggers.missing(connection)


def verify_chain(since: int = 0) -> list[Finding]:
    """Recompute the chain and compare every row with what its event says.

    Parameters
    ----------
    since : int
        Last sequence number already known to be good; 0 for everything.

    Returns
    -------
    list of Finding
        Empty where all holds.  A rewrite of the whole history with fresh hashes is not found here: that takes a hash
        that was kept outside.

    Notes
    -----
    Events are read in runs of 200 with their rows; memory does not grow with the length of the chain.
    """
    return list(iterate_findings(since))


def iterate_findings(since: int = 0) -> Iterator[Finding]:
    """Yield what ``verify_chain`` returns, as it is found."""
    former = Event.objects.filter(seq=since).first() if since else None
    if since and former is None:
        yield Finding("gap", f"there is no event {since} to begin from", since)
        return
    seq, prev_hash = since, former.hash if former else GENESIS_HASH
    events = Event.objects.filter(seq__gt=since).order_by("seq").iterator(chunk_size=_CHUNK)
    while run := list(islice(events, _CHUNK)):
        rows = _rows_between(seq + 1, run[-1].seq)
        for event in run:
            yield from _check_event(event, seq, prev_hash)
            yield from _check_rows(event.seq, _payload(event), rows)
            seq, prev_hash = event.seq, event.hash
        yield from _check_orphans({event.seq for event in run}, rows)
        yield from _check_texts(ErasableText.objects.filter(seq__range=(run[0].seq, run[-1].seq)))
    yield from _check_end(seq, prev_hash)


# ------------------------------------------------------------------------------------------------------------ the chain


def _payload(event: Event) -> dict[str, Any]:
    try:
        payload = json.loads(event.payload)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _check_event(event: Event, last_seq: int, prev_hash: str) -> Iterator[Finding]:
    if event.seq != last_seq + 1:
        yield Finding("gap", f"event {last_seq} is followed by {event.seq}", event.seq)
    if event.prev_hash != prev_hash:
        yield Finding("link", f"event {event.seq} does not link to the event before it", event.seq)
    if event.hash != event_hash(event.version, event.prev_hash, event.payload):
        yield Finding("hash", f"the payload of event {event.seq} does not have the recorded hash", event.seq)
    payload = _payload(event)
    columns = {
        "seq": event.seq,
        "recordedAt": instant(event.recorded_at),
        "activity": urn(event.activity),
        "project": None if event.project is None else urn(event.project),
        "verb": event.verb,
    }
    for name, value in columns.items():
        if payload.get(name) != value:
            yield Finding(
                "column",
                f"event {event.seq}: the column says {name} = {value}, the payload {payload.get(name)}",
                event.seq,
            )


def _check_end(seq: int, last_hash: str) -> Iterator[Finding]:
    head = ChainHead.objects.filter(pk=1).first()
    if head is None:
        if seq:
            yield Finding("head", "the chain head is missing")
    elif (head.seq, head.hash) != (seq, last_hash):
        yield Finding(
            "head", f"the chain head says {head.seq} {head.hash[:12]}, the last event is {seq} {last_hash[:12]}"
        )
    for model in _SOURCES:
        stray = model._default_manager.filter(seq__gt=seq).count()
        if stray:
            yield Finding("row_extra", f"{stray} rows of {model.__name__} are of no event, after {seq}")


# ------------------------------------------------------------------------------------------------ rows against payloads


def _node(row: Node) -> dict[str, Any]:
    return node_statement(row.id, row.kind, row.type, row.project, row.attributes)


def _edge(row: Edge) -> dict[str, Any]:
    relation = Relation(row.relation)
    return edge_statement(EdgeSpec(relation, row.subject_id, row.object_id, row.activity, row.plan, row.role, row.time))


def _annotation(row: Annotation) -> dict[str, Any]:
    return annotation_statement(row.node_id, row.attributes)


def _stale(row: Stale) -> dict[str, Any]:
    return stale_statement(row.thing_id, row.cause, row.commitment)


_SOURCES: Final[dict[type[Model], tuple[str, Callable[[Any], dict[str, Any]]]]] = {
    Node: ("nodes", _node),
    Edge: ("edges", _edge),
    Annotation: ("annotations", _annotation),
    ErasableText: ("texts", text_statement),
    Stale: ("stale", _stale),
}


def _rows_between(first: int, last: int) -> dict[str, _Statements]:
    """Return kind of statement -> seq -> statements as the rows have them, in canonical text, counted."""
    found: dict[str, _Statements] = {}
    for model, (kind, statement) in _SOURCES.items():
        by_seq: _Statements = defaultdict(Counter)
        for row in model._default_manager.filter(seq__range=(first, last)).iterator():
            by_seq[row.seq][canonical(statement(row))] += 1  # type: ignore[attr-defined]
        found[kind] = by_seq
    erased: _Statements = defaultdict(Counter)
    for text, seq in ErasableText.objects.filter(erased_seq__range=(first, last)).values_list("id", "erased_seq"):
        erased[int(seq or 0)][canonical(urn(text))] += 1
    return found | {"erased": erased}


def _check_rows(seq: int, payload: dict[str, Any], rows: dict[str, _Statements]) -> Iterator[Finding]:
    for kind, by_seq in rows.items():
        stated = Counter(canonical(said) for said in payload.get(kind, []))
        there = by_seq.pop(seq, Counter())
        for said in (stated - there).elements():
            yield Finding("row_missing", f"event {seq} states among {kind}, and no row says so: {said[:300]}", seq)
        for said in (there - stated).elements():
            yield Finding("row_extra", f"a row says among {kind}, and event {seq} does not: {said[:300]}", seq)


def _check_orphans(seqs: set[int], rows: dict[str, _Statements]) -> Iterator[Finding]:
    for kind, by_seq in rows.items():
        for seq, said in by_seq.items():
            if seq not in seqs:
                yield Finding(
                    "row_extra", f"{said.total()} rows among {kind} are of event {seq}, which is not there", seq
                )


def _check_texts(texts: QuerySet[ErasableText]) -> Iterator[Finding]:
    """Compare texts that are there with their commitments.  Erased ones are compared as statements of their event."""
    for text in texts.iterator():
        if text.text is None or text.salt is None:
            if text.erased_seq is None or not Event.objects.filter(seq=text.erased_seq).exists():
                yield Finding("erasure", f"text {text.id} was erased by no recorded act", text.seq)
        elif commitment(text.salt, text.text) != text.commitment:
            yield Finding("text", f"text {text.id} ({text.name}) is not the one that was recorded", text.seq)


def unrecorded(ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the ids that are no node: rows written without a record."""
    wanted: Sequence[uuid.UUID] = list(ids)
    known: set[uuid.UUID] = set()
    for start in range(0, len(wanted), 5000):
        known.update(Node.objects.filter(id__in=wanted[start : start + 5000]).values_list("id", flat=True))
    return set(wanted) - known
