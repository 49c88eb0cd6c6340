"""Lineage: pure queries over the edges, all raw SQL of the ledger in one module.

Upstream goes from subject to object, downstream from object to subject, along the relations that ``relations.RULES``
marks as walked (the drawing there shows them).  The recursion carries nothing but ids and unites with UNION, so that
every node is visited once; depth or path inside it would visit a node once for every way to it.  A depth, where asked
for, goes frontier by frontier instead.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
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

_WAYS: Final[dict[Direction, tuple[str, str]]] = {
    "upstream": ("subject_id", "object_id"),
    "downstream": ("object_id", "subject_id"),
}


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
    projects : collection of UUID, optional
        Walk as for one who sees these projects and what is site-wide, and nothing else: the asked nodes must be
        visible, and only visible nodes are walked to.
    through_hidden : bool
        With `projects`: walk to nodes of other projects too, but neither from them to the site-wide ones that they
        rest on nor the way back.
    """

    relations: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    types: Sequence[str] | None = None
    agent: uuid.UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    as_of: int | dt.datetime | None = None
    depth: int | None = None
    projects: Collection[uuid.UUID] | None = None
    through_hidden: bool = False

    def __post_init__(self) -> None:
        _demand_known("relation", self.relations, [relation.value for relation in WALKED])
        _demand_known("kind", self.kinds, Kind.values)
        if self.depth is not None and not 0 <= self.depth <= MAX_DEPTH:
            raise InvalidValueError(f"depth is {self.depth}, it must be 0 to {MAX_DEPTH}", field="depth")

    @property
    def narrow_walk(self) -> bool:
        """True if a filter of the walk is given: what it leaves out can leave out more behind it."""
        return any(given is not None for given in (self.relations, self.as_of, self.depth))

    @property
    def narrow_nodes(self) -> bool:
        """True if a filter of found nodes is given, which the walk goes on through."""
        return any(given is not None for given in (self.kinds, self.types, self.agent, self.since, self.until))

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
    return closure(ids, "upstream", limit, filters or Filters(relations=relations, as_of=as_of))


def descendants(
    ids: Iterable[uuid.UUID],
    *,
    limit: int,
    relations: Sequence[str] | None = None,
    as_of: int | dt.datetime | None = None,
    filters: Filters | None = None,
) -> list[uuid.UUID]:
    """Return what rests on the given nodes, without themselves; parameters as for ``ancestors``."""
    return closure(ids, "downstream", limit, filters or Filters(relations=relations, as_of=as_of))


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
    seeds = list(dict.fromkeys(ids))
    found: dict[uuid.UUID, None] = dict.fromkeys(seeds)
    truncated = False
    for way in ways(direction):
        reached = closure(seeds, way, limit + 1, filters)
        truncated |= len(reached) > limit
        found.update(dict.fromkeys(reached[:limit]))
    last = filters.last_seq
    edges = edges_among(list(found), as_of=last)
    for edge in edges:
        if edge.relation == Relation.ACTED_ON_BEHALF_OF:
            found[edge.object] = None
    return Neighbourhood(load_nodes(found, as_of=last), edges, truncated)


# ------------------------------------------------------------------------------------------------------------- walking


def ways(direction: str) -> list[Direction]:
    """Return the walks that a direction stands for."""
    if direction not in DIRECTIONS:
        raise InvalidValueError(f"direction {direction!r} is not one of {list(DIRECTIONS)}", field="direction")
    return [way for way in _WAYS if direction in (way, "both")]


