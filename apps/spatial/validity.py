"""For which states of a specimen a transform holds.

A transform from before a step that changes the piece (milling, say) does not hold after it; one made after the step, or
across it, does.  About a specimen of which a transform names no state it says nothing, and so excludes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from apps.catalog.models import SpecimenEvent, State

# What leaves every point of the piece where it was, in the piece's own frame.  A coating adds to the surface; all else
# takes away from it, deforms it, or may do either.  A new mount moves the piece on its stage and has its own frame.
HARMLESS: Final = frozenset({SpecimenEvent.Kind.COAT, SpecimenEvent.Kind.MOUNT})


@dataclass(frozen=True)
class StateLine:
    """One state in the history of its specimen.  States of one ``period`` have one geometry."""

    state: uuid.UUID
    specimen: uuid.UUID
    number: int
    period: int
    event: str


def state_lines(specimens: Collection[uuid.UUID]) -> dict[uuid.UUID, StateLine]:
    """Return the states of specimens by id; one query."""
    rows = (
        State.objects.filter(specimen__in=specimens)
        .order_by("specimen_id", "number")
        .values_list("pk", "specimen_id", "number", "opened_by__kind")
    )
    lines: dict[uuid.UUID, StateLine] = {}
    period, last = 0, None
    for pk, specimen, number, kind in rows:
        harmless = specimen == last and kind in HARMLESS
        period, last = (period if harmless else period + 1), specimen
        lines[pk] = StateLine(pk, specimen, number, period, kind or "")
    return lines


@dataclass(frozen=True)
class Concern:
    """A state for which transforms should hold, with the states of its specimen and those that are not before it."""

    line: StateLine
    same_specimen: frozenset[uuid.UUID]
    not_before: frozenset[uuid.UUID]

    def excluded_by(self, named: frozenset[uuid.UUID]) -> bool:
        """Return True if all states that a transform names were over when this one began.

        A transform that was made after a change, or across it, knows of it; one from before does not.
        """
        return not named.isdisjoint(self.same_specimen) and named.isdisjoint(self.not_before)


def concern(state: StateLine, lines: Mapping[uuid.UUID, StateLine]) -> Concern:
    """Gather what is needed to judge many transforms for one state."""
    own = [line for line in lines.values() if line.specimen == state.specimen]
    return Concern(
        line=state,
        same_specimen=frozenset(line.state for line in own),
        not_before=frozenset(line.state for line in own if line.period >= state.period),
    )


def changes_between(valid: Iterable[uuid.UUID], state: StateLine, lines: Mapping[uuid.UUID, StateLine]) -> list[str]:
    """Return the kinds of the events that separate a state from the nearest one for which a transform holds."""
    numbers = [lines[pk].number for pk in valid if pk in lines and lines[pk].specimen == state.specimen]
    if not numbers:
        return []
    nearest = min(numbers, key=lambda number: abs(number - state.number))
    low, high = sorted((nearest, state.number))
    between = [line for line in lines.values() if line.specimen == state.specimen and low < line.number <= high]
    return [line.event for line in sorted(between, key=lambda line: line.number) if line.event not in HARMLESS]
