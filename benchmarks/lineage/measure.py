"""Measure one database at one size, print JSON: ``python -m benchmarks.lineage.measure EDGES DEEP``."""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable

import django

REPEATS = 25


def median_ms(runs: list[Callable[[], object]], repeats: int = REPEATS) -> list[float]:
    """Return the median time of each in milliseconds, measured in turns, so that noise falls on all of them."""
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(repeats + 1):
        for index, run in enumerate(runs):
            start = time.perf_counter()
            run()
            if turn:  # the first turn warms caches
                times[index].append(1e3 * (time.perf_counter() - start))
    return [statistics.median(values) for values in times]


def raw_walk(start: uuid.UUID, way: tuple[str, str]) -> list:
    """The bare recursion over the same table and connection, without filters."""
    from django.db import connection

    postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE walk(id) AS (SELECT CAST(%s AS {'uuid' if postgres else 'char'}) UNION"
            f" SELECT e.{way[1]} FROM walk JOIN provenance_edge e ON e.{way[0]} = walk.id) SELECT id FROM walk",
            [start if postgres else start.hex],
        )
        return cursor.fetchall()


def measure_walk(name: str, start: uuid.UUID) -> dict:
    from apps.provenance import graph

    down = name.startswith("descendants")
    walk = graph.descendants if down else graph.ancestors
    way = ("object_id", "subject_id") if down else ("subject_id", "object_id")
    found = walk([start], limit=10**6)
    raw = {uuid.UUID(str(row[0])) for row in raw_walk(start, way)} - {start}
    assert set(found) == raw, f"{name}: {len(found)} found, {len(raw)} by the raw query"
    repeats = REPEATS if len(found) < 5000 else 5
    ours, theirs = median_ms([lambda: walk([start], limit=10**6), lambda: raw_walk(start, way)], repeats)
    return {"case": name, "found": len(found), "ours_ms": ours, "raw_ms": theirs}


def measure_writing() -> dict:
    from apps.provenance import record

    actor, project = uuid.uuid4(), uuid.uuid4()
    with record.act("seed", actor=actor, project=project) as act:
        source = act.entity("corr:Image")

    def one() -> None:
        with record.act("run", actor=actor, project=project, plan={"plugin": "p", "k": 0.5}) as act:
            act.used(source)
            act.derived(act.entity("corr:Image", attributes={"corr:digest": "0" * 64}), source)

    def many(count: int = 2000) -> None:
        with record.act("import", actor=actor, project=project) as act:
            act.used(source)
            for _ in range(count):
                act.derived(act.entity("corr:Image", attributes={"corr:digest": "0" * 64}), source)

    (one_ms,) = median_ms([one])
    (bulk_ms,) = median_ms([many], 3)
    # a record is a node or a relation: per entity one node, generation, attribution and derivation
    return {"derivation_ms": one_ms, "bulk_records_per_s": 4 * 2000 / (bulk_ms / 1e3)}


def main() -> None:
    django.setup()
    from django.core.management import call_command

    from benchmarks.lineage import load

    call_command("migrate", verbosity=0)
    edges, deep = int(sys.argv[1]), int(sys.argv[2])
    nodes, written, last = load.fill(edges, deep)
    middle = max(1, last // 2)
    cases = {
        "ancestors, a study": load.entity(middle, load.STEPS - 1),
        "ancestors, deep chain": load.entity(0, deep - 1),
        "descendants, a study": load.entity(middle, 0),
        "descendants, deep chain": load.entity(0, 0),
    }
    walks = [measure_walk(name, start) for name, start in cases.items()]
    print(json.dumps({"nodes": nodes, "edges": written, "walks": walks, **measure_writing()}))


if __name__ == "__main__":
    main()
