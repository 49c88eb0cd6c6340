"""The order of events (30 to 49): no event may come strictly before itself.

All starts of an activity happen at once (31), all its ends (32), all generations of an entity (39), all its
invalidations (40): each is one node.  Only a derivation orders strictly, one generation before another (42).  No rule
leads from an end or an invalidation back to a start, a usage or a generation, and what comes before and after a usage
is in order without it (an activity's start before its generations by 34, a derivation's generations by 42).  So a cycle
through a strict edge runs through starts and generations alone, and these are the only nodes here.

An edge joins events that are there: stated, or inferred from an entity (7), an activity (8), the trigger of a start or
an end (9, 10), a derivation with an activity (11) or an attribution (13).  Specialisation is transitive (19) also over
entities whose generation nobody states; their node stands in the chain, and nothing else touches it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from apps.provenance.constraints.graph import components, path
from apps.provenance.constraints.merging import Merger
from apps.provenance.constraints.statements import Statements

SPECIALIZATIONS: Final = frozenset({"specializationOf", "mentionOf"})
_LONGEST_CYCLE: Final = 100


class Edge(NamedTuple):
    """One event before another; nodes are ``2 * root`` for the generation of an entity, one more for a start."""

    tail: int
    head: int
    rule: int
    row: int


@dataclass(frozen=True, slots=True)
class Cycle:
    """Edges that lead from an event back to it, the first of them strict; ``more`` says that some were left out."""

    edges: tuple[Edge, ...]
    more: bool = False


class Events:
    """Which events there are, after merging.

    Attributes
    ----------
    generated, started : set of roots
        Entities that have a generation, activities that have a start.
    general : dict
        Root of an entity -> the rows that say it is a specialisation of another.
    empty : dict
        Root of an empty collection -> the row that says so; passed on to specialisations (21).
    """

    def __init__(self, statements: Statements, merger: Merger) -> None:
        self._statements = statements
        self._find = statements.terms.find
        self.rows: dict[str, list[int]] = {}
        for row, kind in enumerate(statements.kinds):
            self.rows.setdefault(kind, []).append(row)
        self.specializations = [row for kind in sorted(SPECIALIZATIONS) for row in self.rows.get(kind, ())]
        self.started = self._roots("wasStartedBy", 0)
        self.started |= {self._find(root) for root in merger.by_identifier.get("activity", ())}
        self.generated = self._roots("wasGeneratedBy", 0) | self._roots("wasAttributedTo", 0)
        self.generated |= self._roots("wasStartedBy", 1) | self._roots("wasEndedBy", 1)
        self.generated |= self.handed_down(dict.fromkeys(merger.by_identifier.get("entity", ()), 0)).keys()

    def _roots(self, kind: str, place: int) -> set[int]:
        places = self._statements.places
        return {self._find(places[row][place]) for row in self.rows.get(kind, ())}

    def handed_down(self, said: Mapping[int, int]) -> dict[int, int]:
        """What is said of entities (root -> row), and with it of all their specialisations (19, 21)."""
        below: dict[int, list[int]] = {}
        for row in self.specializations:
            special, general = self._statements.places[row][:2]
            below.setdefault(self._find(general), []).append(self._find(special))
        found = {self._find(root): row for root, row in said.items()}
        waiting = list(found) if below else []
        while waiting:
            root = waiting.pop()
            for special in below.get(root, ()):
                if special not in found:
                    found[special] = found[root]
                    waiting.append(special)
        return found


def _edges(statements: Statements, events: Events) -> list[Edge]:
    """Every edge that a cycle can run through."""
    edges = [*_with_activities(statements, events), *_among_entities(statements, events)]
    find, places = statements.terms.find, statements.places
    for row in events.rows.get("wasAttributedTo", ()):
        entity, agent = find(places[row][0]), find(places[row][1])
        if agent in events.generated:
            edges.append(Edge(2 * agent, 2 * entity, 48, row))
        if agent in events.started:
            edges.append(Edge(2 * agent + 1, 2 * entity, 48, row))
    return edges


def _with_activities(statements: Statements, events: Events) -> Iterator[Edge]:
    """A start before what its activity generates (34), the generation of a trigger before what it starts (43)."""
    find, places, started = statements.terms.find, statements.places, events.started
    for row in events.rows.get("wasGeneratedBy", ()):
        entity, activity = find(places[row][0]), find(places[row][1])
        if activity in started:
            yield Edge(2 * activity + 1, 2 * entity, 34, row)
    for kind in ("wasStartedBy", "wasEndedBy"):
        for row in events.rows.get(kind, ()):
            activity, trigger, other = (find(term) for term in places[row][:3])
            if other in started:  # who started or ended it generated the trigger (9, 10)
                yield Edge(2 * other + 1, 2 * trigger, 34, row)
            if kind == "wasStartedBy":
                yield Edge(2 * trigger, 2 * activity + 1, 43, row)


def _among_entities(statements: Statements, events: Events) -> Iterator[Edge]:
    """Strictly from what a thing derives from to it (42), and from the general to the special (45)."""
    find, places, generated = statements.terms.find, statements.places, events.generated
    for row in events.rows.get("wasDerivedFrom", ()):
        later, earlier = find(places[row][0]), find(places[row][1])
        if later in generated and earlier in generated:
            yield Edge(2 * earlier, 2 * later, 42, row)
    for row in events.specializations:
        special, general = find(places[row][0]), find(places[row][1])
        yield Edge(2 * general, 2 * special, 45, row)


def find_cycles(statements: Statements, events: Events) -> tuple[list[Cycle], int]:
    """Return one cycle for each knot of events of which one comes strictly before itself, and the edges walked."""
    if "wasDerivedFrom" not in events.rows:
        return [], 0
    edges = _edges(statements, events)
    return _cycles(edges, strict=42), len(edges)


def find_loops(statements: Statements, events: Events) -> list[Cycle]:
    """Return one cycle for each knot of entities of which each is a specialisation of itself (19, 52)."""
    find, places = statements.terms.find, statements.places
    edges = [Edge(find(places[row][1]), find(places[row][0]), 52, row) for row in events.specializations]
    return _cycles(edges, strict=52) if edges else []


def _cycles(edges: list[Edge], strict: int) -> list[Cycle]:
    numbers: dict[int, int] = {}
    for edge in edges:
        numbers.setdefault(edge.tail, len(numbers))
        numbers.setdefault(edge.head, len(numbers))
    successors: list[list[int]] = [[] for _ in numbers]
    for edge in edges:
        successors[numbers[edge.tail]].append(numbers[edge.head])
    component = components(successors)
    inside: dict[int, list[int]] = {}
    first: dict[int, int] = {}
    for index, edge in enumerate(edges):
        knot = component[numbers[edge.tail]]
        if knot == component[numbers[edge.head]]:
            inside.setdefault(knot, []).append(index)
            if edge.rule == strict:
                first.setdefault(knot, index)
    return [_cycle(edges, inside[knot], index) for knot, index in first.items()]


def _cycle(edges: list[Edge], inside: list[int], first: int) -> Cycle:
    start = edges[first]
    back = path(((edges[i].tail, edges[i].head, i) for i in inside), start.head, start.tail)
    whole = (start, *(edges[index] for index in back))
    return Cycle(whole[:_LONGEST_CYCLE], len(whole) > _LONGEST_CYCLE)
