"""The boxes of regions in a tree, so that a place among hundreds of thousands is found without reading them all.

SQLite: a virtual table of the R*Tree module, kept by triggers on the regions.  It holds single precision, rounded
outwards, so it gives candidates; the exact box decides.  PostgreSQL: one GiST index over two values of type ``box``.
Both hold four dimensions, x, y, z and a number made of the frame's id, and need no extension.

The index is put in place by a migration and again after every ``migrate``: SQLite drops the triggers with the table
when it remakes it.  ``findings`` says where index and regions disagree.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db.backends.base.base import BaseDatabaseWrapper

Floats = npt.NDArray[np.float64]

TREE: Final = "spatial_roi_tree"
GIST: Final = "spatial_roi_gist"
_SHOWN: Final = 20  # findings of one kind
_TRIGGERS: Final = ("insert", "update", "delete")
_COLUMNS: Final = "frame_id, x_min, x_max, y_min, y_max, z_min, z_max"
# The first six digits of the frame's id as a number: single precision holds 24 bits exactly.
_KEY_OF: Final = " + ".join(
    f"(instr('123456789abcdef', substr({{frame}}, {place + 1}, 1)) * {16 ** (5 - place)})" for place in range(6)
)
_BOXES: Final = (
    "box(point(r.x_min, r.y_min), point(r.x_max, r.y_max)) && box(point({0}, {2}), point({1}, {3}))"
    " AND box(point(r.z_min, uuid_hash(r.frame_id)), point(r.z_max, uuid_hash(r.frame_id)))"
    " && box(point({4}, uuid_hash(q.frame)), point({5}, uuid_hash(q.frame)))"
)
_CURRENT: Final = "NOT EXISTS (SELECT 1 FROM spatial_roi n WHERE n.supersedes_id = r.id)"
# One wide along the frame: in a tree of boxes without any extent there all volumes are 0, and it is no tree.
_INSERT: Final = (
    f"INSERT INTO {TREE} SELECT NULL, {{key}}, {{key}} + 1, {{row}}x_min, {{row}}x_max, {{row}}y_min, {{row}}y_max,"
    " {row}z_min, {row}z_max, {row}id"
)


def _insert(row: str) -> str:
    return _INSERT.format(key=_KEY_OF.format(frame=f"{row}frame_id"), row=row)


def _sqlite_triggers() -> dict[str, str]:
    """Name -> CREATE statement."""
    key = _KEY_OF.format(frame="OLD.frame_id")
    # roi alone is not indexed; the tree's box holds the region's, but for numbers that single precision takes for 0
    near = " AND ".join(f"{x}_min <= OLD.{x}_min + 1e-30 AND {x}_max >= OLD.{x}_max - 1e-30" for x in "xyz")
    remove = f"DELETE FROM {TREE} WHERE frame_min <= {key} AND frame_max >= {key} AND {near} AND roi = OLD.id;"  # noqa: S608
    bodies = {
        "insert": ("INSERT", f"{_insert('NEW.')};"),
        "update": (f"UPDATE OF id, {_COLUMNS}", f"{remove} {_insert('NEW.')};"),
        "delete": ("DELETE", remove),
    }
    return {
        f"{TREE}_{what}": f"CREATE TRIGGER {TREE}_{what} AFTER {event} ON spatial_roi FOR EACH ROW BEGIN {body} END"
        for what, (event, body) in bodies.items()
    }


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the index in place; on SQLite its triggers anew, and its rows anew where they disagree with the regions."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"CREATE INDEX IF NOT EXISTS {GIST} ON spatial_roi USING gist ("
                "box(point(x_min, y_min), point(x_max, y_max)),"
                " box(point(z_min, uuid_hash(frame_id)), point(z_max, uuid_hash(frame_id))))"
            )
            return
        cursor.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {TREE} USING rtree("
            "id, frame_min, frame_max, x_min, x_max, y_min, y_max, z_min, z_max, +roi)"
        )
        for name, create in _sqlite_triggers().items():
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            cursor.execute(create)
    if any(findings(connection)):
        rebuild(connection)


def rebuild(connection: BaseDatabaseWrapper) -> None:
    """Make the index anew from the regions."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP INDEX IF EXISTS {GIST}")
        else:
            cursor.execute(f"DELETE FROM {TREE}")  # noqa: S608 - a constant of this module
            cursor.execute(f"{_insert('r.')} FROM spatial_roi r")
            return
    install(connection)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the index away: for undoing the migration."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP INDEX IF EXISTS {GIST}")
            return
        for name in _sqlite_triggers():
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        cursor.execute(f"DROP TABLE IF EXISTS {TREE}")


