"""What rests on something that no longer stands."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Final

from apps.provenance import record
from apps.provenance import selectors as ledger
from apps.provenance.relations import WALKED, Kind, Relation

# What was decided stays true whatever was withdrawn: by whom, when and why a transform was accepted, or used where it
# does not hold.
DECISIONS: Final = ("corr:TransformDecision", "corr:TransformOverride")
# a revision corrects what it revises: it does not fall with it, unless it also used it or was derived from it
_RESTS_ON: Final = tuple(relation.value for relation in WALKED if relation is not Relation.WAS_REVISION_OF)


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
        return [
            node.id
            for node in ledger.load_nodes(ids)
            if node.kind == Kind.ENTITY and node.id != cause and node.type not in except_types
        ]

    return act.stale_closure(cause, reason, select=entities, relations=_RESTS_ON)
