"""A lineage as one viewer sees it: what is hidden tells neither what it is nor how much, by whom, when or with what.

The walk never goes between a hidden thing and a site-wide one that it rests on (a person, a plugin, an instrument): so
nobody learns who or what had a part in hidden work, nor how much of it there is below an instrument.  Other hidden
parts become stubs, and only where the question is not narrowed.  A narrowed question is answered from visible things
alone: ``kind``, ``type``, ``agent``, ``since`` and ``until`` pick among them, and ``relation``, ``as_of`` and ``depth``
have the walk itself stay among them, since how far it came through a hidden part would tell of that part's inside.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from apps.provenance import graph
from apps.provenance.graph import Direction, Filters
from apps.provenance.redaction import mentioned_ids, redact
from apps.provenance.relations import Relation
from apps.provenance.rows import EdgeRow, Neighbourhood, NodeRow
from apps.provenance.selectors import load_nodes, projects_of

MAX_NODES: Final = 10_000  # walked each way, hidden things included


@dataclass(frozen=True)
class Viewer:
    """Who looks: `key` stands for one viewer in all answers, `projects` are those they may see."""

    key: str
    projects: Collection[uuid.UUID]

    def is_hidden(self, project: uuid.UUID | None) -> bool:
        """True for a project, as a node names it, that is not visible; what has none is site-wide and never hidden."""
        return project is not None and project not in self.projects

    def hides(self, node: NodeRow) -> bool:
        """True for a node of a project that is not visible."""
        return self.is_hidden(node.project)


@dataclass
class _Found:
    """Visible things to show, hidden ones that make up stubs, the projects of all, and whether a limit cut."""

    shown: dict[uuid.UUID, None]
    concealed: dict[uuid.UUID, None] = field(default_factory=dict)
    projects: dict[uuid.UUID, uuid.UUID | None] = field(default_factory=dict)
    truncated: bool = False


def lineage(
    target: uuid.UUID, viewer: Viewer, *, direction: Direction, limit: int, filters: Filters = graph.NO_FILTERS
) -> Neighbourhood:
    """Return what a visible thing rests on, or what rests on it, as the viewer sees it.

    Parameters
    ----------
    target : UUID
        Where to begin; the caller has made sure that it is visible.
    viewer : Viewer
        Who looks.
    direction : {"upstream", "downstream", "both"}
        Which way to walk.
    limit : int
        At most so many visible things each way.
    filters : Filters
        What to keep; see the head of this module for what a narrowed question leaves out.

    Returns
    -------
    Neighbourhood
        The target first, then visible things, the latest recorded first, then stubs joined to them: in an order that
        the same record has on every database.  `truncated` speaks of visible things only.

    Notes
    -----
    The number of statements does not depend on the number of nodes, unless a depth is asked for.
    """
    found = _Found({target: None})
    for way in graph.ways(direction):
        _walk(found, target, way, viewer, limit, filters)
    last = filters.last_seq
    if found.concealed:
        found.projects |= projects_of(id_ for id_ in found.shown if id_ not in found.projects)
    edges = [
        edge
        for edge in graph.edges_among([*found.shown, *found.concealed], as_of=last)
        if _may_be_said(edge, found.shown, found.concealed, found.projects)
    ]
    answering = [edge.object for edge in edges if edge.relation == Relation.ACTED_ON_BEHALF_OF]
    nodes = load_nodes(dict.fromkeys([*found.shown, *answering]), as_of=last)
    kept, among = redact([*nodes, *_bare(nodes, found, viewer)], edges, viewer.hides, viewer.key)
    joined = {end for edge in among for end in (edge.subject, edge.object)}
    answered = [node for node in kept if not node.hidden or node.id in joined]
    return Neighbourhood(sorted(answered, key=partial(_place, target)), among, found.truncated)


def _place(target: uuid.UUID, node: NodeRow) -> tuple[bool, bool, int, str]:
    """Sort key of a node: the walk finds nodes in whatever order the database's plan has; stubs go by pseudonym."""
    return node.id != target, node.hidden, 0 if node.hidden else -(node.seq or 0), str(node.id)


def _walk(found: _Found, target: uuid.UUID, way: Direction, viewer: Viewer, limit: int, filters: Filters) -> None:
    """Add what is found one way."""
    if filters.agent is not None and viewer.is_hidden(projects_of([filters.agent]).get(filters.agent)):
        return
    walk = Filters(projects=viewer.projects, through_hidden=True)
    reached = [] if filters.narrow_walk else graph.closure([target], way, MAX_NODES + 1, walk)
    if filters.narrow_walk or len(reached) > MAX_NODES:
        among_visible = replace(filters, projects=viewer.projects, through_hidden=False)
        visible = graph.closure([target], way, limit + 1, among_visible)
    else:
        projects = projects_of(reached)
        hidden = [id_ for id_ in reached if viewer.is_hidden(projects.get(id_))]
        found.projects |= projects
        concealed = set(hidden)
        visible = graph.keep([id_ for id_ in reached if id_ not in concealed], filters)
        if not filters.narrow_nodes:
            found.concealed |= dict.fromkeys(hidden)
    found.truncated |= len(visible) > limit
    found.shown |= dict.fromkeys(visible[:limit])


def _may_be_said(
    edge: EdgeRow,
    shown: Collection[uuid.UUID],
    concealed: Collection[uuid.UUID],
    projects: Mapping[uuid.UUID, uuid.UUID | None],
) -> bool:
    """False for what tells of the inside of a hidden part: a delegation in it, or the site-wide thing it rests on."""
    if edge.relation == Relation.ACTED_ON_BEHALF_OF and edge.activity not in shown:
        return False
    return edge.subject not in concealed or projects.get(edge.object) is not None


def _bare(nodes: list[NodeRow], found: _Found, viewer: Viewer) -> list[NodeRow]:
    """Return the hidden things, and those that attributes of visible ones name, with nothing but their project."""
    named = projects_of(mentioned_ids(nodes))
    projects = {id_: found.projects.get(id_) for id_ in found.concealed}
    projects |= {id_: project for id_, project in named.items() if viewer.is_hidden(project)}
    return [NodeRow(id_, "", "", project) for id_, project in projects.items() if id_ not in found.shown]
