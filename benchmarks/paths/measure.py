"""Fill a database with a graph of frames and time the service in it; run by ``benchmarks.paths.run``."""

# ruff: noqa: E402  models can be imported once Django is set up

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "corr_project.settings")

import django

django.setup()

import networkx as nx
import numpy as np
from django.db import connection
from django.test.utils import CaptureQueriesContext
from scipy.spatial.transform import Rotation

from apps.projects import services as projects
from apps.projects.models import Project, User
from apps.spatial import network, paths
from apps.spatial.models import Frame, Transform, TransformDecision

FRAMES, TRANSFORMS, PAIRS = 1_000, 3_000, 40
CLOUD = 1_000_000


def pose(rng: np.random.Generator) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    matrix[:3, 3] = rng.uniform(-1e4, 1e4, 3)
    return matrix


def fill(seed: int) -> tuple[Project, list[Frame], list[tuple[int, int]], list[float]]:
    """Rows as they are after many acceptances; written in bulk, without the record, which no path reads."""
    rng = np.random.default_rng(seed)
    actor = User.objects.create_user(username="bench", password=None)
    project = projects.create_project(actor=actor, name="Paths")
    frames = [Frame(project=project, kind="image", name=f"f{i}", description="made") for i in range(FRAMES)]
    Frame.objects.bulk_create(frames)
    poses = [pose(rng) for _ in frames]
    ends = {tuple(sorted((i, int(rng.integers(0, i))))) for i in range(1, FRAMES)}
    while len(ends) < TRANSFORMS:
        ends.add(tuple(sorted(int(k) for k in rng.choice(FRAMES, 2, replace=False))))
    pairs = sorted(ends)
    rows, traces = [], []
    for a, b in pairs:
        root = rng.normal(size=(12, 6)) * 10 ** rng.uniform(-5, -3) * np.tile([1, 1, 1, 1000], 3)[:, None]
        matrix = np.linalg.inv(poses[b]) @ poses[a]
        matrix[3] = [0, 0, 0, 1]
        covariance = root @ root.T
        traces.append(float(covariance[[3, 7, 11], [3, 7, 11]].sum()))
        rows.append(
            Transform(
                project=project,
                source=frames[a],
                target=frames[b],
                kind="rigid",
                method="landmarks",
                matrix=matrix.ravel().tolist(),
                covariance=covariance.tolist(),
                residual_um=0.1,
                status="accepted",
                created_by=actor,
            )
        )
    Transform.objects.bulk_create(rows, batch_size=200)
    TransformDecision.objects.bulk_create(
        [TransformDecision(transform=row, status="accepted", decided_by=actor) for row in rows], batch_size=500
    )
    return project, frames, pairs, traces


def timed(what: str, calls: list[Callable[[], Any]]) -> dict[str, Any]:
    walls, cpus, statements = [], [], set()
    for call in calls:
        with CaptureQueriesContext(connection) as queries:
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            cpus.append(time.process_time() - cpu)
            walls.append(time.perf_counter() - wall)
        statements.add(len(queries))
    return {
        "what": what,
        "median_ms": 1e3 * statistics.median(walls),
        "slowest_ms": 1e3 * max(walls),
        "cpu_ms": 1e3 * statistics.median(cpus),
        "statements": "-".join(str(n) for n in sorted({min(statements), max(statements)})),
    }


def cloud(rng: np.random.Generator) -> np.ndarray:
    """Points of one place: what a surface or a skeleton of it has."""
    return rng.uniform(-1, 1, (CLOUD, 3))


def main(seed: int) -> None:
    project, frames, pairs, traces = fill(seed)
    rng = np.random.default_rng(seed + 1)
    asked = [rng.choice(FRAMES, 2, replace=False) for _ in range(PAIRS)]
    points = rng.uniform(-100, 100, (1000, 3))
    cold = timed("read the project anew", [lambda: (network._kept.clear(), network.accepted_network(project.pk))] * 3)
    plain = nx.MultiGraph()
    for (a, b), trace in zip(pairs, traces, strict=True):
        plain.add_edge(a, b, weight=trace)
    rows = [
        timed("path", [lambda a=a, b=b: paths.find_path(frames[a], frames[b], at=[1, 2, 3]) for a, b in asked]),
        timed(
            "map of 1,000 points", [lambda a=a, b=b: paths.map_points(frames[a], frames[b], points) for a, b in asked]
        ),
        timed("map of 1,000,000 points", [lambda: paths.map_points(frames[0], frames[1], cloud(rng))]),
        timed("networkx, fixed weights", [lambda a=a, b=b: nx.dijkstra_path(plain, int(a), int(b)) for a, b in asked]),
        cold,
    ]
    json.dump({"seed": seed, "run": str(uuid.uuid4())[:8], "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
