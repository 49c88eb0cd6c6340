"""The tree of a specimen: panel, coupon, section, lift-out."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Branch:
    """A specimen with what was made from it."""

    specimen: Any
    here: bool
    children: list[Branch] = field(default_factory=list)


def tree(rows: Iterable[Any], here: uuid.UUID) -> Branch | None:
    """Return the whole tree that ``here`` belongs to, from its root; None if ``here`` is not among the rows.

    Rows are of one project and ordered as they shall be shown; a parent that is not among them makes a root.
    """
    known = {row.pk: row for row in rows}
    if here not in known:
        return None
    children: dict[uuid.UUID | None, list[Any]] = defaultdict(list)
    for row in known.values():
        children[row.parent_id].append(row)
    return _branch(known[_root(known, here)], children, here, set())


def _root(known: dict[uuid.UUID, Any], here: uuid.UUID) -> uuid.UUID:
    seen: set[uuid.UUID] = set()
    while known[here].parent_id in known and here not in seen:
        seen.add(here)
        here = known[here].parent_id
    return here


def _branch(row: Any, children: dict[uuid.UUID | None, list[Any]], here: uuid.UUID, seen: set[uuid.UUID]) -> Branch:
    seen.add(row.pk)
    below = [_branch(child, children, here, seen) for child in children[row.pk] if child.pk not in seen]
    return Branch(row, row.pk == here, below)
