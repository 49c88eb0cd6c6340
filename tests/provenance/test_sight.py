"""What is hidden tells nothing: not by filters, not by limits, not by how much of it there is."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace

import networkx as nx
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.provenance import record, sight
from apps.provenance.graph import NO_FILTERS, Filters
from apps.provenance.models import Event
from apps.provenance.relations import WALKED
from apps.provenance.sight import Viewer
from tests.provenance.graphs import lineages, reference, store
from tests.provenance.things import Image, Person, Specimen

MINE, THEIRS = uuid.UUID(int=1), uuid.UUID(int=2)
VIEWER = Viewer("viewer", {MINE})
ALL = {relation.value for relation in WALKED}
random_graphs = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@st.composite
def shared_lineages(draw):
    """Draw a lineage whose nodes are site-wide, visible or hidden, and a node of it that is not hidden."""
    nodes, edges = draw(lineages())
    placed = [replace(node, project=draw(st.sampled_from([None, MINE, THEIRS]))) for node in nodes]
    start = draw(st.integers(0, len(nodes) - 1))
    if placed[start].project == THEIRS:
        placed[start] = replace(placed[start], project=MINE)
    return placed, edges, placed[start].id


def ask(nodes, edges, target, *, direction="upstream", limit=1000, filters=NO_FILTERS):
    with transaction.atomic():
        store(nodes, edges)
        found = sight.lineage(target, VIEWER, direction=direction, limit=limit, filters=filters)
        transaction.set_rollback(True)
    return found


def only_visible(nodes, edges):
    kept = [node for node in nodes if node.project != THEIRS]
    ids = {node.id for node in kept}
    return kept, [edge for edge in edges if {edge.subject, edge.object} <= ids]


@pytest.mark.django_db
@random_graphs
@given(drawn=shared_lineages(), data=st.data())
def test_a_narrowed_walk_answers_as_if_nothing_hidden_were_there(drawn, data):
    nodes, edges, target = drawn
    direction = data.draw(st.sampled_from(["upstream", "downstream", "both"]))
    filters = data.draw(
        st.builds(Filters, depth=st.integers(0, 4))
        | st.builds(Filters, relations=st.sets(st.sampled_from(sorted(ALL)), min_size=1))
        | st.builds(Filters, depth=st.integers(0, 4), kinds=st.just(["entity"]))
        | st.builds(Filters, as_of=st.integers(1, 12))
    )
    limit = data.draw(st.integers(1, 6))
    whole = ask(nodes, edges, target, direction=direction, limit=1000, filters=filters)
    alone = ask(*only_visible(nodes, edges), target, direction=direction, limit=1000, filters=filters)
    assert {node.id for node in whole.nodes} == {node.id for node in alone.nodes}
    assert set(whole.edges) == set(alone.edges)
    cut = [ask(*g, target, direction=direction, limit=limit, filters=filters) for g in [(nodes, edges)]]
    cut.append(ask(*only_visible(nodes, edges), target, direction=direction, limit=limit, filters=filters))
    assert cut[0].truncated == cut[1].truncated
    assert len(cut[0].nodes) == len(cut[1].nodes)


@pytest.mark.django_db
@random_graphs
@given(drawn=shared_lineages(), data=st.data())
def test_filters_pick_among_what_is_visible_anyway(drawn, data):
    nodes, edges, target = drawn
    by_id = {node.id: node for node in nodes}
    types = data.draw(st.sets(st.sampled_from([node.type for node in nodes]), min_size=1))
    limit = data.draw(st.integers(1, 6))
    plain = ask(nodes, edges, target)
    expected = [n.id for n in plain.nodes if not n.hidden and n.id != target and by_id[n.id].type in types]
    picked = ask(nodes, edges, target, filters=Filters(types=types))
    assert [node.id for node in picked.nodes] == [target, *expected]
    assert not any(node.hidden for node in picked.nodes)
    # of whatever type hidden things are, the answer is the same to the last detail, cut or not
    veiled = [replace(node, type="test:Other") if node.project == THEIRS else node for node in nodes]
    for most in (limit, 1000):
        one, other = (ask(g, edges, target, limit=most, filters=Filters(types=types)) for g in (nodes, veiled))
        assert one == other
        assert one.truncated == (len(expected) > most)


@pytest.mark.django_db
@random_graphs
@given(drawn=shared_lineages(), limit=st.integers(1, 6), direction=st.sampled_from(["upstream", "downstream"]))
def test_site_wide_things_are_shown_only_for_visible_work(drawn, limit, direction):
    nodes, edges, target = drawn
    project = {node.id: node.project for node in nodes}
    walked = reference(nodes, edges, ALL)
    walked.remove_edges_from([(s, o) for s, o in walked.edges if project[s] == THEIRS and project[o] is None])
    reached = (nx.descendants if direction == "upstream" else nx.ancestors)(walked, target)
    visible = {id_ for id_ in reached if project[id_] != THEIRS}
    whole = ask(nodes, edges, target, direction=direction)
    assert {node.id for node in whole.nodes if not node.hidden} == {target} | visible
    stubs = {node.id for node in whole.nodes if node.hidden}
    assert not any(edge.subject in stubs and project.get(edge.object, MINE) is None for edge in whole.edges)
    assert stubs <= {end for edge in whole.edges for end in (edge.subject, edge.object)}
    cut = ask(nodes, edges, target, direction=direction, limit=limit)
    assert cut.truncated == (len(visible) > limit)
    assert sum(not node.hidden for node in cut.nodes) == 1 + min(limit, len(visible))


def use(instrument, project, actor, times=1):
    for _ in range(times):
        with record.act("acquire", actor=actor, project=project) as act:
            image = Image(project_id=project)
            act.used(instrument)
            act.created(image)
            act.derived(image, instrument)
    return image


@pytest.mark.django_db
def test_below_an_instrument_hidden_work_cannot_be_counted_typed_dated_or_owned(ann):
    instrument, bob = Specimen(), Person("bob")
    with record.act("install", actor=ann, project=None) as act:
        act.created(instrument)
    use(instrument, MINE, ann)
    now = Event.objects.latest("seq").recorded_at
    questions = [
        NO_FILTERS,
        Filters(types=["test:Image"]),
        Filters(types=["corr:Act"]),
        Filters(kinds=["activity"]),
        Filters(agent=bob.pk),
        Filters(until=now + dt.timedelta(days=1)),
        Filters(since=now - dt.timedelta(days=1)),
        Filters(depth=1),
        Filters(relations=["used"]),
    ]

    def answers():
        return [
            sight.lineage(instrument.id, VIEWER, direction=direction, limit=limit, filters=filters)
            for filters in questions
            for direction in ("upstream", "downstream", "both")
            for limit in (1, 2, 3, 4, 1000)
        ]

    before = answers()
    use(instrument, THEIRS, bob)
    assert answers() == before
    use(instrument, THEIRS, bob, times=4)
    assert answers() == before
    seen_by_all = sight.lineage(instrument.id, Viewer("x", {MINE, THEIRS}), direction="downstream", limit=1000)
    assert len(seen_by_all.nodes) > len(before[9].nodes)


@pytest.mark.django_db
def test_who_had_a_part_in_hidden_work_alone_is_not_shown(ann):
    bob, lab = Person("bob"), record.organisation_agent("Lab")
    theirs, mine = Image(project_id=THEIRS), Image(project_id=MINE)
    plugin = record.software_agent("secret.plugin", "1")
    with record.act("make", actor=bob, project=THEIRS, on_behalf_of=lab) as act:
        act.associated(plugin)
        act.created(theirs)
    with record.act("take", actor=ann, project=MINE, attributes={"corr:from": str(theirs.id)}) as act:
        act.created(mine)
        act.derived(mine, theirs)
    found = sight.lineage(mine.id, VIEWER, direction="upstream", limit=100)
    assert {node.id for node in found.nodes if node.type == "prov:Person"} == {ann.pk}
    assert not {bob.pk, plugin.id, lab.id} & {node.id for node in found.nodes}
    (stub,) = [node for node in found.nodes if node.hidden]
    assert (mine.id, stub.id) in {(edge.subject, edge.object) for edge in found.edges}
    for filters in (Filters(kinds=["activity"]), Filters(depth=2)):
        narrowed = sight.lineage(mine.id, VIEWER, direction="upstream", limit=100, filters=filters)
        assert not any(node.hidden for node in narrowed.nodes)
        assert str(theirs.id) not in str(narrowed)


@pytest.mark.django_db
def test_filtering_by_a_hidden_person_finds_nothing():
    jo = record.person_agent("Jo Smith")
    shared = Specimen()
    with record.act("lend", actor=jo, project=THEIRS) as act:
        act.created(shared)
    with record.act("use", actor=None, project=MINE) as act:
        made = Image(project_id=MINE)
        act.created(made)
        act.derived(made, shared)
    whole = sight.lineage(made.id, Viewer("x", {MINE, THEIRS}), direction="upstream", limit=100)
    (hidden,) = [node.id for node in whole.nodes if node.type == "prov:Person"]
    for agent in (hidden, uuid.uuid4()):
        found = sight.lineage(made.id, VIEWER, direction="upstream", limit=100, filters=Filters(agent=agent))
        assert [node.id for node in found.nodes] == [made.id]


@pytest.mark.django_db
def test_more_hidden_things_than_are_walked_cut_nothing_visible(ann, monkeypatch):
    base = Image(project_id=MINE)
    with record.act("make", actor=ann, project=MINE) as act:
        act.created(base)
    for project in (THEIRS, THEIRS, THEIRS, MINE):
        with record.act("take", actor=ann, project=project) as act:
            made = Image(project_id=project)
            act.created(made)
            act.derived(made, base)
    monkeypatch.setattr(sight, "MAX_NODES", 2)
    found = sight.lineage(base.id, VIEWER, direction="downstream", limit=1)
    assert [node.id for node in found.nodes] == [base.id, made.id]
    assert not found.truncated
