"""Types (50) and what cannot be (51 to 56), after merging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from apps.provenance.constraints.merging import Merger
from apps.provenance.constraints.model import PROV, Name
from apps.provenance.constraints.ordering import Events
from apps.provenance.constraints.statements import Statements
from apps.provenance.constraints.terms import PLACEHOLDER

_TYPE: Final = PROV + "type"
_EMPTY: Final = PROV + "EmptyCollection"
# Constraint 50.  Agents may be entities or activities, so what is an agent cannot contradict anything.
_ENTITIES: Final[Mapping[str, tuple[int, ...]]] = {
    "used": (1,),
    "wasGeneratedBy": (0,),
    "wasInvalidatedBy": (0,),
    "wasStartedBy": (1,),
    "wasEndedBy": (1,),
    "wasDerivedFrom": (0, 1),
    "wasAttributedTo": (0,),
    "wasAssociatedWith": (2,),
    "specializationOf": (0, 1),
    "alternateOf": (0, 1),
    "hadMember": (0, 1),
    "mentionOf": (0, 1),
}
_ACTIVITIES: Final[Mapping[str, tuple[int, ...]]] = {
    "used": (0,),
    "wasGeneratedBy": (1,),
    "wasInvalidatedBy": (1,),
    "wasStartedBy": (0, 2),
    "wasEndedBy": (0, 2),
    "wasInformedBy": (0, 1),
    "wasDerivedFrom": (2,),
    "wasAssociatedWith": (0,),
    "actedOnBehalfOf": (2,),
}


class Finding(NamedTuple):
    """A rule that is broken, the term that it is about, and the rows that break it."""

    rule: int
    term: int
    rows: tuple[int, ...]


def find_impossible(statements: Statements, merger: Merger, events: Events) -> Iterator[Finding]:
    """Yield what cannot be: 51 and 53 to 56."""
    for row in events.rows.get("wasDerivedFrom", ()):
        later, _, activity, generation, usage = statements.places[row]
        if activity == PLACEHOLDER and (generation != PLACEHOLDER or usage != PLACEHOLDER):
            yield Finding(51, later, (row,))
    for rows in merger.overlaps:
        yield Finding(53, statements.identifiers[rows[0]], rows)
    yield from _objects_as_properties(merger)
    yield from _disjoint(statements, merger, events)
    yield from _members_of_nothing(statements, events)


def _objects_as_properties(merger: Merger) -> Iterator[Finding]:
    for kind in ("entity", "activity", "agent"):
        elements = merger.by_identifier.get(kind, {})
        for root in elements.keys() & merger.relations.keys():
            yield Finding(54, root, (elements[root], merger.relations[root][0]))


def _typed(statements: Statements, events: Events, places: Mapping[str, tuple[int, ...]]) -> dict[int, int]:
    """Root -> the first row that gives it the type."""
    find = statements.terms.find
    found: dict[int, int] = {}
    for kind, which in places.items():
        for row in events.rows.get(kind, ()):
            terms = statements.places[row]
            for place in which:
                found.setdefault(find(terms[place]), row)
    found.pop(PLACEHOLDER, None)
    return found


def _disjoint(statements: Statements, merger: Merger, events: Events) -> Iterator[Finding]:
    entities = _typed(statements, events, _ENTITIES) | merger.by_identifier.get("entity", {})
    activities = _typed(statements, events, _ACTIVITIES) | merger.by_identifier.get("activity", {})
    for root in entities.keys() & activities.keys():
        yield Finding(55, root, (entities[root], activities[root]))


def _members_of_nothing(statements: Statements, events: Events) -> Iterator[Finding]:
    memberships = events.rows.get("hadMember", ())
    if not memberships:
        return
    find = statements.terms.find
    said = {
        find(statements.identifiers[row]): row for row in events.rows.get("entity", ()) if _says_empty(statements, row)
    }
    empty = events.handed_down(said)
    for row in memberships:
        collection = find(statements.places[row][0])
        if collection in empty:
            yield Finding(56, collection, (empty[collection], row))


def _says_empty(statements: Statements, row: int) -> bool:
    return any(
        name.uri == _TYPE and isinstance(value, Name) and value.uri == _EMPTY
        for name, value in statements.record(row).attributes
    )
