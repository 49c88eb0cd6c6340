"""The search over frames, against brute force."""

from __future__ import annotations

import itertools
import uuid

import networkx as nx
import numpy as np
import pytest

from analyses.sdk.propagation import UncertainMap, propagate
from apps.spatial import graph
from tests.sdk.test_spatial import affine, rotation


def random_graph(seed, frames=7, transforms=12, *, off_um=0.0):
    """Frames with poses in a common one, and transforms between them that miss the truth by about ``off_um``."""
    rng = np.random.default_rng(seed)
    ids = [uuid.UUID(int=i + 1) for i in range(frames)]
    poses = [affine(rotation(rng.normal(size=3), np.radians(30)), rng.uniform(-50, 50, 3)) for _ in ids]
    pairs = [tuple(rng.choice(frames, 2, replace=False)) for _ in range(transforms)]
    matrices, covariances = [], []
    for a, b in pairs:
        matrices.append(affine(np.eye(3), rng.normal(size=3) * off_um) @ np.linalg.inv(poses[b]) @ poses[a])
        root = rng.normal(size=(12, 12)) * 10 ** rng.uniform(-4, -2)
        covariances.append(root @ root.T)
    built = graph.build(
        [uuid.UUID(int=1000 + i) for i in range(transforms)],
        [(ids[a], ids[b]) for a, b in pairs],
        [affine(matrix[:3, :3], matrix[:3, 3]) for matrix in matrices],
        covariances,
        [True] * transforms,
    )
    return built, ids


def simple_paths(built, source, target):
    """All paths without a repeated frame, as steps."""
    multi = nx.MultiGraph()
    for edge, (a, b) in enumerate(built.ends.tolist()):
        multi.add_edge(a, b, key=edge)
    start, goal = built.nodes.get(source), built.nodes.get(target)
    if start not in multi or goal not in multi:
        return []
    found = []
    for path in nx.all_simple_edge_paths(multi, start, goal):
        here, steps = start, []
        for _, _, edge in path:
            a, b = built.ends[edge]
            steps.append(graph.Step(edge, bool(here == b)))
            here = a if here == b else b
        found.append(steps)
    return found


def error_of(built, steps, point):
    maps = [
        UncertainMap(built.matrices[s.edge], built.covariances[s.edge], s.edge, backwards=s.backwards) for s in steps
    ]
    return float(np.trace(propagate([point], maps).covariances[0]))


@pytest.mark.parametrize("off_um", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(20))
def test_the_path_found_is_the_best_of_all_paths(seed, off_um):
    """Where loops close, an error depends on where it arises and not on the way there: then the search is exact."""
    built, ids = random_graph(seed, off_um=off_um)
    point = np.array([20.0, -10.0, 5.0])
    for source, target in itertools.permutations(ids[:4], 2):
        every = simple_paths(built, source, target)
        steps = graph.search(built, source, target, point)
        if not every:
            assert steps is None
            continue
        least = min(error_of(built, path, point) for path in every)
        assert error_of(built, steps, point) <= (1.0 + 1e-6 + off_um) * least


@pytest.mark.parametrize("seed", range(5))
def test_the_search_carries_the_same_error_as_the_exact_propagation(seed):
    built, ids = random_graph(seed)
    point = np.array([20.0, -10.0, 5.0])
    labels = graph._spread(built, built.nodes[ids[0]], point, built.ranks, None)
    for frame, steps in graph.reach(built, ids[0], point).items():
        node = built.nodes[frame]
        assert labels.variance[node] == pytest.approx(error_of(built, steps, point), rel=1e-9, abs=1e-15)


def test_a_checked_path_goes_before_one_that_claims_a_smaller_error():
    a, b = uuid.UUID(int=1), uuid.UUID(int=2)
    exact, rough = np.zeros((12, 12)), np.eye(12)
    built = graph.build(
        [uuid.UUID(int=9), uuid.UUID(int=8), uuid.UUID(int=7)],
        [(a, b)] * 3,
        [np.eye(4)] * 3,
        [exact, rough, None],
        [False, True, False],
    )
    assert graph.search(built, a, b, [0, 0, 0])[0].edge == 1
    assert graph.search(built, a, b, [0, 0, 0], without=[1])[0].edge == 0
    assert graph.search(built, a, b, [0, 0, 0], without=[0, 1])[0].edge == 2
    assert graph.search(built, a, b, [0, 0, 0], without=[0, 1, 2]) is None
    assert graph.search(built, a, b, [0, 0, 0], penalties=np.array([0, graph.DOUBTFUL, 0]))[0].edge == 0


def test_a_frame_leads_to_itself_and_an_unknown_one_nowhere():
    built, ids = random_graph(1)
    assert graph.search(built, ids[0], ids[0], [0, 0, 0]) == []
    assert graph.search(built, ids[0], uuid.UUID(int=77), [0, 0, 0]) is None


def test_a_loop_of_scales_is_not_walked_round_for_a_smaller_error():
    """Three similarities whose scales do not multiply to 1: each turn shrinks what was carried, and moves the point."""
    ids = {name: uuid.UUID(int=i + 1) for i, name in enumerate("AXYZT")}

    def shift_error(u_um):
        covariance = np.zeros((12, 12))
        covariance[[3, 7, 11], [3, 7, 11]] = u_um**2
        return covariance

    shrink = affine(np.eye(3) * 0.9995)
    edges = [("AX", np.eye(4), 5.0), ("XY", shrink, 0.01), ("YZ", shrink, 0.01), ("ZX", np.eye(4), 0.01)]
    edges.append(("XT", np.eye(4), 0.01))
    built = graph.build(
        [uuid.UUID(int=100 + i) for i in range(len(edges))],
        [(ids[name[0]], ids[name[1]]) for name, _, _ in edges],
        [matrix for _, matrix, _ in edges],
        [shift_error(u) for _, _, u in edges],
        [True] * len(edges),
    )
    assert [step.edge for step in graph.search(built, ids["A"], ids["T"], [1000.0, 0, 0])] == [0, 4]
    assert all(len(steps) <= 3 for steps in graph.reach(built, ids["A"], [1000.0, 0, 0]).values())
