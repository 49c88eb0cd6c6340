"""Random lineages as rows, and the same as networkx graphs."""

from __future__ import annotations

import uuid

import networkx as nx
from hypothesis import strategies as st

from apps.provenance.models import Edge, Node
from apps.provenance.relations import RULES, Relation
from apps.provenance.rows import EdgeRow, NodeRow


def _relations_between(subject_kind: str, object_kind: str) -> list[Relation]:
    return [relation for relation, rule in RULES.items() if rule.problem(subject_kind, object_kind) is None]


@st.composite
def lineages(draw: st.DrawFn, max_nodes: int = 12) -> tuple[list[NodeRow], list[EdgeRow]]:
    """Draw nodes in order of time and edges from later to earlier ones, each of a relation that fits the kinds."""
    kinds = draw(st.lists(st.sampled_from(["entity", "activity", "agent"]), min_size=2, max_size=max_nodes))
    nodes = [
        NodeRow(
            id=uuid.UUID(int=draw(st.integers(1, 2**128 - 1))),
            kind=kind,
            type=f"test:{kind.title()}{index % 2}",
            attributes={"label": f"secret-{index}"},
            seq=index + 1,
        )
        for index, kind in enumerate(kinds)
    ]
    if len({node.id for node in nodes}) < len(nodes):
        nodes = [
            NodeRow(id=uuid.uuid5(uuid.NAMESPACE_OID, str(i)), kind=n.kind, type=n.type, seq=n.seq)
            for i, n in enumerate(nodes)
        ]
    pairs = [(later, earlier) for later in range(len(nodes)) for earlier in range(later)]
    edges = []
    for later, earlier in draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)):
        fitting = _relations_between(nodes[later].kind, nodes[earlier].kind)
        relation = draw(st.sampled_from(fitting))
        edges.append(EdgeRow(relation.value, nodes[later].id, nodes[earlier].id, seq=later + 1))
    return nodes, edges


def store(nodes: list[NodeRow], edges: list[EdgeRow]) -> None:
    """Write rows without events: only the graph is asked."""
    Node.objects.bulk_create(
        Node(id=n.id, kind=n.kind, type=n.type, project=n.project, attributes=dict(n.attributes), seq=n.seq)
        for n in nodes
    )
    Edge.objects.bulk_create(
        Edge(relation=e.relation, subject_id=e.subject, object_id=e.object, role=e.role, seq=e.seq) for e in edges
    )


def reference(nodes: list[NodeRow], edges: list[EdgeRow], relations: set[str], as_of: int | None = None) -> nx.DiGraph:
    """Return the graph of the walked edges, from later to earlier."""
    graph = nx.DiGraph()
    graph.add_nodes_from(node.id for node in nodes)
    graph.add_edges_from(
        (edge.subject, edge.object)
        for edge in edges
        if edge.relation in relations and (as_of is None or edge.seq <= as_of)
    )
    return graph
