"""What can be read of results."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.db.models import QuerySet

from analyses.sdk.values import TABLE_FILE
from apps.core import storage
from apps.imaging.models import Image
from apps.imaging.scale import spacing_change
from apps.projects import access
from apps.results.models import Property, Table

_BATCH = 4096


def list_properties(user: access.Caller) -> QuerySet[Property]:
    """Properties the caller may see, with what their page needs."""
    return access.visible(Property.objects.select_related("job", "image"), user)


def list_tables(user: access.Caller) -> QuerySet[Table]:
    """Tables the caller may see."""
    return access.visible(Table.objects.select_related("job", "image", "store"), user)


def scale_dependents(ids: Collection[uuid.UUID], *, spacing: Mapping[str, Any]) -> set[uuid.UUID]:
    """Those of the ids that are properties or tables whose values would be others under ``spacing``.

    Each is judged by the spacing of the image it was computed from: equal, nothing moves; changed by one factor, what
    carries a length moves; changed by different factors, what depends on their ratios moves too.
    """
    moved: set[uuid.UUID] = set()
    for row in Property.objects.filter(pk__in=list(ids)).select_related("image"):
        if _moves(row.image, spacing, row.scale_exponent, row.depends_on_anisotropy):
            moved.add(row.pk)
    for table in Table.objects.filter(pk__in=list(ids)).select_related("image"):
        # tables of earlier versions do not say whether they depend on the ratios of the spacings
        said = ((c.get("scale_exponent", 0), c.get("depends_on_anisotropy", False)) for c in table.columns)
        if any(_moves(table.image, spacing, *column) for column in said):
            moved.add(table.pk)
    return moved


def _moves(image: Image | None, spacing: Mapping[str, Any], exponent: int | None, ratios: bool) -> bool:
    if image is None:
        return exponent != 0
    change = spacing_change(image.axes, image.shape, image.spacing, spacing)
    return change != "none" and (exponent != 0 or (change == "unequal" and ratios))


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
