"""What rests on something that no longer stands."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Final

from apps.provenance import graph, record
from apps.provenance import selectors as ledger
from apps.provenance.relations import WALKED, Kind, Relation

_ALL: Final = 10_000_000  # a closure that is cut off would leave stale things unmarked
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
        Ids of the entities marked, of all projects; narrow them before anybody sees them.
    """
    found = graph.descendants([cause], limit=_ALL, relations=_RESTS_ON)
    stale = [
        node.id
        for node in ledger.load_nodes(found)
        if node.kind == Kind.ENTITY and node.id != cause and node.type not in except_types
    ]
    act.stale(stale, cause, reason)
    return stale
