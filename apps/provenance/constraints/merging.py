"""Keys and uniqueness (22 to 29) by union-find: congruence closure over the statements of one instance.

Statements of one kind with one identifier are one statement: their arguments are made equal, place by place.  Two
constants cannot be made equal: that is a clash, which carries the rule that asked for it.  A union may make two keys
equal that were not; the statements that a variable stands in are then looked up again, the shorter list of the two, so
that each is looked up a logarithmic number of times at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from apps.provenance.constraints.statements import ANONYMOUS, Statements

_ELEMENTS: Final = frozenset({"entity", "activity", "agent"})
_BY_PAIR: Final[Mapping[str, tuple[int, tuple[int, int]]]] = {
    "wasGeneratedBy": (24, (0, 1)),
    "wasInvalidatedBy": (25, (0, 1)),
    "wasStartedBy": (26, (0, 2)),
    "wasEndedBy": (27, (0, 2)),
}
# Constraint 53 leaves out wasInfluencedBy, which is implied by the others under the same identifier (inference 15), and
# wasDerivedFrom.
_DISJOINT: Final = frozenset(
    {
        "used",
        "wasGeneratedBy",
        "wasInvalidatedBy",
        "wasStartedBy",
        "wasEndedBy",
        "wasInformedBy",
        "wasAttributedTo",
        "wasAssociatedWith",
        "actedOnBehalfOf",
    }
)


class Clash(NamedTuple):
    """Two constants that a rule wants equal, and the two statements that the rule was applied to."""

    rule: int
    terms: tuple[int, int]
    rows: tuple[int, int]


class _Wish(NamedTuple):
    left: int
    right: int
    rule: int
    rows: tuple[int, int]


class Merger:
    """Apply rules 22 to 29; afterwards ``statements.terms.find`` says what equals what.

    Attributes
    ----------
    clashes : list of Clash
        What could not be made equal.
    overlaps : list of pairs of rows
        Relations of different kinds under one identifier (constraint 53).
    by_identifier : dict
        Kind -> root of the identifier -> the first row with it.
    relations : dict
        Root of an identifier -> one row of each kind of relation that has it.
    steps : int
        Look-ups and unions.
    """

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._terms = statements.terms
        self.clashes: list[Clash] = []
        self.overlaps: list[tuple[int, int]] = []
        self.by_identifier: dict[str, dict[int, int]] = {}
        self.relations: dict[int, list[int]] = {}
        self.steps = 0
        self._pairs: dict[str, dict[tuple[int, int], int]] = {kind: {} for kind in _BY_PAIR}
        self._uses: dict[int, list[int]] = {}
        self._wishes: deque[_Wish] = deque()
        self._told: set[tuple[int, int, int]] = set()

    def run(self) -> None:
        """Merge until nothing changes."""
        identifiers, fixed = self._statements.identifiers, self._terms.fixed
        for row, kind in enumerate(self._statements.kinds):
            identifier = identifiers[row]
            if identifier == ANONYMOUS:
                continue
            if not fixed[identifier]:
                self._note_use(identifier, row)
            if kind in _BY_PAIR:
                for place in _BY_PAIR[kind][1]:
                    self._note_use(self._statements.places[row][place], row)
            self._look_up(row)
            if self._wishes:
                self._drain()
        self._times()

    def _note_use(self, term: int, row: int) -> None:
        root = self._terms.find(term)
        if not self._terms.fixed[root]:
            self._uses.setdefault(root, []).append(row)

    # ----------------------------------------------------------------------------------------------------------- keys

    def _look_up(self, row: int) -> None:
        """Find the statements that a row's keys make equal to it, and wish for it."""
        self.steps += 1
        statements, find = self._statements, self._terms.find
        kind = statements.kinds[row]
        identifier = find(statements.identifiers[row])
        first = self.by_identifier.setdefault(kind, {}).setdefault(identifier, row)
        if first != row:
            self._wish_all(first, row, 22 if kind in _ELEMENTS else 23, len(statements.places[row]))
        elif kind not in _ELEMENTS:
            self._look_across(row, kind, identifier)
        pair = _BY_PAIR.get(kind)
        if pair is not None:
            rule, (left, right) = pair
            places = statements.places[row]
            key = (find(places[left]), find(places[right]))
            first = self._pairs[kind].setdefault(key, row)
            if first != row:
                ids = statements.identifiers
                self._wishes.append(_Wish(ids[first], ids[row], rule, (first, row)))

    def _look_across(self, row: int, kind: str, identifier: int) -> None:
        """One identifier under several kinds: each implies one influence with it (15), so the ends are equal (23)."""
        others = self.relations.get(identifier)
        if others is None:
            self.relations[identifier] = [row]
            return
        kinds = self._statements.kinds
        for other in others:
            if kinds[other] == kind:
                return
        for other in others:
            self._wish_all(other, row, 23, 2)
            if kind in _DISJOINT and kinds[other] in _DISJOINT:
                self.overlaps.append((other, row))
        others.append(row)

    def _wish_all(self, first: int, row: int, rule: int, count: int) -> None:
        places = self._statements.places
        for left, right in zip(places[first][:count], places[row][:count], strict=True):
            if left != right:
                self._wishes.append(_Wish(left, right, rule, (first, row)))

    def _drain(self) -> None:
        while self._wishes:
            self._unite(self._wishes.popleft())

    def _unite(self, wish: _Wish) -> None:
        self.steps += 1
        terms = self._terms
        left, right = terms.find(wish.left), terms.find(wish.right)
        if left == right:
            return
        if terms.fixed[left] and terms.fixed[right]:
            self._clash(wish, left, right)
            return
        root, loser = self._ranked(left, right)
        terms.parent[loser] = root
        moved = self._uses.pop(loser, [])
        if moved and not terms.fixed[root]:
            self._uses.setdefault(root, []).extend(moved)
        if not terms.texts[root]:
            terms.texts[root] = terms.texts[loser]
        for row in moved:
            self._look_up(row)

    def _ranked(self, left: int, right: int) -> tuple[int, int]:
        """The root that stays, then the one that goes: a variable, that with fewer statements of two."""
        fixed = self._terms.fixed
        if fixed[left]:
            return left, right
        if fixed[right] or len(self._uses.get(left, ())) < len(self._uses.get(right, ())):
            return right, left
        return left, right

    def _clash(self, wish: _Wish, left: int, right: int) -> None:
        key = (wish.rule, min(left, right), max(left, right))
        if key not in self._told:
            self._told.add(key)
            self.clashes.append(Clash(wish.rule, (left, right), wish.rows))

    # ---------------------------------------------------------------------------------------------------------- times

    def _times(self) -> None:
        """The start of an activity has the time that the activity says (28), its end as well (29).

        Times stand in no key, so this needs one pass, after all else.
        """
        activities = self.by_identifier.get("activity", {})
        places, find = self._statements.places, self._terms.find
        for kind, place, rule in (("wasStartedBy", 0, 28), ("wasEndedBy", 1, 29)):
            for row in self.by_identifier.get(kind, {}).values():
                activity = activities.get(find(places[row][0]))
                if activity is not None:
                    wish = _Wish(places[activity][place], places[row][3], rule, (activity, row))
                    self._unite(wish)
