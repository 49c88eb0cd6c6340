"""Synthetic studies as rows: each a chain of steps with two inputs, an actor from a small circle, and derivations.

One step is an entity and its activity with 7 edges; a study of 28 steps has 54 ancestors above its last result but one.
Rows go in without events: only the graph is measured.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import islice

from django.db import connection, transaction

from apps.provenance.relations import Relation

STEPS = 28
AGENTS = 20
EDGES_PER_STEP = 7
_NAMESPACE = uuid.UUID("5d4a6c1e-8f0b-4c55-9b5e-6f1f4f0d9a21")


def entity(study: int, step: int) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"entity {study} {step}")


def activity(study: int, step: int) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"activity {study} {step}")


def agent(number: int) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, f"agent {number}")


def _study(study: int, steps: int) -> Iterator[tuple[str, uuid.UUID, uuid.UUID]]:
    actor = agent(study % AGENTS)
    for step in range(steps):
        made, act = entity(study, step), activity(study, step)
        yield Relation.WAS_GENERATED_BY.value, made, act
        yield Relation.WAS_ATTRIBUTED_TO.value, made, actor
        yield Relation.WAS_ASSOCIATED_WITH.value, act, actor
        for back in (1, 2):
            if step >= back:
                yield Relation.USED.value, act, entity(study, step - back)
                yield Relation.WAS_DERIVED_FROM.value, made, entity(study, step - back)


def _plan(edges: int, deep: int) -> list[tuple[int, int]]:
    """Return (study, steps): one deep chain, then studies of 28 steps until there are so many edges."""
    per_study = EDGES_PER_STEP * STEPS - 6
    studies = max(1, (edges - EDGES_PER_STEP * deep) // per_study)
    return [(0, deep), *((number, STEPS) for number in range(1, studies + 1))]


def _nodes(plan: list[tuple[int, int]]) -> Iterator[tuple[uuid.UUID, str, str]]:
    for number in range(AGENTS):
        yield agent(number), "agent", "prov:Person"
    for study, steps in plan:
        for step in range(steps):
            yield entity(study, step), "entity", "corr:Image"
            yield activity(study, step), "activity", "corr:Act"


def fill(edges: int, deep: int) -> tuple[int, int, int]:
    """Write the rows and return (nodes, edges, number of the last study)."""
    plan = _plan(edges, deep)
    edge_columns = ("relation", "subject_id", "object_id", "role", "seq")
    said = ((*edge, "", 1) for study, steps in plan for edge in _study(study, steps))
    with transaction.atomic():
        rows = ((*row, "{}", 1) for row in _nodes(plan))
        nodes = _insert("provenance_node", ("id", "kind", "type", "attributes", "seq"), rows)
        written = _insert("provenance_edge", edge_columns, said)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return nodes, written, plan[-1][0]


def _insert(table: str, columns: tuple[str, ...], rows: Iterator[tuple]) -> int:
    names, count = ", ".join(columns), 0
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
                    count += 1
            return count
        marks = ", ".join(["%s"] * len(columns))
        while chunk := list(islice(rows, 20_000)):
            plain = [tuple(value.hex if isinstance(value, uuid.UUID) else value for value in row) for row in chunk]
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", plain)
            count += len(chunk)
    return count
