"""What can be read of results."""

from __future__ import annotations

import csv
import io
import math
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.db.models import Q, QuerySet

from analyses.sdk.values import TABLE_FILE
from apps.core import storage
from apps.core.errors import ConflictError
from apps.imaging.models import Image
from apps.imaging.scale import long_axes, spacing_change
from apps.imaging.selectors import calibration_of, effective_spacing
from apps.projects import access
from apps.results import scale
from apps.results.models import Property, Release, ReleaseWithdrawal, Review, Table

_BATCH = 4096
MAX_SHARING = 200
_LOOKED_AT = 2000


def stores_of_project(project_id: uuid.UUID) -> list[QuerySet[Any, Any]]:
    """Ids of the stores that tables of a project use."""
    return [Table.objects.filter(project=project_id).values("store")]


_DECISIONS = ("reviews", "releases__withdrawal")


def list_properties(user: access.Caller) -> QuerySet[Property]:
    """Properties the caller may see, with what their page needs and what was decided about them."""
    rows = Property.objects.select_related("job", "image").prefetch_related(*_DECISIONS)
    return access.visible(rows, user)


def list_tables(user: access.Caller) -> QuerySet[Table]:
    """Tables the caller may see, with what was decided about them."""
    rows = Table.objects.select_related("job", "image", "store").prefetch_related(*_DECISIONS)
    return access.visible(rows, user)


def withdrawal_of(release: Release) -> ReleaseWithdrawal | None:
    """The end of a release, None where it stands."""
    return getattr(release, "withdrawal", None)


def last_review(row: Property | Table) -> Review | None:
    """The review that counts."""
    return next(iter(row.reviews.all()), None)  # all(): newest first, and no statement where they were prefetched


def current_release(row: Property | Table) -> Release | None:
    """The release that stands, None where there is none."""
    return next((release for release in row.releases.all() if withdrawal_of(release) is None), None)


REVIEW_STATUSES = ("unreviewed", "approved", "rejected", "released", "withdrawn")


def review_status(row: Property | Table) -> str:
    """One of ``REVIEW_STATUSES``: where a result stands."""
    if current_release(row) is not None:
        return "released"
    review = last_review(row)
    ends = [end.created_at for release in row.releases.all() if (end := withdrawal_of(release)) is not None]
    if ends and (review is None or max(ends) >= review.created_at):
        return "withdrawn"
    return str(review.verdict) if review is not None else "unreviewed"


def scale_dependents(ids: Collection[uuid.UUID], *, spacing: Mapping[str, Any]) -> set[uuid.UUID]:
    """Those of the ids that are properties or tables whose values would be others under ``spacing``.

    Each is judged by the spacing of the image it was computed from: equal, nothing moves; changed by one factor, what
    carries a length moves; changed by different factors, what depends on their ratios moves too.
    """
    moved: set[uuid.UUID] = set()
    for row in Property.objects.filter(pk__in=list(ids)).select_related("image__calibration"):
        if _moves(row.image, spacing, row.scale_exponent, row.depends_on_anisotropy):
            moved.add(row.pk)
    for table in Table.objects.filter(pk__in=list(ids)).select_related("image__calibration"):
        # tables of earlier versions do not say whether they depend on the ratios of the spacings
        said = ((c.get("scale_exponent", 0), c.get("depends_on_anisotropy", False)) for c in table.columns)
        if any(_moves(table.image, spacing, *column) for column in said):
            moved.add(table.pk)
    return moved


def _moves(image: Image | None, spacing: Mapping[str, Any], exponent: int | None, ratios: bool) -> bool:
    if image is None:
        return exponent != 0
    change = spacing_change(image.axes, image.shape, effective_spacing(image), spacing)
    return change != "none" and (exponent != 0 or (change == "unequal" and ratios))


def scale_sources(image: Image) -> list[scale.ScaleSource] | None:
    """The sources of error of an image's scale; None where its uncertainty is not stated along one of its axes.

    The spacing is shared by all images in one nominal frame; the factor by all images under the calibration.
    """
    calibration = image.calibration
    axes = calibration.axes if calibration is not None else ""
    nominal = scale.relative_scale_uncertainty(image.spacing, image.axes, image.shape, calibrated=axes)
    if nominal is None:
        return None
    found = []
    if nominal > 0:
        found.append(scale.ScaleSource("spacing", str(image.frame_id), nominal))
    if calibration is not None and calibration.u_factor > 0 and set(long_axes(image.axes, image.shape)) & set(axes):
        found.append(scale.ScaleSource("calibration", str(calibration.pk), calibration.u_factor / calibration.factor))
    return found


