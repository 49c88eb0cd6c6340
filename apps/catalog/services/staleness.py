"""What rests on something that no longer stands."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from apps.catalog.selectors import DECISIONS, RESTS_ON, entities_among
from apps.provenance import record

__all__ = ["DECISIONS", "mark_stale"]


def mark_stale(
    act: record.Act, *, cause: uuid.UUID, reason: str, except_types: Collection[str] = ()
) -> list[uuid.UUID]:
    """Mark everything that derives from a thing as stale: forward closure; nothing is overwritten.

    Parameters
    ----------
    act : Act
        The open act in which the thing is withdrawn.
    cause : UUID
        The thing withdrawn.
    reason : str
        Why.
    except_types : collection of str
        Types in the record that stay true whatever was withdrawn, such as the decision to accept it.

    Returns
    -------
    list of UUID
        Empty until the outermost act has ended; then the ids of the entities marked, of all projects.  Narrow them
        before anybody sees them.

    Notes
    -----
    What rests on the thing is found when the event is written, so that a result that another transaction finishes
    meanwhile is marked either here or there.
    """

    def entities(ids: Sequence[uuid.UUID]) -> list[uuid.UUID]:
        return [node.id for node in entities_among(ids, cause, except_types)]

    return act.stale_closure(cause, reason, select=entities, relations=RESTS_ON)
