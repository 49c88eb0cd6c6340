"""What can be read of results."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.db.models import QuerySet

from analyses.runner import TABLE_FILE
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
