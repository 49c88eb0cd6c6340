"""What goes stale with a calibration is what rests on it: random lineages against networkx."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import Any

import networkx as nx
import pytest

from apps.catalog.models import Calibration
from apps.catalog.services import withdraw_calibration
from apps.projects.models import Project, User
from apps.provenance import record
from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Node
from tests.factories import CalibrationFactory, InstrumentFactory, ProjectFactory, StaffFactory, member

pytestmark = pytest.mark.django_db
GRAPHS = 100
_MADE = ("corr:Image", "corr:Table", "corr:Property", "corr:Transform", "corr:TransformDecision", "corr:Frame")


@dataclass
class Lineage:
    """What was said to the ledger, kept beside it: an edge leads from what rests on something to that."""

    rng: random.Random
    projects: list[Project]
    rests_on: nx.DiGraph = field(default_factory=nx.DiGraph)
    types: dict[uuid.UUID, str] = field(default_factory=dict)
    owner: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)

    def of_project(self, project: Project) -> list[uuid.UUID]:
        return [pk for pk, owner in self.owner.items() if owner == project.pk]

    def act(self, verb: str, calibrations: list[Calibration]) -> None:
        """One job or act: uses some of what there is, makes one to three things, some of them revisions alone."""
        rng, project = self.rng, self.rng.choice(self.projects)
        known = self.of_project(project)
        used: list[Any] = rng.sample(known, min(len(known), rng.randint(0, 3)))
        under = [row for row in calibrations if rng.random() < 0.2]
        with record.act(verb, actor=project.created_by, project=project.pk) as act:
            for thing in used:
                act.used(thing)
                self.rests_on.add_edge(act.id, thing)
            for row in under:
                act.used(row)
                self.rests_on.add_edge(act.id, row.pk)
            for _ in range(rng.randint(1, 3)):
                self._make(act, project, known, calibrations)

    def _make(self, act: record.Act, project: Project, known: list[uuid.UUID], calibrations: list[Calibration]) -> None:
        rng = self.rng
        name = rng.choice(_MADE)
        thing = act.entity(name)
        self.types[thing], self.owner[thing] = name, project.pk
        self.rests_on.add_edge(thing, act.id)
        if known and rng.random() < 0.4:
            source, relation = rng.choice(known), rng.choice(["derivation", "revision", "primary_source"])
            act.derived(thing, source, relation=relation)
            if relation != "revision":  # a revision corrects what it revises and does not fall with it
                self.rests_on.add_edge(thing, source)
        if rng.random() < 0.1:
            row = rng.choice(calibrations)
            act.derived(thing, row)
            self.rests_on.add_edge(thing, row.pk)

    def falls_with(self, calibration: Calibration) -> set[uuid.UUID]:
        """The reference: entities that rest on it; a decision stays true whatever it was about."""
        if calibration.pk not in self.rests_on:
            return set()
        below = nx.ancestors(self.rests_on, calibration.pk)
        return {pk for pk in below if pk in self.types and self.types[pk] != "corr:TransformDecision"}


def contents() -> tuple[Any, Any]:
    """The record as it stands, without what a withdrawal adds to it."""
    nodes = {row.pk: (row.kind, row.type, row.project, row.attributes, row.seq) for row in Node.objects.all()}
    edges = {row.pk: (row.relation, row.subject_id, row.object_id, row.activity, row.seq) for row in Edge.objects.all()}
    return nodes, edges


@pytest.fixture
def caller(db: None) -> User:
    return StaffFactory()


@pytest.mark.parametrize("seed", range(0, GRAPHS, 10))
def test_the_answer_is_what_networkx_lists(seed: int, as_user: Any) -> None:
    mine, theirs = ProjectFactory(), ProjectFactory()
    staff = member(mine, "viewer", is_staff=True)
    instrument = InstrumentFactory()
    sizes = []
    for number in range(seed, seed + 10):
        rng = random.Random(number)
        calibrations = [CalibrationFactory(instrument=instrument) for _ in range(rng.randint(1, 3))]
        lineage = Lineage(rng, [mine, theirs])
        for _ in range(rng.randint(2, 9)):
            lineage.act(rng.choice(["run", "apply_calibration", "calibrate_image"]), calibrations)
        withdrawn = rng.choice(calibrations)
        expected = lineage.falls_with(withdrawn)
        nodes, edges = contents()

        url = f"/api/v1/calibrations/{withdrawn.pk}/withdraw/"
        answer = as_user(staff).post(url, {"reason": "the standard was damaged"})
        assert answer.status_code == 200, answer.content

        seen = {(thing["type"], uuid.UUID(thing["id"])) for thing in answer.json()["stale"]}
        assert seen == {(lineage.types[pk], pk) for pk in expected if lineage.owner[pk] == mine.pk}
        assert len(answer.json()["stale"]) == len(seen)
        assert ledger.is_stale(list(lineage.types)) == expected
        after_nodes, after_edges = contents()
        assert nodes.items() <= after_nodes.items()
        assert edges.items() <= after_edges.items()
        sizes.append(len(expected))
    assert max(sizes) > 3  # the graphs are not trivial
    assert min(sizes) < max(sizes)


def test_withdrawing_two_in_turn_marks_each_for_its_cause(caller: User) -> None:
    rng = random.Random(4)
    first, second = CalibrationFactory(), CalibrationFactory()
    lineage = Lineage(rng, [ProjectFactory()])
    for _ in range(12):
        lineage.act("run", [first, second])
    for row in (first, second):
        found = withdraw_calibration(actor=caller, calibration=row, reason="damaged")
        assert set(found) == lineage.falls_with(row)
    both = lineage.falls_with(first) & lineage.falls_with(second)
    assert both
    for thing in both:
        assert {mark["cause"] for mark in ledger.stale_marks([thing])} == {first.pk, second.pk}
