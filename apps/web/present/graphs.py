"""A layered drawing of a lineage: sources on top, the asked thing at the bottom, no line that another path says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BOX_WIDTH, BOX_HEIGHT = 196, 42
_GAP_X, _GAP_Y, _MARGIN = 18, 30, 8
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
    def middle(self) -> float:
        """Where lines start and end, across."""
        return self.x + BOX_WIDTH / 2


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
    """Take away every line that a longer path says too; cycles, which no record should have, are left as they are."""
    below = {node: _reachable(node, links) for node in links}
    return {
        node: {
            t
            for t in targets
            if not any(t in below[other] for other in targets if other != t and node not in below[other])
        }
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

    The longest path counts, so that every line leads upwards; the number of rounds is limited in case of a cycle.
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
    """Lay out nodes in rows.

    Parameters
    ----------
    order : sequence
        The nodes, the asked one first.
    links : mapping
        Node -> nodes it rests on; all of them in ``order``.
    """
    depth = layers(order, links)
    last = max(depth.values(), default=0)
    rows: list[list[Any]] = [[node for node in order if depth[node] == last - i] for i in range(last + 1)]
    _untangle(rows, links)
    widest = max((len(row) for row in rows), default=0)
    boxes: dict[Any, Box] = {}
    for i, row in enumerate(rows):
        left = _MARGIN + (widest - len(row)) * (BOX_WIDTH + _GAP_X) / 2
        for j, node in enumerate(row):
            boxes[node] = Box(node, left + j * (BOX_WIDTH + _GAP_X), _MARGIN + i * (BOX_HEIGHT + _GAP_Y))
    paths = [_path(boxes[target], boxes[node]) for node in order for target in sorted(links.get(node, ()), key=str)]
    height = 2 * _MARGIN + len(rows) * (BOX_HEIGHT + _GAP_Y) - _GAP_Y
    return Drawing([boxes[node] for node in order], paths, 2 * _MARGIN + widest * (BOX_WIDTH + _GAP_X) - _GAP_X, height)


def _untangle(rows: list[list[Any]], links: Links) -> None:
    """Sort each row by where its neighbours stand, a few times there and back (the barycentre heuristic)."""
    joined: dict[Any, set[Any]] = defaultdict(set)
    for node, targets in links.items():
        for target in targets:
            joined[node].add(target)
            joined[target].add(node)
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            place = _places(rows)
            row.sort(key=lambda node: _mean([place[other] for other in joined[node]], place[node]))


def _places(rows: Iterable[Sequence[Any]]) -> dict[Any, float]:
    return {node: i - len(row) / 2 for row in rows for i, node in enumerate(row)}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _path(source: Box, target: Box) -> str:
    top, bottom = source.y + BOX_HEIGHT, target.y
    bend = max(14.0, (bottom - top) / 2)
    return (
        f"M{source.middle:.1f},{top:.1f} C{source.middle:.1f},{top + bend:.1f} "
        f"{target.middle:.1f},{bottom - bend:.1f} {target.middle:.1f},{bottom:.1f}"
    )