def rois_in(
    connection: BaseDatabaseWrapper, boxes: Mapping[uuid.UUID, tuple[Floats, Floats]], *, limit: int
) -> list[uuid.UUID]:
    """Return the current regions whose box meets the box asked for in their frame; one query.

    Parameters
    ----------
    connection
        Of the database with the regions.
    boxes : mapping of UUID to (low, high)
        Frame -> opposite corners, (x, y, z), um.
    limit : int
        Most regions to return.
    """
    if not boxes:
        return []
    asked = [[frame, *np.stack([low, high], axis=1).ravel().tolist()] for frame, (low, high) in boxes.items()]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            query, values = _ask_postgres(asked, limit)
        else:
            query, values = _ask_sqlite(asked, limit)
        cursor.execute(query, values)
        return [uuid.UUID(str(row[0])) for row in cursor.fetchall()]


def _ask_postgres(asked: list[list[Any]], limit: int) -> tuple[str, list[Any]]:
    columns = [list(column) for column in zip(*asked, strict=True)]
    names = [f"q.v{index}" for index in range(6)]
    query = (
        "SELECT r.id FROM unnest(%s::uuid[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], %s::float8[],"  # noqa: S608
        f" %s::float8[]) AS q(frame, {', '.join(name[2:] for name in names)})"
        f" JOIN spatial_roi r ON {_BOXES.format(*names)} AND r.frame_id = q.frame WHERE {_CURRENT} LIMIT %s"
    )
    return query, [*columns, limit]


def _ask_sqlite(asked: list[list[Any]], limit: int) -> tuple[str, list[Any]]:
    rows = [[int(frame.hex[:6], 16), frame.hex, *numbers] for frame, *numbers in asked if isinstance(frame, uuid.UUID)]
    value = [f"json_extract(q.value, '$[{index}]')" for index in range(8)]
    exact = " AND ".join(
        f"r.{axis}_min <= {value[2 * place + 3]} AND r.{axis}_max >= {value[2 * place + 2]}"
        for place, axis in enumerate("xyz")
    )
    # CROSS JOIN keeps the order: first what is asked, then the tree, then the rows
    near = exact.replace("r.", "t.")
    query = (
        f"SELECT r.id FROM json_each(%s) q CROSS JOIN {TREE} t ON t.frame_min <= {value[0]}"  # noqa: S608
        f" AND t.frame_max >= {value[0]} AND {near}"
        f" CROSS JOIN spatial_roi r ON r.id = t.roi AND r.frame_id = {value[1]} AND {exact} AND {_CURRENT} LIMIT %s"
    )
    return query, [json.dumps(rows), limit]


def findings(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """One line for each way in which the index and the regions disagree (for ``fsck``)."""
    yield from _findings_postgres(connection) if connection.vendor == "postgresql" else _findings_sqlite(connection)


def _findings_postgres(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """PostgreSQL keeps an index true by itself, if it is there and was built to its end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = %s", [GIST]
        )
        row = cursor.fetchone()
    if row is None:
        yield f"the index {GIST} of the regions' boxes is missing"
    elif not row[0]:
        yield f"the index {GIST} of the regions' boxes is not valid"


def _findings_sqlite(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE name LIKE %s", [f"{TREE}%"])
        present = dict(cursor.fetchall())
    if TREE not in present:
        yield f"the tree {TREE} of the regions' boxes is missing"
        return
    for name, create in _sqlite_triggers().items():
        if " ".join((present.get(name) or "").split()) != " ".join(create.split()):
            yield f"trigger missing: {name}"
    yield from _rows_apart(connection)


def _rows_apart(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """The tree rounds outwards: a box that does not hold the region's own is one of something else."""
    key = _KEY_OF.format(frame="r.frame_id")
    outside = " OR ".join(f"t.{axis}_min > r.{axis}_min OR t.{axis}_max < r.{axis}_max" for axis in "xyz")
    asked = {
        "region {} is not in the tree of boxes": (
            f"SELECT id FROM spatial_roi WHERE id NOT IN (SELECT roi FROM {TREE}) LIMIT {_SHOWN}"  # noqa: S608
        ),
        "the tree of boxes holds {}, which is no region": (
            f"SELECT roi FROM {TREE} WHERE roi NOT IN (SELECT id FROM spatial_roi) LIMIT {_SHOWN}"  # noqa: S608
        ),
        "the tree of boxes holds region {} more than once": (
            f"SELECT roi FROM {TREE} GROUP BY roi HAVING count(*) > 1 LIMIT {_SHOWN}"  # noqa: S608
        ),
        "the box of region {} in the tree is not its own": (
            f"SELECT r.id FROM {TREE} t JOIN spatial_roi r ON r.id = t.roi"  # noqa: S608
            f" WHERE t.frame_min <> {key} OR {outside} LIMIT {_SHOWN}"
        ),
    }
    with connection.cursor() as cursor:
        for words, query in asked.items():
            cursor.execute(query)
            yield from (words.format(uuid.UUID(str(row[0]))) for row in cursor.fetchall())
