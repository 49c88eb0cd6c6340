"""Lineage: pure queries over the edges, all raw SQL of the ledger in one module.

Upstream goes from subject to object, downstream from object to subject, along the relations that ``relations.RULES``
marks as walked (the drawing there shows them).  The recursion carries nothing but ids and unites with UNION, so that
every node is visited once; depth or path inside it would visit a node once for every way to it.  A depth, where asked
for, goes frontier by frontier instead.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.db import connection

from apps.core.errors import InvalidValueError
from apps.provenance.redaction import redact as redact
from apps.provenance.relations import WALKED, Kind, Relation
from apps.provenance.rows import EdgeRow, Neighbourhood
from apps.provenance.selectors import load_nodes, seq_at
from apps.provenance.sql import as_id, id_list, id_param, time_param, word_list

Direction = Literal["upstream", "downstream", "both"]
DIRECTIONS: Final = ("upstream", "downstream", "both")
MAX_DEPTH: Final = 1000

_UP = ("subject_id", "object_id")
_DOWN = ("object_id", "subject_id")


def _demand_known(field: str, given: Sequence[str] | None, known: Iterable[str]) -> None:
    unknown = sorted({str(value) for value in given or ()} - set(known))
    if unknown:
        raise InvalidValueError(f"{field} {unknown[0]!r} is not one of {sorted(known)}", field=field)


@dataclass(frozen=True)
class Filters:
    """What to keep; None keeps all.

    Attributes
    ----------
    relations : sequence of str, optional
        Relations to walk, of those in ``relations.WALKED``.
    kinds, types : sequence of str, optional
        Keep found nodes of these kinds or types; the walk goes on through the others.
    agent : UUID, optional
        Keep found nodes attributed to or associated with this agent.
    since, until : datetime, optional
        Keep found nodes first recorded within these server times, both inclusive.
    as_of : int or datetime, optional
        The ledger as it was after this event, or at this server time.
    depth : int, optional
        At most so many steps from the asked nodes.
    """

    relations: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    types: Sequence[str] | None = None
    agent: uuid.UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    as_of: int | dt.datetime | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        _demand_known("relation", self.relations, [relation.value for relation in WALKED])
        _demand_known("kind", self.kinds, Kind.values)
        if self.depth is not None and not 0 <= self.depth <= MAX_DEPTH:
            raise InvalidValueError(f"depth is {self.depth}, it must be 0 to {MAX_DEPTH}", field="depth")

    @property
    def last_seq(self) -> int | None:
        """`as_of` as a sequence number; asks the database where it is a time."""
        return seq_at(self.as_of) if isinstance(self.as_of, dt.datetime) else self.as_of


NO_FILTERS: Final = Filters()


def ancestors(
    ids: Iterable[uuid.UUID],
    *,
    limit: int,
    relations: Sequence[str] | None = None,
    as_of: int | dt.datetime | None = None,
    filters: Filters | None = None,
) -> list[uuid.UUID]:
    """Return what the given nodes rest on, without themselves.

    Parameters
    ----------
    ids : iterable of UUID
        Where to begin.
    limit : int
        At most so many ids; ask for one more to see whether there are more.
    relations, as_of
        See ``Filters``; given here or in `filters`.
    filters : Filters, optional
        All other filters.

    Returns
    -------
    list of UUID
        Each once, nearer ones first as far as the database walks in breadth.
    """
    return _closure(ids, _UP, limit, filters or Filters(relations=relations, as_of=as_of))


def descendants(
    ids: Iterable[uuid.UUID],
    *,
    limit: int,
    relations: Sequence[str] | None = None,
    as_of: int | dt.datetime | None = None,
    filters: Filters | None = None,
) -> list[uuid.UUID]:
    """Return what rests on the given nodes, without themselves; parameters as for ``ancestors``."""
    return _closure(ids, _DOWN, limit, filters or Filters(relations=relations, as_of=as_of))


def neighbourhood(
    ids: Iterable[uuid.UUID],
    *,
    direction: Direction = "upstream",
    limit: int,
    filters: Filters = NO_FILTERS,
) -> Neighbourhood:
    """Return nodes and edges around the given nodes.

    Parameters
    ----------
    ids : iterable of UUID
        Where to begin; unknown ids are left out.
    direction : {"upstream", "downstream", "both"}
        Which way to walk.  "both" is one walk up and one walk down, not every way round: through a shared agent or
        instrument everything is connected with everything.
    limit : int
        At most so many found nodes in each direction.
    filters : Filters
        What to keep.

    Returns
    -------
    Neighbourhood
        Edges of every relation among the nodes, not only of those walked; delegations of the activities found, with
        the agents who answer, although no walk goes along them.

    Notes
    -----
    The number of statements does not depend on the number of nodes, unless a depth is asked for.
    """
    if direction not in DIRECTIONS:
        raise InvalidValueError(f"direction {direction!r} is not one of {list(DIRECTIONS)}", field="direction")
    seeds = list(dict.fromkeys(ids))
    found: dict[uuid.UUID, None] = dict.fromkeys(seeds)
    truncated = False
    for way in {"upstream": [_UP], "downstream": [_DOWN], "both": [_UP, _DOWN]}[direction]:
        reached = _closure(seeds, way, limit + 1, filters)
        truncated |= len(reached) > limit
        found.update(dict.fromkeys(reached[:limit]))
    last = filters.last_seq
    edges = _edges_among(list(found), last)
    for edge in edges:
        if edge.relation == Relation.ACTED_ON_BEHALF_OF:
            found[edge.object] = None
    return Neighbourhood(load_nodes(found, as_of=last), edges, truncated)


# ------------------------------------------------------------------------------------------------------------- walking


def _closure(ids: Iterable[uuid.UUID], way: tuple[str, str], limit: int, filters: Filters) -> list[uuid.UUID]:
    seeds = list(dict.fromkeys(ids))
    if not seeds or limit <= 0:
        return []
    last = filters.last_seq
    if filters.depth is not None:
        return _by_frontier(seeds, way, limit, filters, last)
    begin, begin_param = id_list(seeds)
    allowed, allowed_params = _edge_condition(filters, last, "walk")
    keep, keep_params = _node_condition(filters)
    sql = f"""
        WITH RECURSIVE walk(id) AS (
            {begin}
            UNION
            SELECT e.{way[1]} FROM walk JOIN provenance_edge e ON e.{way[0]} = walk.id WHERE {allowed}
        )
        SELECT walk.id FROM walk {keep} LIMIT %s
    """  # noqa: S608 - column names and conditions are constants of this module
    rows = _ids(sql, [begin_param, *allowed_params, *keep_params, limit + len(seeds)])
    own = set(seeds)
    return [row for row in rows if row not in own][:limit]


def _by_frontier(
    seeds: list[uuid.UUID], way: tuple[str, str], limit: int, filters: Filters, last: int | None
) -> list[uuid.UUID]:
    """Walk step by step: one statement a step, and a last one to keep what was asked for."""
    allowed, allowed_params = _edge_condition(filters, last, "f")
    reached: dict[uuid.UUID, None] = dict.fromkeys(seeds)
    frontier = seeds
    plain = _node_condition(filters)[0] == ""
    for _ in range(filters.depth or 0):
        begin, begin_param = id_list(frontier)
        sql = f"""
            SELECT DISTINCT e.{way[1]} FROM ({begin}) f JOIN provenance_edge e ON e.{way[0]} = f.id WHERE {allowed}
        """  # noqa: S608 - column names and conditions are constants of this module
        frontier = [row for row in _ids(sql, [begin_param, *allowed_params]) if row not in reached]
        reached.update(dict.fromkeys(frontier))
        if not frontier or (plain and len(reached) >= limit + len(seeds)):
            break
    found = list(reached)[len(seeds) :]
    return (found if plain else _kept(found, filters))[:limit]


def _kept(ids: list[uuid.UUID], filters: Filters) -> list[uuid.UUID]:
    """Return those of the ids that the node filters keep, in their order."""
    begin, begin_param = id_list(ids)
    keep, keep_params = _node_condition(filters)
    kept = set(_ids(f"SELECT walk.id FROM ({begin}) walk {keep}", [begin_param, *keep_params]))  # noqa: S608
    return [value for value in ids if value in kept]


def _edge_condition(filters: Filters, last: int | None, near: str) -> tuple[str, list[Any]]:
    """Return the condition on ``e``, reached from ``near.id``, that the walk goes along."""
    walked = list(filters.relations or WALKED)
    condition = f"e.relation IN ({', '.join(['%s'] * len(walked))})"
    params: list[Any] = [str(value) for value in walked]
    if last is not None:
        condition, params = f"{condition} AND e.seq <= %s", [*params, last]
    return _only_for_found(condition, near), params


def _only_for_found(condition: str, near: str) -> str:
    """Return a condition that SQLite cannot test before it comes from ``near``.

    A condition on the joined table alone tells SQLite that a Bloom filter pays, and to build it, it reads that whole
    table: 177 ms instead of 0.4 at a million edges.  PostgreSQL plans well and gets the bare condition.
    """
    return f"CASE WHEN {near}.id IS NOT NULL THEN {condition} END" if connection.vendor == "sqlite" else condition


def _node_condition(filters: Filters) -> tuple[str, list[Any]]:
    """Return JOIN and WHERE on ``walk`` that keep what was asked for; empty where all is kept."""
    joins, conditions, params = [], [], []
    for column, words in (("kind", filters.kinds), ("type", filters.types)):
        if words is not None:
            select, parameter = word_list(map(str, words))
            conditions.append(f"n.{column} IN ({select})")
            params.append(parameter)
    if filters.agent is not None:
        conditions.append(
            "EXISTS (SELECT 1 FROM provenance_edge a WHERE a.subject_id = n.id AND a.object_id = %s"
            " AND a.relation IN ('wasAttributedTo', 'wasAssociatedWith'))"
        )
        params.append(id_param(filters.agent))
    for sign, when in ((">=", filters.since), ("<=", filters.until)):
        if when is not None:
            conditions.append(f"ev.recorded_at {sign} %s")
            params.append(time_param(when))
    if not conditions:
        return "", []
    joins.append("JOIN provenance_node n ON n.id = walk.id")
    if filters.since is not None or filters.until is not None:
        joins.append("JOIN provenance_event ev ON ev.seq = n.seq")
    return f"{' '.join(joins)} WHERE {_only_for_found(' AND '.join(conditions), 'walk')}", params


def _ids(sql: str, params: Sequence[Any]) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [as_id(row[0]) for row in cursor.fetchall()]


# --------------------------------------------------------------------------------------------------------------- edges


def _edges_among(ids: Sequence[uuid.UUID], last: int | None) -> list[EdgeRow]:
    """Return all edges with both ends among the ids, and the delegations in activities among them."""
    begin, parameter = id_list(ids)
    until = "" if last is None else "AND e.seq <= %s"
    until_params = [] if last is None else [last]
    sql = f"""
        WITH picked AS MATERIALIZED ({begin})
        SELECT e.relation, e.subject_id, e.object_id, e.activity, e.plan, e.role, e.time, e.seq
        FROM picked p JOIN provenance_edge e ON e.subject_id = p.id
        WHERE (e.object_id IN (SELECT id FROM picked)
               OR (e.relation = %s AND e.activity IN (SELECT id FROM picked))) {until}
        ORDER BY e.id
    """  # noqa: S608 - constants of this module
    with connection.cursor() as cursor:
        cursor.execute(sql, [parameter, Relation.ACTED_ON_BEHALF_OF.value, *until_params])
        return [_edge_row(row) for row in cursor.fetchall()]


def _edge_row(row: Sequence[Any]) -> EdgeRow:
    relation, subject, object_, activity, plan, role, time, seq = row
    return EdgeRow(
        relation=relation,
        subject=as_id(subject),
        object=as_id(object_),
        activity=None if activity is None else as_id(activity),
        plan=None if plan is None else as_id(plan),
        role=role,
        time=_as_time(time),
        seq=seq,
    )


def _as_time(value: Any) -> dt.datetime | None:
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    return value if value is None else value.astimezone(dt.UTC)
