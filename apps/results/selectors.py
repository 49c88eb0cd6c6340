"""What can be read of results."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.db.models import QuerySet

from analyses.sdk.values import TABLE_FILE
from apps.core import storage
from apps.projects import access
from apps.results.models import Property, Table

_BATCH = 4096


def list_properties(user: access.Caller) -> QuerySet[Property]:
    """Properties the caller may see, with what their page needs."""
    return access.visible(Property.objects.select_related("job", "image"), user)


def list_tables(user: access.Caller) -> QuerySet[Table]:
    """Tables the caller may see."""
    return access.visible(Table.objects.select_related("job", "image", "store"), user)


def scale_dependents(ids: Collection[uuid.UUID], *, uniform: bool) -> set[uuid.UUID]:
    """Those of the ids that are properties or tables whose values move when the spacing changes.

    ``uniform``: the spacings of all axes change by one factor; else also what depends on their ratios moves.
    """
    rows = Property.objects.filter(pk__in=list(ids))
    moved = set(rows.exclude(scale_exponent=0).values_list("pk", flat=True))  # null too: not simply said, so it may
    if not uniform:
        moved |= set(rows.filter(depends_on_anisotropy=True).values_list("pk", flat=True))
    tables = Table.objects.filter(pk__in=list(ids)).only("pk", "columns")
    return moved | {table.pk for table in tables if any(column["scale_exponent"] for column in table.columns)}


def table_path(table: Table) -> Path:
    """Path of the table's Parquet file."""
    return storage.path(table.store.key) / TABLE_FILE


def read_rows(table: Table, *, limit: int | None = None) -> list[list[Any]]:
    """Return rows in the order of the columns, at most ``limit``."""
    rows: list[list[Any]] = []
    for batch in pq.ParquetFile(table_path(table)).iter_batches(batch_size=_BATCH):
        columns = [batch.column(position).to_pylist() for position in range(batch.num_columns)]
        rows.extend([list(row) for row in zip(*columns, strict=True)])
        if limit is not None and len(rows) >= limit:
            return rows[:limit]
    return rows


def iterate_csv(table: Table) -> Iterator[str]:
    """Yield the table as CSV text; the head names each column with its unit."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([f"{column['name']} [{column['unit']}]" for column in table.columns])
    for batch in pq.ParquetFile(table_path(table)).iter_batches(batch_size=_BATCH):
        writer.writerows(zip(*(batch.column(i).to_pylist() for i in range(batch.num_columns)), strict=True))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue()
