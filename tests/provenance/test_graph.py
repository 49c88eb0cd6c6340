"""Lineage equals a reference on random graphs; caps, depth, filters and the number of statements are as promised."""

from __future__ import annotations

import datetime as dt
import uuid
from itertools import pairwise

import networkx as nx
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.errors import InvalidValueError
from apps.provenance import graph, record
from apps.provenance.graph import Filters
from apps.provenance.models import Event
from apps.provenance.relations import WALKED, Relation
from apps.provenance.rows import EdgeRow, NodeRow
from tests.provenance.graphs import lineages, reference, store
from tests.provenance.things import Image

ALL = {relation.value for relation in WALKED}
fast = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class Fresh:
    """Write a lineage for the body and take it away again."""

    def __init__(self, drawn):
        self.drawn = drawn

    def __enter__(self):
        self.point = transaction.atomic()
        self.point.__enter__()
        store(*self.drawn)

    def __exit__(self, kind, value, traceback):
        transaction.set_rollback(True)
        self.point.__exit__(None, None, None)


@pytest.mark.django_db
@fast
@given(drawn=lineages(), data=st.data())
def test_closures_equal_networkx(drawn, data):
    nodes, edges = drawn
    seeds = set(data.draw(st.lists(st.sampled_from([n.id for n in nodes]), min_size=1, max_size=3)))
    relations = data.draw(st.none() | st.sets(st.sampled_from(sorted(ALL)), min_size=1))
    as_of = data.draw(st.none() | st.integers(0, len(nodes)))
    expected = reference(nodes, edges, relations or ALL, as_of)
    up = set().union(*(nx.descendants(expected, seed) for seed in seeds)) - seeds
    down = set().union(*(nx.ancestors(expected, seed) for seed in seeds)) - seeds
    chosen = sorted(relations) if relations else None
    with Fresh(drawn):
        found_up = graph.ancestors(seeds, limit=1000, relations=chosen, as_of=as_of)
        found_down = graph.descendants(seeds, limit=1000, relations=chosen, as_of=as_of)
    assert (len(found_up), set(found_up)) == (len(up), up)
    assert (len(found_down), set(found_down)) == (len(down), down)


@pytest.mark.django_db
@fast
@given(drawn=lineages(), data=st.data())
def test_depth_kind_and_type_equal_networkx(drawn, data):
    nodes, edges = drawn
    seed = data.draw(st.sampled_from([n.id for n in nodes]))
    depth = data.draw(st.integers(0, 5))
    kinds = data.draw(st.none() | st.sets(st.sampled_from(["entity", "activity", "agent"]), min_size=1))
    types = data.draw(st.none() | st.sets(st.sampled_from([n.type for n in nodes]), min_size=1))
    by_id = {node.id: node for node in nodes}
    lengths = nx.single_source_shortest_path_length(reference(nodes, edges, ALL), seed)

    def kept(node_id, within):
        node = by_id[node_id]
        return (
            node_id != seed
            and lengths[node_id] <= within
            and (kinds is None or node.kind in kinds)
            and (types is None or node.type in types)
        )

    with Fresh(drawn):
        shallow = graph.ancestors([seed], limit=1000, filters=Filters(kinds=kinds, types=types, depth=depth))
        whole = graph.ancestors([seed], limit=1000, filters=Filters(kinds=kinds, types=types))
    assert sorted(shallow) == sorted(n for n in lengths if kept(n, depth))
    assert sorted(whole) == sorted(n for n in lengths if kept(n, len(nodes)))


@pytest.mark.django_db
@fast
@given(drawn=lineages(), data=st.data())
def test_a_neighbourhood_has_all_edges_among_its_nodes(drawn, data):
    nodes, edges = drawn
    seed = data.draw(st.sampled_from([n.id for n in nodes]))
    limit = data.draw(st.integers(1, 12))
    walked = reference(nodes, edges, ALL)
    both = {seed} | nx.descendants(walked, seed) | nx.ancestors(walked, seed)
    larger = max(len(nx.descendants(walked, seed)), len(nx.ancestors(walked, seed)))
    with Fresh(drawn):
        whole = graph.neighbourhood([seed], direction="both", limit=1000)
        cut = graph.neighbourhood([seed], direction="both", limit=limit)
    assert {node.id for node in whole.nodes} == both
    assert not whole.truncated
    assert {(e.relation, e.subject, e.object) for e in whole.edges} == {
        (e.relation, e.subject, e.object) for e in edges if {e.subject, e.object} <= both
    }
    assert cut.truncated == (larger > limit)
    assert {node.id for node in cut.nodes} <= both
    assert cut.nodes[0].id == seed


