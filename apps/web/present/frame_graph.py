"""Frames and transforms of a specimen as a drawing: modalities down, sizes from centimetres to nanometres across.

Boxes stand in cells; a line is drawn under the boxes.  Nothing here reads rows: nodes and links are plain values.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from apps.web.present.lengths import format_length

BOX_WIDTH, BOX_HEIGHT = 190, 44
_GAP_X, _GAP_Y, _ROW_GAP = 136, 18, 22
_HEAD, _LABEL_WIDTH, _MARGIN = 30, 118, 8
_LAST: Final = 60  # room for the words beside the last column
_LETTERS: Final = 27
MOST: Final = 300
NO_SIZE: Final = 99


@dataclass(frozen=True)
class Node:
    """A frame; ``column`` from ``column_of``, ``row`` counts modalities from the top."""

    key: Any
    title: str
    sub: str
    url: str
    row: int
    column: int
    css: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Link:
    """A transform between two nodes.

    ``css`` is accepted, candidate or withdrawn, with stale or invalid beside it; ``mark`` says the same in a sign and a
    word, so that no colour is needed; ``label`` is its error.
    """

    source: Any
    target: Any
    url: str
    words: str
    css: str
    label: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Box:
    """A node where it stands: its upper left corner, and its title cut to what fits."""

    node: Node
    x: float
    y: float

    @property
    def title(self) -> str:
        """The name, cut."""
        text = self.node.title
        return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


@dataclass(frozen=True)
class Line:
    """A link where it runs; its words stand at (x, y): around it, or to the right of a line that bends out."""

    link: Link
    path: str
    x: float
    y: float
    anchor: str = "middle"

    @property
    def text(self) -> str:
        """Error and mark."""
        return " ".join(part for part in (self.link.label, self.link.mark) if part)


@dataclass(frozen=True)
class Drawing:
    """The whole, SVG units; heads of columns and names of rows with where they stand."""

    boxes: list[Box]
    lines: list[Line]
    heads: list[tuple[str, float]]
    names: list[tuple[str, float]]
    bands: list[tuple[float, float]]
    width: float
    height: float
    folded: int


def column_of(size_um: float | None) -> int:
    """Return the decade of a length: 0 for a centimetre and more, 1 for a millimetre to a centimetre, and so on."""
    if not size_um or size_um <= 0.0:
        return NO_SIZE
    return min(max(0, 4 - math.floor(math.log10(size_um) + 1e-9)), 8)


def column_words(column: int) -> str:
    """Return what a column holds."""
    if column == -1:
        return "piece and stages"
    if column == NO_SIZE:
        return "no size"
    least = 10.0 ** (4 - column)
    if column == 0:
        return f"{format_length(least)} and more"
    return (
        f"{format_length(least)} to {format_length(10.0 * least)}"
        if column < 8
        else f"below {format_length(10 * least)}"
    )


def fold(nodes: Sequence[Node], links: Sequence[Link], most: int = MOST) -> tuple[list[Node], list[Link], int]:
    """Keep the nodes that hang together best; those left over become one node a cell, their links one each.

    Returns
    -------
    nodes, links, folded
        ``folded`` counts the nodes that are not drawn by themselves.
    """
    if len(nodes) <= most:
        return list(nodes), list(links), 0
    weight: Counter[Any] = Counter()
    for link in links:
        for end in (link.source, link.target):
            weight[end] += 10 if "accepted" in link.css else 1
    ranked = sorted(nodes, key=lambda node: (node.column != -1, -weight[node.key]))
    kept, rest = ranked[:most], ranked[most:]
    cells: dict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in rest:
        cells[node.row, node.column].append(node)
    home = {node.key: (node.row, node.column) for node in rest}
    folds = [
        Node(cell, f"and {len(found)} more", "in the table below", "#frames", cell[0], cell[1], "fold")
        for cell, found in cells.items()
    ]
    names = {node.key for node in kept}
    order = [node for node in nodes if node.key in names]
    return [*order, *folds], _folded(links, home), len(rest)


def _folded(links: Sequence[Link], home: Mapping[Any, Any]) -> list[Link]:
    found: list[Link] = []
    bundles: dict[tuple[Any, Any], int] = Counter()
    for link in links:
        source, target = home.get(link.source, link.source), home.get(link.target, link.target)
        if source is link.source and target is link.target:
            found.append(link)
        elif source != target:
            bundles[source, target] += 1
    for (source, target), count in bundles.items():
        words = f"{count} transform{'s' if count > 1 else ''}, in the table below"
        found.append(Link(source, target, "#transforms", words, "bundle", f"{count}×"))
    return found


def draw(nodes: Sequence[Node], links: Sequence[Link], rows: Sequence[str]) -> Drawing:
    """Lay out at most ``MOST`` nodes and what joins them.

    Parameters
    ----------
    nodes : sequence of Node
    links : sequence of Link
        Both ends among the nodes.
    rows : sequence of str
        Names of the rows.
    """
    shown, joined, folded = fold(nodes, links)
    cells: dict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in shown:
        cells[node.row, node.column].append(node)
    columns = sorted({node.column for node in shown})
    used = sorted({node.row for node in shown})
    left = {column: _LABEL_WIDTH + index * (BOX_WIDTH + _GAP_X) for index, column in enumerate(columns)}
    top = float(_HEAD)
    names: list[tuple[str, float]] = []
    bands: list[tuple[float, float]] = []
    boxes: dict[Any, Box] = {}
    for row in used:
        tallest = max(len(cells[row, column]) for column in columns)
        height = tallest * (BOX_HEIGHT + _GAP_Y) - _GAP_Y
        names.append((rows[row], top + height / 2.0))
        bands.append((top - _ROW_GAP / 2.0, height + _ROW_GAP))
        for column in columns:
            for place, node in enumerate(cells[row, column]):
                boxes[node.key] = Box(node, left[column], top + place * (BOX_HEIGHT + _GAP_Y))
        top += height + _ROW_GAP
    width = _LABEL_WIDTH + len(columns) * (BOX_WIDTH + _GAP_X) + _LAST
    heads = [(column_words(column), left[column] + BOX_WIDTH / 2.0) for column in columns]
    return Drawing(list(boxes.values()), _lines(joined, boxes), heads, names, bands, width, top + _MARGIN, folded)


def _lines(links: Sequence[Link], boxes: Mapping[Any, Box]) -> list[Line]:
    """Lines between the sides that face each other; several between two boxes bend apart."""
    found, between = [], Counter[frozenset[Any]]()
    for link in links:
        pair = frozenset((link.source, link.target))
        found.append(_line(link, boxes[link.source], boxes[link.target], between[pair]))
        between[pair] += 1
    return found


def _line(link: Link, source: Box, target: Box, number: int) -> Line:
    first, last = (source, target) if source.x <= target.x else (target, source)
    y0, y1 = first.y + BOX_HEIGHT / 2.0, last.y + BOX_HEIGHT / 2.0
    apart = 15.0 * number
    if first.x == last.x:
        x0 = x1 = first.x + BOX_WIDTH
        out = min(_GAP_X * 0.4, 26.0 + 0.12 * abs(y1 - y0)) + apart
        bend0, bend1 = (x0 + out, y0), (x1 + out, y1)
    else:
        x0, x1 = first.x + BOX_WIDTH, last.x
        reach = max(30.0, 0.45 * (x1 - x0))
        bend0, bend1 = (x0 + reach, y0 + apart), (x1 - reach, y1 + apart)
    path = f"M{x0:.1f},{y0:.1f} C{bend0[0]:.1f},{bend0[1]:.1f} {bend1[0]:.1f},{bend1[1]:.1f} {x1:.1f},{y1:.1f}"
    at = 0.5
    if first.x != last.x and x1 - x0 > _GAP_X:  # beyond the neighbouring column: the words stand in the first gap
        at = 0.5 * _GAP_X / (x1 - x0)
    x, y = _on_curve(at, (x0, y0), bend0, bend1, (x1, y1))
    return Line(link, path, x + 5.0, y, "start") if first.x == last.x else Line(link, path, x, y)


def _on_curve(t: float, *points: tuple[float, float]) -> tuple[float, float]:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    x, y = (sum(w * point[axis] for w, point in zip(weights, points, strict=True)) for axis in (0, 1))
    return x, y


@dataclass(frozen=True)
class Apart:
    """Words that would lie on others, moved down."""

    taken: list[tuple[float, float]] = field(default_factory=list)

    def placed(self, line: Line) -> Line:
        """Return a line with its words where none stand yet."""
        x, y = line.x, line.y
        while any(abs(x - other) < 84.0 and abs(y - at) < 13.0 for other, at in self.taken):
            y += 13.0
        self.taken.append((x, y))
        return replace(line, x=x, y=y)


def spaced(drawing: Drawing) -> Drawing:
    """Return a drawing whose words do not lie on each other."""
    apart = Apart()
    return replace(drawing, lines=[apart.placed(line) if line.text else line for line in drawing.lines])
