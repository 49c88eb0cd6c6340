"""The graph of frames as arrays, and the search for the path whose error at a point is smallest.

Nothing here reads the database.  Nodes are frames, each transform gives two directed edges.  An error is not additive
along a path (a later map turns and scales what came before, and shared calibrations correlate), so no shortest-path
algorithm is exact.  The search is a heuristic: labels carry the point and its 3 x 3 covariance along the edges, in
rounds, and a frame keeps the label of least rank and then of least trace.  What the winning path means is computed
exactly afterwards, with what its steps share.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from analyses.sdk.spatial import Matrix

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Ranks of a step: a path is as good as its worst step, and only then as its error.
CHECKED = 0  # against held-out landmarks or found positions, or exact by what it is
UNCHECKED = 1
UNKNOWN_ERROR = 2
DOUBTFUL = 4  # stale, or not valid for the states concerned
_SMALLEST_GAIN = 1e-9
_FEWEST = 16  # frames followed at once: fewer cost more rounds, more are followed twice
_ROUNDS_A_NODE = 4


@dataclass(frozen=True)
class Step:
    """One transform of a path, and which way it is taken."""

    edge: int
    backwards: bool


@dataclass(frozen=True)
class Graph:
    """Accepted transforms of one project.

    Attributes
    ----------
    transforms : list of UUID, length m
    nodes : mapping of UUID to int
        Frames that a transform touches.
    ends : ndarray, (m, 2)
        Node of the source and of the target.
    matrices : ndarray, (m, 4, 4)
    covariances : ndarray, (m, 12, 12)
        Zero where none is stated.
    ranks : ndarray, (m,)
        ``CHECKED``, ``UNCHECKED`` or ``UNKNOWN_ERROR``.
    outgoing : ndarray, (n + 1,)
        Where the directed edges of each node begin in ``directed``.
    directed : ndarray, (2 m,)
        Edge numbers by node they leave; ``m + e`` is edge e taken backwards.
    maps : ndarray, (2 m, 3, 4)
        Of the directed edges.
    """

    transforms: list[uuid.UUID]
    nodes: Mapping[uuid.UUID, int]
    ends: Ints
    matrices: Floats
    covariances: Floats
    ranks: Ints
    outgoing: Ints
    directed: Ints
    maps: Floats


def build(
    transforms: Sequence[uuid.UUID],
    ends: Sequence[tuple[uuid.UUID, uuid.UUID]],
    matrices: Sequence[Matrix | Sequence[float]],
    covariances: Sequence[Sequence[Sequence[float]] | Floats | None],
    checked: Sequence[bool],
) -> Graph:
    """Gather transforms into a graph; all sequences have one entry a transform."""
    count = len(transforms)
    nodes: dict[uuid.UUID, int] = {}
    for pair in ends:
        for frame in pair:
            nodes.setdefault(frame, len(nodes))
    pairs = np.array([[nodes[a], nodes[b]] for a, b in ends], np.int64).reshape(count, 2)
    forward = np.array(matrices, np.float64).reshape(count, 4, 4)
    back = _inverses(forward)
    leaving = np.concatenate([pairs[:, 0], pairs[:, 1]])
    order = np.argsort(leaving, kind="stable")
    unknown = np.array([covariance is None for covariance in covariances], bool)
    ranks = np.where(unknown, UNKNOWN_ERROR, np.where(np.array(checked, bool), CHECKED, UNCHECKED))
    zero = [[0.0] * 12] * 12
    numbers = chain.from_iterable(chain.from_iterable(zero if c is None else c for c in covariances))
    return Graph(
        transforms=list(transforms),
        nodes=nodes,
        ends=pairs,
        matrices=forward,
        covariances=np.fromiter(numbers, np.float64, count * 144).reshape(count, 12, 12),
        ranks=ranks.astype(np.int64),
        outgoing=np.searchsorted(leaving[order], np.arange(len(nodes) + 1)),
        directed=order,
        maps=np.concatenate([forward, back])[:, :3],
    )


def _inverses(matrices: Floats) -> Floats:
    """Invert many at once; each was checked when it was stored, and its last row is 0, 0, 0, 1."""
    back = np.tile(np.eye(4), (len(matrices), 1, 1))
    back[:, :3, :3] = np.linalg.inv(matrices[:, :3, :3])
    back[:, :3, 3] = -(back[:, :3, :3] @ matrices[:, :3, 3, None])[:, :, 0]
    return back


@dataclass
class _Labels:
    """Best label a node: rank, variance (trace), point, covariance, and where it came from."""

    rank: Ints
    variance: Floats
    point: Floats
    covariance: Floats
    came: Ints  # entry of the trail, -1 for none
    passed: npt.NDArray[np.uint64]  # (n, words): bit b of word w is set where the way has been at node 64 w + b
    trail: list[tuple[int, int]]  # (entry before, directed edge)


def search(
    graph: Graph,
    source: uuid.UUID,
    target: uuid.UUID,
    point: npt.ArrayLike,
    *,
    penalties: Ints | None = None,
    without: Sequence[int] = (),
) -> list[Step] | None:
    """Find the path of least rank, then of least standard error at a point.

    Parameters
    ----------
    graph : Graph
    source, target : UUID
        Frames.
    point : array_like, (3,)
        (x, y, z) in the source frame, um.
    penalties : ndarray, (m,), optional
        Added to the rank of each transform, such as ``DOUBTFUL``.
    without : sequence of int
        Edges not to be taken.

    Returns
    -------
    list of Step, or None
        None where no path leads there; empty where source and target are the same.
    """
    if source == target:
        return []
    if source not in graph.nodes or target not in graph.nodes:
        return None
    goal = graph.nodes[target]
    labels = _spread(graph, graph.nodes[source], np.asarray(point, np.float64), _ranks(graph, penalties, without), goal)
    return _trace(graph, labels, goal)


def reach(
    graph: Graph, source: uuid.UUID, point: npt.ArrayLike, *, penalties: Ints | None = None
) -> dict[uuid.UUID, list[Step]]:
    """Find the best path from a frame to every other frame that can be reached, as ``search`` does for one."""
    if source not in graph.nodes:
        return {source: []}
    labels = _spread(graph, graph.nodes[source], np.asarray(point, np.float64), _ranks(graph, penalties, ()), None)
    found = {frame: _trace(graph, labels, node) for frame, node in graph.nodes.items()}
    return {source: []} | {frame: steps for frame, steps in found.items() if steps is not None and frame != source}


def _ranks(graph: Graph, penalties: Ints | None, without: Sequence[int]) -> Ints:
    ranks = graph.ranks if penalties is None else graph.ranks + penalties
    if len(without):
        ranks = ranks.copy()
        ranks[list(without)] = np.iinfo(np.int64).max
    return ranks


def _spread(graph: Graph, start: int, point: Floats, ranks: Ints, goal: int | None) -> _Labels:
    labels = _begin(graph, start, point)
    pending = np.zeros(len(graph.nodes), bool)
    pending[start] = True
    for _ in range(len(graph.nodes) * _ROUNDS_A_NODE):
        frontier = _nearest(labels, pending, goal)
        if not len(frontier):
            break
        pending[frontier] = False
        pending[_relax(graph, labels, frontier, ranks)] = True
    return labels


def _begin(graph: Graph, start: int, point: Floats) -> _Labels:
    count = len(graph.nodes)
    labels = _Labels(
        rank=np.full(count, np.iinfo(np.int64).max),
        variance=np.full(count, np.inf),
        point=np.zeros((count, 3)),
        covariance=np.zeros((count, 3, 3)),
        came=np.full(count, -1),
        passed=np.zeros((count, count // 64 + 1), np.uint64),
        trail=[],
    )
    labels.passed[start, start // 64] = np.uint64(1) << np.uint64(start % 64)
    labels.rank[start], labels.variance[start], labels.point[start] = CHECKED, 0.0, point
    return labels


def _nearest(labels: _Labels, pending: npt.NDArray[np.bool_], goal: int | None) -> Ints:
    """The better part of what is still to be followed; nothing that is worse than what the goal has already."""
    waiting = np.flatnonzero(pending)
    if goal is not None:
        rank, variance = labels.rank[waiting], labels.variance[waiting]
        hopeful = (rank < labels.rank[goal]) | ((rank == labels.rank[goal]) & (variance < labels.variance[goal]))
        waiting = waiting[hopeful]
    rank, variance = labels.rank[waiting], labels.variance[waiting]
    order = np.lexsort((variance, rank))
    return waiting[order[: max(_FEWEST, len(order) // 4)]]


def _relax(graph: Graph, labels: _Labels, frontier: Ints, ranks: Ints) -> Ints:
    """Try every edge out of the frontier; returns the nodes that got a better label."""
    edges = np.concatenate([graph.directed[graph.outgoing[n] : graph.outgoing[n + 1]] for n in frontier.tolist()])
    count = len(graph.transforms)
    base, back = edges % count, edges >= count
    here = graph.ends[base, np.where(back, 1, 0)]
    there = graph.ends[base, np.where(back, 0, 1)]
    rank = np.maximum(labels.rank[here], ranks[base])
    # a step of higher rank than what stands already cannot win: it need not be computed; nor need one that turns back
    worth = (rank < np.iinfo(np.int64).max) & (rank <= labels.rank[there]) & ~_passed(labels, here, there)
    edges, base, back, here, there, rank = (v[worth] for v in (edges, base, back, here, there, rank))
    if not len(edges):
        return np.array([], np.int64)
    points, covariances = _carried(graph, labels, edges, base, back, here)
    variance = np.trace(covariances, axis1=1, axis2=2)
    better = (rank < labels.rank[there]) | (variance < labels.variance[there] * (1.0 - _SMALLEST_GAIN) - 1e-300)
    tried = np.flatnonzero(better)
    if not len(tried):
        return np.array([], np.int64)
    order = tried[np.lexsort((variance[tried], rank[tried], there[tried]))]
    won = order[np.unique(there[order], return_index=True)[1]]
    _keep(labels, there[won], here[won], edges[won], rank[won], variance[won], points[won], covariances[won])
    return there[won]


def _passed(labels: _Labels, parents: Ints, nodes: Ints) -> npt.NDArray[np.bool_]:
    """True if the way to a parent has been at a node: round a loop of scales an error may shrink, and mean nothing."""
    bit = labels.passed[parents, nodes // 64] >> (nodes % 64).astype(np.uint64)
    return (bit & np.uint64(1)).astype(bool)


def _carried(graph: Graph, labels: _Labels, edges: Ints, base: Ints, back: Ints, here: Ints) -> tuple[Floats, Floats]:
    """Points and covariances at the ends of directed edges."""
    linear, shift = graph.maps[edges, :, :3], graph.maps[edges, :, 3]
    before = labels.point[here]
    after = (linear @ before[:, :, None])[:, :, 0] + shift
    own = _own_error(graph.covariances[base], np.where(back[:, None], after, before))
    # backwards the error of the map arises in its source frame, where the inverse leads, but in target lengths
    carried = labels.covariance[here] + np.where(back[:, None, None], own, 0.0)
    covariances = linear @ carried @ linear.swapaxes(1, 2) + np.where(back[:, None, None], 0.0, own)
    return after, covariances


def _own_error(covariances: Floats, points: Floats) -> Floats:
    """``J(p) S J(p)^T`` of each map at a point of its source frame."""
    ones = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    half = (covariances.reshape(-1, 36, 4) @ ones[:, :, None]).reshape(-1, 3, 4, 3)
    own: Floats = (half.swapaxes(2, 3) @ ones[:, None, :, None])[..., 0]
    return own


def _keep(
    labels: _Labels,
    node: Ints,
    parent: Ints,
    edges: Ints,
    rank: Ints,
    variance: Floats,
    points: Floats,
    covariances: Floats,
) -> None:
    # the trail only grows: a label points to what its parent was when it was made
    came = labels.came[parent]
    start = len(labels.trail)
    labels.trail.extend(zip(came.tolist(), edges.tolist(), strict=True))
    labels.rank[node], labels.variance[node] = rank, variance
    labels.point[node], labels.covariance[node] = points, covariances
    labels.came[node] = np.arange(start, start + len(node))
    labels.passed[node] = labels.passed[parent]
    labels.passed[node, node // 64] |= np.uint64(1) << (node % 64).astype(np.uint64)


def _trace(graph: Graph, labels: _Labels, target: int) -> list[Step] | None:
    entry = int(labels.came[target])
    if entry < 0:
        return None
    count = len(graph.transforms)
    steps: list[Step] = []
    while entry >= 0:
        entry, edge = labels.trail[entry]
        steps.append(Step(edge % count, edge >= count))
    return steps[::-1]
