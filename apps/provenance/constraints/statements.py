"""Statements in the full form of PROV-CONSTRAINTS: short forms expanded, every place a term (definitions 1 to 4).

- An identifier that was left out is a new variable (definition 1).
- An argument that was left out is ``-`` (definition 3), and ``-`` a new variable (definition 4), but for the plan of an
  association and the activity, generation and usage of a derivation, where it stays ``-``; with an activity, the
  generation and the usage of a derivation are variables again.
- A derivation with an activity implies a usage and a generation of that activity (inference 11): two statements more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from apps.provenance.constraints.model import SHAPES, Argument, Bundle, Marker, Name, Record, Time
from apps.provenance.constraints.terms import PLACEHOLDER, Terms

ANONYMOUS: Final = -1
"""Identifier of the relations that have none."""
_STAYS: Final = frozenset({("wasAssociatedWith", 2), *(("wasDerivedFrom", place) for place in (2, 3, 4))})


@dataclass(slots=True)
class Statements:
    """Columns of all statements of one instance; a row is a statement, ``sources[row]`` the record it comes from."""

    records: Sequence[Record]
    terms: Terms = field(default_factory=Terms)
    kinds: list[str] = field(default_factory=list)
    identifiers: list[int] = field(default_factory=list)
    places: list[tuple[int, ...]] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    lacking: list[tuple[Record, str]] = field(default_factory=list)
    """Records without an argument that has to be there, and its name; they make no statement."""
    unjudged: int = 0

    def add(self, kind: str, identifier: int, places: tuple[int, ...], source: int) -> None:
        """Append a row."""
        self.kinds.append(kind)
        self.identifiers.append(identifier)
        self.places.append(places)
        self.sources.append(source)

    def record(self, row: int) -> Record:
        """Return the record that a row comes from."""
        return self.records[self.sources[row]]


def expand(bundle: Bundle) -> Statements:
    """Return the statements of an instance in full form.

    Parameters
    ----------
    bundle : Bundle
        The top level of a document, or a bundle.
    """
    found = Statements(bundle.records)
    for source, record in enumerate(bundle.records):
        shape = SHAPES.get(record.kind)
        if shape is None:
            found.unjudged += 1
            continue
        missing = [
            parameter.name
            for parameter, argument in zip(shape.parameters, record.arguments, strict=True)
            if parameter.required and (argument is None or isinstance(argument, Marker))
        ]
        if missing:
            found.lacking.append((record, missing[0]))
        else:
            _add(found, record, source, has_identifier=shape.has_identifier)
    return found


def _add(found: Statements, record: Record, source: int, *, has_identifier: bool) -> None:
    terms = found.terms
    identifier = ANONYMOUS
    if record.identifier is not None:
        identifier = terms.name(record.identifier)
    elif has_identifier:
        identifier = terms.fresh()
    kind = record.kind
    places = tuple(
        terms.name(argument) if isinstance(argument, Name) else _place(terms, kind, place, argument)
        for place, argument in enumerate(record.arguments)
    )
    if kind == "wasDerivedFrom" and places[2] != PLACEHOLDER:
        later, earlier, activity, generation, usage = places
        generation = terms.fresh() if generation == PLACEHOLDER else generation
        usage = terms.fresh() if usage == PLACEHOLDER else usage
        places = (later, earlier, activity, generation, usage)
        found.add("used", usage, (activity, earlier, terms.fresh()), source)
        found.add("wasGeneratedBy", generation, (later, activity, terms.fresh()), source)
    found.add(kind, identifier, places, source)


def _place(terms: Terms, kind: str, place: int, argument: Argument) -> int:
    if isinstance(argument, Time):
        return terms.time(argument.text)
    return PLACEHOLDER if (kind, place) in _STAYS else terms.fresh()
