"""Nothing of what is hidden comes out, and what is connected stays connected."""

from __future__ import annotations

import json
import uuid
from itertools import pairwise

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.provenance.graph import redact
from apps.provenance.rows import HIDDEN_TYPE, EdgeRow, NodeRow
from apps.provenance.serialise import to_document, to_json, to_provn
from tests.provenance.graphs import lineages

A, B, C, D, E = (uuid.UUID(int=number) for number in range(1, 6))


def node(id_, kind="entity", **more):
    return NodeRow(id_, kind, f"test:{kind.title()}", **more)


def spellings(id_):
    return {str(id_), id_.hex, str(id_).upper()}


def output(nodes, edges):
    document = to_document(nodes, edges)
    return repr(nodes) + repr(edges) + to_json(document) + to_provn(document)


@settings(max_examples=150, deadline=None)
@given(drawn=lineages(), data=st.data())
def test_no_id_label_or_count_leaks_and_connectivity_stays(drawn, data):
    nodes, edges = drawn
    hidden = data.draw(st.sets(st.sampled_from([n.id for n in nodes])))
    kept, among = redact(nodes, edges, lambda n: n.id in hidden, "viewer")
    text = output(kept, among)
    for n in nodes:
        if n.id in hidden:
            assert not any(spelling in text for spelling in spellings(n.id))
            assert f"'{n.attributes.get('label', '-')}'" not in text

    undirected = nx.Graph()
    undirected.add_nodes_from(n.id for n in nodes)
    undirected.add_edges_from((e.subject, e.object) for e in edges)
    parts = list(nx.connected_components(undirected.subgraph(hidden)))
    stubs = [n for n in kept if n.hidden]
    assert len(stubs) == len(parts)
    assert all((n.type, n.attributes, n.project, n.seq) == (HIDDEN_TYPE, {}, None, None) for n in stubs)

    after = nx.Graph()
    after.add_nodes_from(n.id for n in kept)
    after.add_edges_from((e.subject, e.object) for e in among)
    before = {frozenset(part - hidden) for part in nx.connected_components(undirected)} - {frozenset()}
    visible = {n.id for n in nodes} - hidden
    assert {frozenset(part & visible) for part in nx.connected_components(after)} - {frozenset()} == before
    assert len(among) == len(set(among))


@settings(max_examples=50, deadline=None)
@given(drawn=lineages())
def test_what_is_visible_is_unchanged(drawn):
    nodes, edges = drawn
    kept, among = redact(nodes, edges, lambda n: False, "viewer")
    assert (kept, set(among)) == (nodes, set(edges))


def test_a_hidden_part_between_two_visible_ones_is_one_stub():
    nodes = [node(A), node(B), node(C, "activity"), node(D)]
    edges = [
        EdgeRow("wasDerivedFrom", D, B, activity=C, role="secret role"),
        EdgeRow("wasGeneratedBy", B, C, seq=4),
        EdgeRow("used", C, A),
        EdgeRow("wasDerivedFrom", B, A),
    ]
    kept, among = redact(nodes, edges, lambda n: n.id in {B, C}, "viewer")
    (stub,) = [n.id for n in kept if n.hidden]
    assert [n.id for n in kept] == [A, D, stub]
    assert among == [EdgeRow("wasInfluencedBy", D, stub), EdgeRow("wasInfluencedBy", stub, A)]


def test_the_number_of_hidden_things_cannot_be_told():
    few, many = [B], [uuid.UUID(int=number) for number in range(10, 60)]
    shapes = []
    for hidden in (few, many):
        nodes = [node(A), *map(node, hidden), node(D)]
        path = [D, *hidden, A]
        edges = [EdgeRow("wasDerivedFrom", a, b) for a, b in pairwise(path)]
        kept, among = redact(nodes, edges, lambda n, ids=set(hidden): n.id in ids, "viewer")
        shapes.append((len(kept), [(e.relation, e.role) for e in among]))
    assert shapes[0] == shapes[1]


def test_pseudonyms_are_stable_for_a_viewer_and_differ_between_viewers_and_installations(settings):
    nodes, edges = [node(A), node(B)], [EdgeRow("wasDerivedFrom", B, A)]

    def stub(viewer):
        return next(n.id for n in redact(nodes, edges, lambda n: n.id == A, viewer)[0] if n.hidden)

    first = stub("ann")
    assert first == stub("ann")
    assert first != stub("bob")
    settings.SECRET_KEY = "another installation"
    assert first != stub("ann")


def test_hidden_ids_in_attributes_of_visible_nodes_are_replaced():
    said = {
        "corr:partOf": f"urn:uuid:{B}",
        "params": {"inputs": [str(B), B.hex.upper(), f"see {B}."], str(B): 1},
        "n": 3,
    }
    kept, _ = redact([node(A, attributes=said), node(B)], [], lambda n: n.id == B, "viewer")
    text = json.dumps(kept[0].attributes)
    assert not any(spelling in text for spelling in [*spellings(B), B.hex.upper()])
    stub = kept[1].id
    assert kept[0].attributes["corr:partOf"] == f"urn:uuid:{stub}"
    assert kept[0].attributes["n"] == 3


def test_an_activity_outside_the_answer_is_not_named():
    edges = [EdgeRow("wasDerivedFrom", B, A, activity=E), EdgeRow("wasDerivedFrom", B, D)]
    kept, among = redact([node(A), node(B)], edges, lambda n: False, "viewer")
    assert among == [EdgeRow("wasDerivedFrom", B, A)]
    assert len(kept) == 2
