"""A small layered drawing of a lineage: sources on the left, the asked thing on the right, no line that another path says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BOX_WIDTH, BOX_HEIGHT = 178, 44
_GAP_X, _GAP_Y, _MARGIN = 46, 14, 8
_SWEEPS = 4
Key = Hashable
Links = Mapping[Any, set[Any]]  # node -> what it rests on


@dataclass(frozen=True)
class Box:
    """A node of the drawing; ``x`` and ``y`` of its upper left corner."""

    key: Any
    x: float
    y: float

    @property
    def middle_y(self) -> float:
        """Where lines end."""
        return self.y + BOX_HEIGHT / 2


@dataclass(frozen=True)
class Drawing:
    """Boxes and the paths of the lines between them, in SVG units."""

    boxes: list[Box]
    paths: list[str]
    width: float
    height: float


def contract(links: Links, shown: set[Any]) -> dict[Any, set[Any]]:
    """Leave out the nodes that are not ``shown``, joining what they stood between."""
    return {node: _shown_below(node, links, shown) for node in shown}


def _shown_below(start: Any, links: Links, shown: set[Any]) -> set[Any]:
    found: set[Any] = set()
    seen: set[Any] = {start}
    waiting = list(links.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in shown:
            found.add(node)
        else:
            waiting.extend(links.get(node, ()))
    return found


def reduce(links: Links) -> dict[Any, set[Any]]:
    """Take away every line that a longer path says too; cycles, which a record should not have, are left as they are."""
    below = {node: _reachable(node, links) for node in links}
    return {
        node: {t for t in targets if not any(t in below[other] for other in targets if other != t and node not in below[other])}
        for node, targets in links.items()
    }


def _reachable(start: Any, links: Links) -> set[Any]:
    found: set[Any] = set()
    waiting = list(links.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(links.get(node, ()))
    return found


def layers(order: Sequence[Any], links: Links) -> dict[Any, int]:
    """Return how many steps each node stands before the asked one (``order[0]`` and all on which nothing rests are 0).

    The longest path counts, so that every line leads to the left; the number of rounds is limited in case of a cycle.
    """
    depth = dict.fromkeys(order, 0)
    for _ in range(len(order)):
        moved = False
        for node in order:
            for target in links.get(node, ()):
                if depth[target] < depth[node] + 1 <= len(order):
                    depth[target], moved = depth[node] + 1, True
        if not moved:
            break
    return depth


def draw(order: Sequence[Any], links: Links) -> Drawing:
    """Lay out nodes in columns.

    Parameters
    ----------
    order : sequence
        The nodes, the asked one first.
    links : mapping
        Node -> nodes it rests on; all of them in ``order``.
    """
    depth = layers(order, links)
    last = max(depth.values(), default=0)
    columns: list[list[Any]] = [[node for node in order if depth[node] == last - i] for i in range(last + 1)]
    _untangle(columns, links)
    tallest = max((len(column) for column in columns), default=0)
    boxes: dict[Any, Box] = {}
    for i, column in enumerate(columns):
        top = _MARGIN + (tallest - len(column)) * (BOX_HEIGHT + _GAP_Y) / 2
        for j, node in enumerate(column):
            boxes[node] = Box(node, _MARGIN + i * (BOX_WIDTH + _GAP_X), top + j * (BOX_HEIGHT + _GAP_Y))
    paths = [_path(boxes[target], boxes[node]) for node in order for target in sorted(links.get(node, ()), key=str)]
    width = 2 * _MARGIN + len(columns) * (BOX_WIDTH + _GAP_X) - _GAP_X
    return Drawing([boxes[node] for node in order], paths, width, 2 * _MARGIN + tallest * (BOX_HEIGHT + _GAP_Y) - _GAP_Y)


def _untangle(columns: list[list[Any]], links: Links) -> None:
    """Sort each column by where its neighbours stand, a few times there and back (the barycentre heuristic)."""
    joined: dict[Any, set[Any]] = defaultdict(set)
    for node, targets in links.items():
        for target in targets:
            joined[node].add(target)
            joined[target].add(node)
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            place = _places(columns)
            column.sort(key=lambda node: _mean([place[other] for other in joined[node]], place[node]))


def _places(columns: Iterable[Sequence[Any]]) -> dict[Any, float]:
    return {node: (i + 0.5) / len(column) for column in columns for i, node in enumerate(column)}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _path(source: Box, target: Box) -> str:
    left, right = source.x + BOX_WIDTH, target.x
    bend = max(20.0, (right - left) / 2)
    return (
        f"M{left:.1f},{source.middle_y:.1f} C{left + bend:.1f},{source.middle_y:.1f} "
        f"{right - bend:.1f},{target.middle_y:.1f} {right:.1f},{target.middle_y:.1f}"
    )