def chain(length: int) -> tuple[list[NodeRow], list[EdgeRow]]:
    nodes = [NodeRow(uuid.UUID(int=i + 1), "entity", "test:Image", seq=i + 1) for i in range(length)]
    edges = [EdgeRow("wasDerivedFrom", later.id, earlier.id, seq=later.seq) for earlier, later in pairwise(nodes)]
    return nodes, edges


@pytest.mark.django_db
def test_a_deep_chain_takes_one_statement_and_a_cap_holds():
    nodes, edges = chain(5000)
    store(nodes, edges)
    with CaptureQueriesContext(connection) as queries:
        found = graph.ancestors([nodes[-1].id], limit=10_000)
    assert found == [node.id for node in reversed(nodes[:-1])]
    assert len(queries) == 1
    assert graph.ancestors([nodes[-1].id], limit=7) == found[:7]
    assert graph.ancestors([nodes[-1].id], limit=0) == []
    assert graph.ancestors([], limit=7) == []


@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow():
    counts = []
    for length in (3, 300, 3000):
        with Fresh(chain(length)):
            with CaptureQueriesContext(connection) as queries:
                graph.neighbourhood([uuid.UUID(int=length)], direction="both", limit=10_000)
            counts.append(len([query for query in queries if "SAVEPOINT" not in query["sql"]]))
    assert counts[0] == counts[1] == counts[2] <= 7


@pytest.mark.django_db
def test_filters_by_agent_and_server_time(ann, project):
    images = [Image(project_id=project) for _ in range(3)]
    with record.act("make", actor=ann, project=project) as act:
        act.created(images[0])
    with record.act("make", actor=None, project=project) as act:
        act.created(images[1])
        act.derived(images[1], images[0])
    with record.act("make", actor=ann, project=project) as act:
        act.created(images[2])
        act.derived(images[2], images[1])
    first, _, third = Event.objects.order_by("seq").values_list("recorded_at", flat=True)

    def kept(**filters):
        found = graph.ancestors([images[2].id], limit=100, filters=Filters(types=["test:Image"], **filters))
        return {images.index(image) for image in images if image.id in found}

    assert kept() == {0, 1}
    assert kept(agent=ann.pk) == {0}
    assert kept(until=first - dt.timedelta(seconds=1)) == set()
    assert kept(since=first, until=third) == {0, 1}
    assert kept(since=third + dt.timedelta(seconds=1)) == set()
    assert kept(as_of=third) == {0, 1}
    assert kept(as_of=first - dt.timedelta(seconds=1)) == set()
    assert kept(as_of=2) == set()


@pytest.mark.django_db
def test_what_is_recorded_is_found_with_names_times_and_delegations(ann, project):
    raw, made = Image(project_id=project), Image(project_id=project)
    with record.act("ingest", actor=ann, project=project) as act:
        act.created(raw, erasable={"file_name": "a.tif"})
    with record.act(
        "run", actor=ann, project=project, plan={"plugin": "p"}, on_behalf_of=record.organisation_agent("Lab")
    ) as run:
        run.used(raw, role="image")
        run.created(made)
        run.derived(made, raw)
    nodes, edges, truncated = graph.neighbourhood([made.id], limit=100)
    found = {node.type: node for node in nodes}
    assert not truncated
    assert set(found) == {"test:Image", "corr:Act", "prov:Person", "prov:Plan", "prov:Organization"}
    assert found["prov:Person"].texts == {"name": "ann"}
    assert all(node.recorded_at is not None for node in nodes)
    relations = {edge.relation for edge in edges}
    assert {"used", "hadPlan", "actedOnBehalfOf", "wasDerivedFrom", "wasAssociatedWith"} <= relations
    assert [edge.role for edge in edges if edge.relation == "used"] == ["image"]
    early = graph.neighbourhood([made.id], limit=100, filters=Filters(as_of=1))
    assert (early.nodes, early.edges) == ([], [])


def test_bad_filters_name_field_and_value():
    for bad, field in (
        ({"relations": ["eats"]}, "relation"),
        ({"relations": [Relation.ALTERNATE_OF]}, "relation"),
        ({"kinds": ["thing"]}, "kind"),
        ({"depth": -1}, "depth"),
    ):
        with pytest.raises(InvalidValueError) as refusal:
            Filters(**bad)
        assert refusal.value.field == field
    with pytest.raises(InvalidValueError):
        graph.neighbourhood([uuid.uuid4()], direction="sideways", limit=1)