def describe_scale(
    image: Image | None, sources: Sequence[scale.ScaleSource] | None, exponent: int | None, *, ratios: bool
) -> dict[str, Any]:
    """What a number says of the scale it rests on.

    Returns
    -------
    dict
        ``carried``: true where the value moves with the spacing, false where it does not, null where that is not
        simply so; ``ratios``: true where unequal changes per axis would move it; where it carries the scale or its
        ratios, ``sources`` (``{kind, id, u_relative}``; null: not stated) and ``calibration`` (``id``, ``version``,
        ``axes``, ``flags``, ``notes`` when the number was computed; null: none).
    """
    carried = None if exponent is None else exponent != 0
    said: dict[str, Any] = {"carried": carried, "ratios": ratios}
    if carried is False and not ratios:
        return said
    under = calibration_of(image) if image is not None else None
    kept = ("version", "axes", "flags", "notes")
    return said | {
        "sources": None if sources is None else [vars(source) for source in sources],
        "calibration": {"id": str(under["id"]), **{name: under[name] for name in kept}} if under else None,
    }


def _single_number(row: Property) -> float:
    value: Any = row.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConflictError(f"property {row.pk} is no single number")
    return float(value)


def joint_scale_covariance(rows: Sequence[Property]) -> list[list[float]]:
    """Return the covariance that the scale gives to several numbers, in the order of the rows.

    Parameters
    ----------
    rows : sequence of Property
        Single numbers whose dependence on the scale is known; one that carries no scale has a row of zeros.

    Raises
    ------
    ConflictError
        A value that is no single number, that moves with the spacing in no simple way, or whose scale states no
        uncertainty.
    """
    values = [_single_number(row) for row in rows]
    for row in rows:
        if row.scale_exponent is None:
            raise ConflictError(f"property {row.pk} moves with the spacing in a way that no power describes")
        if row.scale_exponent and row.facts.get("scale", {}).get("sources") is None:
            raise ConflictError(f"the scale of property {row.pk} states no uncertainty")
    found = scale.scale_covariance(
        values,
        [row.scale_exponent or 0 for row in rows],
        [[scale.ScaleSource(**one) for one in row.facts.get("scale", {}).get("sources") or ()] for row in rows],
    )
    return [[float(number) for number in line] for line in found]


def _sources_of(row: Property) -> set[tuple[str, str]]:
    """What a number says its scale's error comes from; empty where it says nothing or is no single number."""
    single = isinstance(row.value, int | float) and not isinstance(row.value, bool)
    if not single or not row.scale_exponent:
        return set()
    return {(one["kind"], one["id"]) for one in row.facts.get("scale", {}).get("sources") or ()}


def numbers_sharing_scale(row: Property, user: access.Caller) -> list[dict[str, Any]]:
    """Return the numbers whose scale has a source of error in common with that of ``row``, as far as visible.

    Returns
    -------
    list of dict
        At most ``MAX_SHARING``, newest first: ``property`` (the row), ``covariance`` (in the product of both units) and
        ``correlation`` of what the scale gives to both, -1 to 1; single numbers alone.
    """
    own = _sources_of(row)
    if not own or row.image is None:
        return []
    near = Q(image__frame=row.image.frame_id)
    if row.image.calibration_id is not None:
        near |= Q(image__calibration=row.image.calibration_id)
    rows = list_properties(user).filter(near).exclude(pk=row.pk).exclude(scale_exponent=0)
    sharing = [other for other in rows[:_LOOKED_AT] if _sources_of(other) & own][:MAX_SHARING]
    covariance = joint_scale_covariance([row, *sharing])
    found = []
    for number, other in enumerate(sharing, 1):
        both = math.sqrt(covariance[0][0] * covariance[number][number])
        shared = covariance[0][number]
        found.append({"property": other, "covariance": shared, "correlation": shared / both if both else 0.0})
    return found


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
    writer.writerow([f"{c['name']} [{c['unit']}]" if c["unit"] else c["name"] for c in table.columns])
    for batch in pq.ParquetFile(table_path(table)).iter_batches(batch_size=_BATCH):
        writer.writerows(zip(*(batch.column(i).to_pylist() for i in range(batch.num_columns)), strict=True))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue()
