"""What goes stale with an act, settled under the lock on the chain head.

A transaction that withdraws something and one that finishes a result of it cannot see each other while both are open.
If each looked before it wrote, the one for dependents and the other for marks, both could look too early and the result
would never be marked.  So acts only say what is to be looked for; the writer looks once it holds the head, when every
earlier event is committed and seen, and every later one has yet to look::

    withdrawing    lock head .. find dependents, mark them .. commit
    finishing                                                        lock head .. find marks on inputs .. commit

An act that only what is fresh admits, such as a release, demands it in the same way: locks on the rows concerned would
not help, since whoever marks them does not lock them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from apps.provenance import graph
from apps.provenance.buffer import Buffer, ClosureSpec, FreshSpec, InheritSpec, StaleSpec
from apps.provenance.selectors import is_stale, stale_marks

_ALL: Final = 10_000_000  # a closure that is cut off would leave stale things unmarked
_PORTION: Final = 20_000  # ids given to a `select` at once: within what one statement of either database takes


def settle(buffer: Buffer) -> None:
    """Turn what is to be looked for into marks; to be called with the chain head locked.

    Notes
    -----
    What the act itself records is not looked at by a closure: its statements are not written yet.  Inheritance sees the
    marks that the act itself sets.  A demand that does not hold raises what its refusal makes, and nothing is written.
    """
    for demand in buffer.fresh:
        _demand(demand)
    for closure in buffer.closures:
        closure.marked[:] = _dependents(closure)
        buffer.stale += [StaleSpec(thing, closure.cause, closure.reason) for thing in closure.marked]
    own = {mark.thing for mark in buffer.stale}
    for inherited in buffer.inherited:
        buffer.stale += _inherited(inherited, own)
    buffer.stale = _once(buffer.stale)
    buffer.closures.clear()
    buffer.inherited.clear()
    buffer.fresh.clear()


def _demand(spec: FreshSpec) -> None:
    if marks := stale_marks(spec.things):
        raise spec.refusal(str(marks[0]["reason"] or ""))


def _dependents(closure: ClosureSpec) -> list[uuid.UUID]:
    found = graph.descendants([closure.cause], limit=_ALL, relations=closure.relations)
    kept: list[uuid.UUID] = []
    for start in range(0, len(found), _PORTION):
        portion = found[start : start + _PORTION]
        chosen = set(closure.select(portion))
        kept += [thing for thing in portion if thing in chosen]
    return kept


def _inherited(spec: InheritSpec, own: set[uuid.UUID]) -> Iterable[StaleSpec]:
    causes = sorted(is_stale(spec.sources) | (own & set(spec.sources)))
    return [StaleSpec(thing, cause, spec.reason) for cause in causes for thing in spec.outputs]


def _once(marks: Iterable[StaleSpec]) -> list[StaleSpec]:
    """Return the marks with each thing once per cause; the first reason stands."""
    first: dict[tuple[uuid.UUID, uuid.UUID], StaleSpec] = {}
    for mark in marks:
        first.setdefault((mark.thing, mark.cause), mark)
    return list(first.values())