def closure(ids: Iterable[uuid.UUID], direction: Direction, limit: int, filters: Filters) -> list[uuid.UUID]:
    """Return what one walk finds; parameters as for ``ancestors``, `direction` not "both"."""
    way = _WAYS[direction]
    seeds = list(dict.fromkeys(ids))
    if not seeds or limit <= 0:
        return []
    last = filters.last_seq
    if filters.depth is not None:
        return _by_frontier(seeds, way, limit, filters, last)
    begin, begin_param = id_list(seeds)
    joins, allowed, allowed_params = _edge_condition(filters, way, last, "walk")
    kept, kept_params = _node_condition(filters)
    sql = f"""
        WITH RECURSIVE walk(id) AS (
            {begin}
            UNION
            SELECT e.{way[1]} FROM walk JOIN provenance_edge e ON e.{way[0]} = walk.id {joins} WHERE {allowed}
        )
        SELECT walk.id FROM walk {kept} LIMIT %s
    """  # noqa: S608 - column names and conditions are constants of this module
    rows = _ids(sql, [begin_param, *allowed_params, *kept_params, limit + len(seeds)])
    own = set(seeds)
    return [row for row in rows if row not in own][:limit]


def _by_frontier(
    seeds: list[uuid.UUID], way: tuple[str, str], limit: int, filters: Filters, last: int | None
) -> list[uuid.UUID]:
    """Walk step by step: one statement a step, and a last one to keep what was asked for."""
    reached: dict[uuid.UUID, None] = dict.fromkeys(seeds)
    frontier = seeds
    joins, allowed, allowed_params = _edge_condition(filters, way, last, "f")
    plain = not filters.narrow_nodes
    for _ in range(filters.depth or 0):
        begin, begin_param = id_list(frontier)
        sql = f"""
            SELECT DISTINCT e.{way[1]} FROM ({begin}) f JOIN provenance_edge e ON e.{way[0]} = f.id {joins}
            WHERE {allowed}
        """  # noqa: S608 - column names and conditions are constants of this module
        frontier = [row for row in _ids(sql, [begin_param, *allowed_params]) if row not in reached]
        reached.update(dict.fromkeys(frontier))
        if not frontier or (plain and len(reached) >= limit + len(seeds)):
            break
    found = list(reached)[len(seeds) :]
    return keep(found, filters)[:limit]


def keep(ids: list[uuid.UUID], filters: Filters) -> list[uuid.UUID]:
    """Return those of the ids that the filters of nodes keep, in their order; nothing is walked."""
    if not ids or not filters.narrow_nodes:
        return ids
    begin, begin_param = id_list(ids)
    condition, params = _node_condition(filters)
    kept = set(_ids(f"SELECT walk.id FROM ({begin}) walk {condition}", [begin_param, *params]))  # noqa: S608
    return [value for value in ids if value in kept]


def _edge_condition(filters: Filters, way: tuple[str, str], last: int | None, near: str) -> tuple[str, str, list[Any]]:
    """Return joins to ``e``, reached from ``near.id``, and the condition that the walk goes along."""
    walked = list(filters.relations or WALKED)
    condition = f"e.relation IN ({', '.join(['%s'] * len(walked))})"
    params: list[Any] = [str(value) for value in walked]
    if last is not None:
        condition, params = f"{condition} AND e.seq <= %s", [*params, last]
    joins = ""
    if filters.projects is not None:
        joins, sight, parameter = _sight_condition(filters.projects, way, filters.through_hidden)
        condition, params = f"{condition} AND {sight}", [*params, parameter]
    return joins, _only_for_found(condition, near), params


def _sight_condition(
    projects: Collection[uuid.UUID], way: tuple[str, str], through_hidden: bool
) -> tuple[str, str, Any]:
    """Return joins and condition that keep a walk to what one who sees these projects may learn; its one parameter."""
    select, parameter = id_list(projects)
    if not through_hidden:
        joins = f"JOIN provenance_node far ON far.id = e.{way[1]}"
        return joins, f"(far.project IS NULL OR far.project IN ({select}))", parameter
    joins = "JOIN provenance_node s ON s.id = e.subject_id JOIN provenance_node o ON o.id = e.object_id"
    return joins, f"(o.project IS NOT NULL OR s.project IS NULL OR s.project IN ({select}))", parameter


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


def edges_among(ids: Sequence[uuid.UUID], *, as_of: int | None) -> list[EdgeRow]:
    """Return all edges with both ends among the ids, and the delegations in activities among them."""
    begin, parameter = id_list(ids)
    until = "" if as_of is None else "AND e.seq <= %s"
    until_params = [] if as_of is None else [as_of]
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
