"""Measures one database at one size and prints the figures as JSON: ``python -m benchmarks.lineage.measure EDGES DEEP``."""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable

import django

REPEATS = 15


def median_ms(run: Callable[[], object], repeats: int = REPEATS) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def measure_walks(cases: dict[str, uuid.UUID]) -> list[dict]:
    from django.db import connection

    from apps.provenance import graph

    def raw(start: uuid.UUID, way: tuple[str, str]) -> list:
        seed = start if connection.vendor == "postgresql" else start.hex
        kind = "uuid" if connection.vendor == "postgresql" else "char"
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH RECURSIVE walk(id) AS (SELECT CAST(%s AS {kind}) UNION SELECT e.{way[1]} FROM walk"
                f" JOIN provenance_edge e ON e.{way[0]} = walk.id) SELECT id FROM walk",
                [seed],
            )
            return cursor.fetchall()

    rows = []
    for name, start in cases.items():
        down = name.startswith("descendants")
        walk = graph.descendants if down else graph.ancestors
        way = ("object_id", "subject_id") if down else ("subject_id", "object_id")
        found = walk([start], limit=10**6)
        assert {str(value) for value in found} == {str(uuid.UUID(str(row[0]))) for row in raw(start, way)} - {str(start)}
        repeats = REPEATS if len(found) < 5000 else 5
        ours, theirs = median_ms(lambda: walk([start], limit=10**6), repeats), median_ms(lambda: raw(start, way), repeats)
        rows.append({"case": name, "found": len(found), "ours_ms": ours, "raw_ms": theirs})
    return rows


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

    one_ms = median_ms(one)
    start = time.perf_counter()
    many()
    seconds = time.perf_counter() - start
    # a record is a node or a relation: per entity one node, generation, attribution and derivation
    return {"derivation_ms": one_ms, "bulk_records_per_s": 4 * 2000 / seconds}


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
    print(json.dumps({"nodes": nodes, "edges": written, "walks": measure_walks(cases), **measure_writing()}))


if __name__ == "__main__":
    main()
