"""From rows of the ledger to PROV documents, through the ``prov`` package.

Ids are ``urn:uuid:...``, or URIs below a base where the caller gives one.  The internal relation ``hadPlan`` is the
plan of the association; revisions, quotations and primary sources are derivations with that type, as PROV-DM has them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from prov.constants import PROV
from prov.identifier import Namespace, QualifiedName
from prov.model import Literal, ProvDocument, ProvRecord

from apps.provenance.canonical import canonical
from apps.provenance.relations import Kind, Relation
from apps.provenance.rows import EdgeRow, NodeRow

CORR: Final = Namespace("corr", "https://w3id.org/corrspace/ns#")
_RDF: Final = Namespace("rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#")
_LOCAL_NAME: Final = re.compile(r"[^A-Za-z0-9_.\-]")
_TIMES: Final = ("prov:startTime", "prov:endTime")
_Attributes = list[tuple[QualifiedName, Any]]


def to_document(nodes: Iterable[NodeRow], edges: Iterable[EdgeRow], base_uri: str = "") -> ProvDocument:
    """Return a PROV document of nodes and the edges among them.

    Parameters
    ----------
    nodes, edges : iterables
        As from ``graph.neighbourhood`` or ``graph.redact``.  Edges with an end that is not among the nodes are left
        out, and so are such activities and plans as an edge names.
    base_uri : str
        Prefix of the ids, ending in ``/`` or ``#``; empty for ``urn:uuid:``.

    Raises
    ------
    ValueError
        The base does not end in ``/`` or ``#``.
    """
    if base_uri and not base_uri.endswith(("/", "#")):
        raise ValueError(f"base_uri {base_uri!r} must end in '/' or '#', the id follows it")
    ids = Namespace("uuid", base_uri or "urn:uuid:")
    document = ProvDocument()
    for namespace in (ids, CORR, _RDF):
        document.add_namespace(namespace)
    present = set()
    for node in nodes:
        present.add(node.id)
        _add_node(document, ids, node)
    _add_edges(document, ids, [edge for edge in edges if {edge.subject, edge.object} <= present], present)
    return document


def to_json(document: ProvDocument) -> str:
    """Return a document as PROV-JSON."""
    return _text(document, "json")


def to_provn(document: ProvDocument) -> str:
    """Return a document as PROV-N."""
    return _text(document, "provn")


def _text(document: ProvDocument, form: str) -> str:
    text = document.serialize(format=form)
    if not isinstance(text, str):
        raise TypeError(f"prov gave {type(text).__name__} for {form}, not text")
    return text


# --------------------------------------------------------------------------------------------------------------- nodes


def _add_node(document: ProvDocument, ids: Namespace, node: NodeRow) -> None:
    attributes = _node_attributes(node)
    identifier = ids[str(node.id)]
    if node.kind == Kind.ACTIVITY:
        begin, end = (node.attributes.get(key) for key in _TIMES)
        document.activity(identifier, begin, end, attributes)
    elif node.kind == Kind.AGENT:
        document.agent(identifier, attributes)
    else:
        document.entity(identifier, attributes)


def _node_attributes(node: NodeRow) -> _Attributes:
    attributes: _Attributes = [(PROV["type"], _type_name(node.type))] if node.type else []
    for key, value in node.attributes.items():
        if key not in _TIMES:
            attributes += [(_key(key), literal) for literal in _literals(value)]
    for name, text in node.texts.items():
        if text is None:
            attributes.append((CORR["erased"], name))
        else:
            attributes.append((PROV["label"] if name == "name" else CORR[_local(name)], text))
    if node.recorded_at is not None:
        attributes.append((CORR["recordedAt"], node.recorded_at))
    return attributes


def _type_name(type_name: str) -> QualifiedName:
    prefix, _, local = type_name.partition(":")
    return (PROV if prefix == "prov" else CORR)[_local(local)]


def _key(key: str) -> QualifiedName:
    prefix, colon, local = key.partition(":")
    if prefix == "prov" and colon:
        return PROV[local]
    return CORR[_local(local if prefix == "corr" and colon else key)]


def _local(name: str) -> str:
    return _LOCAL_NAME.sub("_", name)


def _literals(value: Any) -> list[Any]:
    """Return the literals of a JSON value: a list says an attribute several times, what is nested stays JSON."""
    if value is None:
        return []
    if isinstance(value, list) and not any(isinstance(item, list) for item in value):
        return [literal for item in value for literal in _literals(item)]
    if isinstance(value, list | Mapping):
        return [Literal(canonical(value), _RDF["JSON"])]
    return [value]


# --------------------------------------------------------------------------------------------------------------- edges


def _add_edges(document: ProvDocument, ids: Namespace, edges: Sequence[EdgeRow], present: set[uuid.UUID]) -> None:
    planned = {(edge.subject, edge.plan) for edge in edges if edge.relation == Relation.WAS_ASSOCIATED_WITH}
    for edge in edges:
        if edge.relation == Relation.HAD_PLAN:
            if (edge.subject, edge.object) not in planned:  # its agent is not in the answer, the plan still stands
                document.association(ids[str(edge.subject)], None, ids[str(edge.object)])
            continue
        subject, object_ = ids[str(edge.subject)], ids[str(edge.object)]
        activity = ids[str(edge.activity)] if edge.activity in present else None
        plan = ids[str(edge.plan)] if edge.plan in present else None
        _add_edge(document, edge, (subject, object_, activity, plan))


_Ends = tuple[QualifiedName, QualifiedName, QualifiedName | None, QualifiedName | None]
_Adder = Callable[[ProvDocument, EdgeRow, _Ends, _Attributes], ProvRecord]

_ADDERS: Final[dict[str, _Adder]] = {
    Relation.USED: lambda doc, edge, ends, said: doc.usage(ends[0], ends[1], edge.time, None, said),
    Relation.WAS_GENERATED_BY: lambda doc, edge, ends, said: doc.generation(ends[0], ends[1], edge.time, None, said),
    Relation.WAS_INVALIDATED_BY: lambda doc, edge, ends, said: doc.invalidation(
        ends[0], ends[1], edge.time, None, said
    ),
    Relation.WAS_DERIVED_FROM: lambda doc, edge, ends, said: doc.derivation(*ends[:3], other_attributes=said),
    Relation.WAS_REVISION_OF: lambda doc, edge, ends, said: doc.revision(*ends[:3], other_attributes=said),
    Relation.WAS_QUOTED_FROM: lambda doc, edge, ends, said: doc.quotation(*ends[:3], other_attributes=said),
    Relation.HAD_PRIMARY_SOURCE: lambda doc, edge, ends, said: doc.primary_source(*ends[:3], other_attributes=said),
    Relation.WAS_ATTRIBUTED_TO: lambda doc, edge, ends, said: doc.attribution(ends[0], ends[1], None, said),
    Relation.WAS_ASSOCIATED_WITH: lambda doc, edge, ends, said: doc.association(ends[0], ends[1], ends[3], None, said),
    Relation.ACTED_ON_BEHALF_OF: lambda doc, edge, ends, said: doc.delegation(*ends[:3], None, said),
    Relation.WAS_INFORMED_BY: lambda doc, edge, ends, said: doc.communication(ends[0], ends[1], None, said),
    Relation.WAS_STARTED_BY: lambda doc, edge, ends, said: doc.start(*ends[:3], edge.time, None, said),
    Relation.WAS_ENDED_BY: lambda doc, edge, ends, said: doc.end(*ends[:3], edge.time, None, said),
    # these three have neither id nor attributes in PROV-DM
    Relation.SPECIALIZATION_OF: lambda doc, edge, ends, said: doc.specialization(ends[0], ends[1]),
    Relation.ALTERNATE_OF: lambda doc, edge, ends, said: doc.alternate(ends[0], ends[1]),
    Relation.HAD_MEMBER: lambda doc, edge, ends, said: doc.membership(ends[0], ends[1]),
    Relation.WAS_INFLUENCED_BY: lambda doc, edge, ends, said: doc.influence(ends[0], ends[1], None, said),
}

# PROV-DM knows a role only where something takes part in an activity
_WITH_ROLE: Final = frozenset(
    {
        Relation.USED,
        Relation.WAS_GENERATED_BY,
        Relation.WAS_INVALIDATED_BY,
        Relation.WAS_ASSOCIATED_WITH,
        Relation.WAS_STARTED_BY,
        Relation.WAS_ENDED_BY,
    }
)


def _add_edge(document: ProvDocument, edge: EdgeRow, ends: _Ends) -> None:
    role = PROV["role"] if edge.relation in _WITH_ROLE else CORR["role"]
    _ADDERS[edge.relation](document, edge, ends, [(role, edge.role)] if edge.role else [])
