"""Reading the ledger.  Nothing here knows who asks: callers pass ids the caller may see, or redact what they get."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Max, QuerySet
from django.db.models.expressions import RawSQL

from apps.provenance.models import Annotation, ChainHead, Edge, ErasableText, Event, Node, Stale
from apps.provenance.relations import VERSION_ROLE, Relation
from apps.provenance.rows import NodeRow
from apps.provenance.sql import id_list

ASSERTED = "corr:assertedByHand"


def among(ids: Iterable[uuid.UUID]) -> RawSQL:
    """Return the right side of an ``__in`` lookup: one parameter, however many ids."""
    select, parameter = id_list(ids)
    return RawSQL(select, [parameter])  # noqa: S611 - one of two constants


def is_stale(ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the ids that carry a stale mark."""
    return set(_stale_of(ids).values_list("thing_id", flat=True))


def _stale_of(ids: Iterable[uuid.UUID]) -> QuerySet[Stale]:
    return Stale.objects.filter(thing__in=among(ids))


def stale_marks(ids: Iterable[uuid.UUID]) -> list[dict[str, Any]]:
    """Return the marks on things: ``thing``, ``cause``, ``reason`` (None where erased), ``seq``, ``recorded_at``."""
    marks = list(_stale_of(ids).order_by("id"))
    reasons = dict(
        ErasableText.objects.filter(
            seq__in={mark.seq for mark in marks}, commitment__in={mark.commitment for mark in marks}
        ).values_list("commitment", "text")
    )
    times = recorded_times({mark.seq for mark in marks})
    return [
        {
            "thing": mark.thing_id,
            "cause": mark.cause,
            "reason": reasons.get(mark.commitment),
            "seq": mark.seq,
            "recorded_at": times.get(mark.seq),
        }
        for mark in marks
    ]


def invalidated(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return thing -> activity that invalidated it, for those of the ids that are invalid."""
    rows = Edge.objects.filter(relation=Relation.WAS_INVALIDATED_BY, subject__in=among(ids))
    return dict(rows.values_list("subject_id", "object_id"))


def texts_of(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, dict[str, str | None]]:
    """Return node -> name -> text, None where erased; the latest text of a name stands."""
    found: dict[uuid.UUID, dict[str, str | None]] = defaultdict(dict)
    rows = ErasableText.objects.filter(node__in=among(ids))
    for node, name, text in rows.order_by("seq").values_list("node_id", "name", "text"):
        found[node][name] = text
    return dict(found)


def assertions(ids: Iterable[uuid.UUID]) -> list[dict[str, Any]]:
    """Return what was typed by hand or done outside: ``thing``, ``what``, ``value``, ``by`` (activity), ``seq``."""
    found = []
    for row in _annotations_of(ids):
        for said in row.attributes.get(ASSERTED, []):
            by = uuid.UUID(said["by"].removeprefix("urn:uuid:"))
            found.append({"thing": row.node_id, "what": said["what"], "value": said["value"], "by": by, "seq": row.seq})
    return found


def _annotations_of(ids: Iterable[uuid.UUID]) -> QuerySet[Annotation]:
    return Annotation.objects.filter(node__in=among(ids)).order_by("id")


def recorded_times(seqs: Iterable[int]) -> dict[int, dt.datetime]:
    """Return seq -> server's time of recording."""
    wanted = sorted(set(seqs))
    times: dict[int, dt.datetime] = {}
    for start in range(0, len(wanted), 5000):
        rows = Event.objects.filter(seq__in=wanted[start : start + 5000])
        times.update(rows.values_list("seq", "recorded_at"))
    return times


def load_nodes(ids: Iterable[uuid.UUID], *, as_of: int | None = None) -> list[NodeRow]:
    """Return nodes with their annotations and texts, in the order of the ids; unknown ids are left out.

    Parameters
    ----------
    ids : iterable of UUID
        Wanted nodes; each stands once in the answer.
    as_of : int, optional
        Sequence number after which nothing is read.

    Notes
    -----
    Four statements, whatever the number of ids up to 5,000 events.
    """
    wanted = list(dict.fromkeys(ids))
    nodes = {node.id: node for node in Node.objects.filter(id__in=among(wanted))}
    said: dict[uuid.UUID, list[Mapping[str, Any]]] = defaultdict(list)
    for row in _annotations_of(wanted):
        if as_of is None or row.seq <= as_of:
            said[row.node_id].append(row.attributes)
    texts = texts_of(wanted)
    times = recorded_times(node.seq for node in nodes.values())
    return [
        NodeRow(
            id=node.id,
            kind=node.kind,
            type=node.type,
            project=node.project,
            attributes=merged(node.attributes, *said[node.id]),
            texts=texts.get(node.id, {}),
            seq=node.seq,
            recorded_at=times.get(node.seq),
        )
        for node in map(nodes.get, wanted)
        if node is not None and (as_of is None or node.seq <= as_of)
    ]


def projects_of(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID | None]:
    """Return node -> its project, None for what is site-wide; unknown ids are left out."""
    wanted = set(ids)
    return dict(Node.objects.filter(id__in=among(wanted)).values_list("id", "project")) if wanted else {}


def type_and_project(thing: uuid.UUID) -> tuple[str, uuid.UUID | None] | None:
    """Return what a thing is and where it belongs, None if it is not recorded."""
    return Node.objects.filter(id=thing).values_list("type", "project").first()


def merged(*said: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes said one after the other as one: lists grow, any other value is replaced by the later one."""
    result: dict[str, Any] = {}
    for attributes in said:
        for key, value in attributes.items():
            old = result.get(key)
            result[key] = [*old, *value] if isinstance(old, list) and isinstance(value, list) else value
    return result


def seq_at(when: dt.datetime) -> int:
    """Return the last sequence number recorded at or before a time; 0 if there is none."""
    found = Event.objects.filter(recorded_at__lte=when).aggregate(last=Max("seq"))["last"]
    return int(found or 0)


def head() -> tuple[int, str]:
    """Return sequence number and hash at the end of the chain."""
    row = ChainHead.objects.get(pk=1)
    return row.seq, row.hash


def events_of(thing: uuid.UUID) -> QuerySet[Event]:
    """Return the events that wrote of a thing, oldest first."""
    edges = Edge.objects.filter(subject=thing).values("seq").union(Edge.objects.filter(object=thing).values("seq"))
    nodes = Node.objects.filter(id=thing).values("seq").union(Annotation.objects.filter(node=thing).values("seq"))
    seqs = {row["seq"] for row in edges} | {row["seq"] for row in nodes}
    return Event.objects.filter(seq__in=seqs).order_by("seq")


def things_of(versions: Iterable[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return version -> the thing of which a change made it, for those of the ids that are such versions."""
    rows = Edge.objects.filter(relation=Relation.SPECIALIZATION_OF, role=VERSION_ROLE, subject__in=among(versions))
    return dict(rows.values_list("subject_id", "object_id"))


def newest_versions(things: Iterable[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Return thing -> the version that the last change made of it; what was never changed is left out."""
    rows = Edge.objects.filter(relation=Relation.SPECIALIZATION_OF, role=VERSION_ROLE, object__in=among(things))
    return dict(rows.order_by("id").values_list("object_id", "subject_id"))


def is_recorded(thing: uuid.UUID) -> bool:
    """Return whether a thing is a node of the ledger."""
    return Node.objects.filter(id=thing).exists()
