"""What a viewer may not see becomes one opaque stub for each connected part of it.

::

    visible        A --> (h1 --> h2 <-- h3) --> B          becomes          A --> stub --> B

That A rests on B through something stays; how many things, of which kind, by whom and when does not.  The stub's id is
a keyed hash of the hidden ids: the same part looks the same to the same viewer and different to any other, and nobody
without the installation's secret can try ids against it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.utils.crypto import salted_hmac

from apps.provenance.relations import Kind, Relation
from apps.provenance.rows import HIDDEN_TYPE, EdgeRow, NodeRow

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def redact(
    nodes: Sequence[NodeRow],
    edges: Sequence[EdgeRow],
    hidden: Callable[[NodeRow], bool],
    viewer_key: str,
) -> tuple[list[NodeRow], list[EdgeRow]]:
    """Return nodes and edges with every connected hidden part as one stub.

    Parameters
    ----------
    nodes, edges : sequences
        As from ``graph.neighbourhood``.  An edge with an end that is not among the nodes is left out.
    hidden : callable
        True for a node that the viewer may not see.
    viewer_key : str
        Who looks; stands for one viewer in all answers.

    Returns
    -------
    tuple
        Visible nodes in their order, then stubs in the order of their ids; edges.  Edges at a stub are
        ``wasInfluencedBy`` without role, time, plan or activity, each once: the relation would tell the kind of what is
        hidden, repeats would tell how many there are.  An activity or plan named by an edge stays only if it is among
        the visible nodes.
    """
    concealed = {node.id for node in nodes if hidden(node)}
    visible = {node.id for node in nodes} - concealed
    stand_in = _stand_ins(concealed, edges, viewer_key)
    kept = [
        replace(node, attributes=_scrubbed(node.attributes, stand_in)) if stand_in else node
        for node in nodes
        if node.id in visible
    ]
    stubs = [
        NodeRow(id=stub, kind=Kind.ENTITY.value, type=HIDDEN_TYPE, hidden=True)
        for stub in sorted(set(stand_in.values()))
    ]
    return [*kept, *stubs], list(dict.fromkeys(_redacted_edges(edges, visible, stand_in)))


def _redacted_edges(
    edges: Iterable[EdgeRow], visible: set[uuid.UUID], stand_in: Mapping[uuid.UUID, uuid.UUID]
) -> Iterable[EdgeRow]:
    for edge in edges:
        if edge.subject in visible and edge.object in visible:
            # an activity or plan outside the answer was never shown to the predicate, so it is not named either
            activity = edge.activity if edge.activity in visible else None
            plan = edge.plan if edge.plan in visible else None
            yield replace(edge, activity=activity, plan=plan)
            continue
        subject = edge.subject if edge.subject in visible else stand_in.get(edge.subject)
        object_ = edge.object if edge.object in visible else stand_in.get(edge.object)
        if subject is not None and object_ is not None and subject != object_:
            yield EdgeRow(Relation.WAS_INFLUENCED_BY.value, subject, object_)


def _stand_ins(concealed: set[uuid.UUID], edges: Iterable[EdgeRow], viewer_key: str) -> dict[uuid.UUID, uuid.UUID]:
    """Return hidden id -> stub id, by union-find over the edges within the hidden part."""
    root = {node: node for node in concealed}

    def find(node: uuid.UUID) -> uuid.UUID:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for edge in edges:
        if edge.subject in concealed and edge.object in concealed:
            root[find(edge.subject)] = find(edge.object)
    parts: dict[uuid.UUID, list[uuid.UUID]] = {}
    for node in concealed:
        parts.setdefault(find(node), []).append(node)
    return {node: stub for part in parts.values() for stub in [_pseudonym(part, viewer_key)] for node in part}


def _pseudonym(part: Iterable[uuid.UUID], viewer_key: str) -> uuid.UUID:
    content = "\n".join(sorted(node.hex for node in part))
    digest = salted_hmac(f"corr.lineage.stub:{viewer_key}", content, algorithm="sha256").digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def mentioned_ids(nodes: Iterable[NodeRow]) -> set[uuid.UUID]:
    """Return every id that stands in an attribute of the nodes, in any spelling."""
    found: set[uuid.UUID] = set()
    waiting: list[Any] = [node.attributes for node in nodes]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.update(uuid.UUID(match) for match in _UUID.findall(value))
        elif isinstance(value, Mapping):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value
    return found


def _scrubbed(value: Any, stand_in: Mapping[uuid.UUID, uuid.UUID]) -> Any:
    """Return an attribute value in which no hidden id stands, in any spelling, also within longer text."""
    if isinstance(value, str):
        return _UUID.sub(lambda match: _replaced(match.group(), stand_in), value)
    if isinstance(value, Mapping):
        return {_scrubbed(key, stand_in): _scrubbed(item, stand_in) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item, stand_in) for item in value]
    return value


def _replaced(spelling: str, stand_in: Mapping[uuid.UUID, uuid.UUID]) -> str:
    stub = stand_in.get(uuid.UUID(spelling))
    return spelling if stub is None else str(stub)
