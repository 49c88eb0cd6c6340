"""How a thing came to be, as the pages show it: sentences, what was asserted by hand, and a drawing with links."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from apps.audit import selectors as audit
from apps.core.errors import NotFoundError
from apps.projects.models import User
from apps.provenance.rows import NodeRow
from apps.web.present import graphs

MAX_BOXES = 60
_LINE = 25  # characters that fit a box
# Projects, memberships and plans are told in the sentences; in the drawing they would hide the way.
_DRAWN_ACTIVITIES = {"corr:Job", "corr:Acquisition", "corr:SpecimenEvent"}
_LEFT_OUT = {"prov:Plan", "corr:Project", "corr:Membership"}


@dataclass(frozen=True)
class Node:
    """A box with its words."""

    box: graphs.Box
    lines: list[str]
    what: str
    title: str
    css: str
    url: str | None


@dataclass(frozen=True)
class Picture:
    """A drawing with words; ``left_out`` counts the things beyond the limit."""

    nodes: list[Node]
    paths: list[str]
    width: float
    height: float
    left_out: int


@dataclass(frozen=True)
class Story:
    """The derivation of a thing and its drawing."""

    sentences: list[str]
    asserted: list[str]
    checks: list[dict[str, Any]]
    score: int
    scale: list[dict[str, Any]]
    stale: list[dict[str, Any]]
    truncated: bool
    picture: Picture | None


def story_of(obj: Model, user: User) -> Story | None:
    """Tell how a thing came to be; None where nothing was recorded of it."""
    try:
        told = audit.derivation(obj, user)
        found = audit.lineage(user, obj.pk, limit=1000)
    except NotFoundError:
        return None
    return Story(
        sentences=[sentence["text"] for sentence in told["sentences"]],
        asserted=[item["text"] for item in told["asserted"]],
        checks=told["completeness"]["checks"],
        score=round(100 * told["completeness"]["score"]),
        scale=told["scale"],
        stale=told["stale"],
        truncated=told["truncated"],
        picture=picture_of(found),
    )


def _shown(node: NodeRow) -> bool:
    if node.hidden:
        return True
    if node.kind == "agent" or node.type in _LEFT_OUT:
        return False
    return node.kind != "activity" or node.type in _DRAWN_ACTIVITIES


def picture_of(found: audit.Lineage) -> Picture | None:
    """Draw things and jobs, the nearest first, at most ``MAX_BOXES``; agents and small acts are in the sentences."""
    nodes = {node.id: node for node in found.nodes}
    shown = [node.id for node in found.nodes if _shown(node) or node.id == found.target]
    kept = shown[:MAX_BOXES]
    links: dict[Any, set[Any]] = defaultdict(set)
    for edge in found.edges:
        if edge.subject != edge.object and edge.subject in nodes and edge.object in nodes:
            links[edge.subject].add(edge.object)
    drawing = graphs.draw(kept, graphs.reduce(graphs.contract(links, set(kept))))
    if len(kept) < 2:
        return None
    boxes = [_node(box, nodes[box.key], found) for box in drawing.boxes]
    return Picture(boxes, drawing.paths, drawing.width, drawing.height, len(shown) - len(kept))


def _node(box: graphs.Box, node: NodeRow, found: audit.Lineage) -> Node:
    if node.hidden:
        return Node(box, ["not visible to you"], "hidden", "A part that you may not see", "hidden", None)
    label = found.labels[node.id]
    title = next((text for text in node.texts.values() if text), label.title) if label.row is None else label.title
    short = re.sub(r" \(.*| job$|^file ", "", title) if label.row is not None else title
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", node.type.split(":")[-1]).lower().capitalize()
    css = node.kind + (" self" if node.id == found.target else "")
    return Node(box, [short if len(short) <= _LINE else f"{short[: _LINE - 1]}…"], what, title, css, label.url)
