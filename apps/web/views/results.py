"""Pages of numbers and tables."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render

from apps.core.models import Store
from apps.projects import access
from apps.projects.models import User
from apps.results import selectors as results
from apps.results import services
from apps.results.models import Property, Table
from apps.web import selectors
from apps.web.lineage import story_of
from apps.web.present import numbers, scale, sentences
from apps.web.views.base import account, button, page

logger = logging.getLogger(__name__)

_FIRST_ROWS = 100


def _shown(row: Property) -> dict[str, Any]:
    """Return the value in the form that fits it: a tensor, a list, or one number."""
    tail = {"unit": numbers.readable_unit(row.unit)}
    value: Any = row.value
    if numbers.is_tensor(value):
        tensor = numbers.tensor_rows(value, row.interval)
        principal = sentences.principal_values(value, row.interval)
        return tail | {"tensor": tensor, "axes": numbers.AXES, "principal": principal}
    if isinstance(row.value, list):
        resolution = numbers.list_resolution(row.value, row.interval)
        cells = [numbers.cell(row.value, row.interval, i, resolution=resolution) for i in range(len(row.value))]
        return tail | {"entries": list(zip(_names(row, len(cells)), cells, strict=True))}
    return tail | {"single": numbers.cell(row.value, row.interval)}


def _names(row: Property, count: int) -> list[str]:
    order: Sequence[Any] = row.facts.get("order") or row.facts.get("labels") or []
    if len(order) == count:
        return [f"label {name}" if isinstance(name, int) else str(name) for name in order]
    if row.job.plugin == "bulk.bounds" and count == 2:
        return ["lower", "upper"]
    return [f"label {place}" if row.name == "fractions" else str(place) for place in range(count)]


@page
def number(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One number: what it is, how sure it is, what it rests on, how it came to be."""
    user = account(request)
    row = selectors.one_number(user, pk)
    beside = selectors.siblings(row)
    same_volume = [item for item in beside if item.image_id == row.image_id]
    context = {
        "number": row,
        "meaning": sentences.meaning(row),
        "shown": _shown(row),
        "interval": sentences.interval_story(row.interval, moves_with_scale=row.scale_exponent != 0),
        "errors": sentences.error_rows(row),
        "verdict": sentences.verdict(row, _of_labels(row, beside)),
        "bounds": sentences.bounds_picture(row, same_volume),
        "dependence": scale.dependence(row),
        "carries_scale": scale.carries_scale(row),
        "scale_part": scale.relative_part(row),
        "spacing_sentence": scale.spacing_sentence(row.image),
        "assumed": scale.has_assumed_spacing(row.image),
        "beside": [(item, scale.effect(item.scale_exponent), sentences.meaning(item)) for item in [row, *beside]],
        "materials": selectors.material_values(row.job.params),
        "story": story_of(row, user),
        **_decisions(row, user),
    }
    return render(request, "web/number.html", context)


def _decisions(row: Property, user: User) -> dict[str, Any]:
    """Return what was decided about a number, and what the caller may decide."""
    state = results.review_status(row)
    manages = access.allowed(user, access.Action.MANAGE, row)
    reviews = access.allowed(user, access.Action.CONTRIBUTE, row) and row.job.created_by_id != user.pk
    return {
        "review_state": state,
        "review": results.last_review(row),
        "release": results.current_release(row),
        "may_review": reviews,
        "may_release": manages and state == "approved" and not getattr(row, "is_stale", False),
        "may_withdraw": manages and state == "released",
    }


@button("property")
def review(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Approve or reject a number that another person had made."""
    user, given = account(request), request.POST
    row = selectors.one_number(user, pk)
    services.review_result(actor=user, row=row, verdict=given.get("verdict", ""), comment=given.get("comment", ""))
    return "Your review was recorded.", pk


@button("property")
def release(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """Give an approved number out for use."""
    user = account(request)
    services.release_result(actor=user, row=selectors.one_number(user, pk), comment=request.POST.get("comment", ""))
    return "The number was released.", pk


@button("property")
def withdraw_release(request: HttpRequest, pk: uuid.UUID) -> tuple[str, uuid.UUID]:
    """End the release of a number."""
    user = account(request)
    services.withdraw_release(actor=user, row=selectors.one_number(user, pk), reason=request.POST.get("reason", ""))
    return "The release was withdrawn.", pk


def _of_labels(row: Property, beside: list[Property]) -> list[Property]:
    """Return the numbers of the same segmentation: a fraction stands beside what was computed from its labels."""
    if row.name == "fractions":
        return [item for item in beside if item.image is not None and item.image.job_id == row.job_id]
    return [item for item in beside if item.image_id == row.image_id]


def _columns(row: Table, rows: list[list[Any]]) -> list[dict[str, Any]]:
    """Return the columns, each with what the spacing does to it and whether it holds numbers."""
    first = rows[0] if rows else [None] * len(row.columns)
    return [
        column
        | {
            "title": numbers.column_title(column["name"]),
            "effect": scale.effect(column.get("scale_exponent")),
            "numeric": isinstance(entry, int | float),
        }
        for column, entry in zip(row.columns, first, strict=True)
    ]


@page
def table(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One table: its columns, and its first rows."""
    row = selectors.one_table(account(request), pk)
    rows, readable = _first_rows(row)
    context = {
        "table": row,
        "table_name": sentences.table_title(row.job.plugin, row.name),
        "columns": _columns(row, rows),
        "rows": rows,
        "readable": readable,
        "carries_scale": any(column.get("scale_exponent") for column in row.columns),
        "spacing_sentence": scale.spacing_sentence(row.image),
        "assumed": scale.has_assumed_spacing(row.image),
    }
    return render(request, "web/table.html", context)


def _first_rows(row: Table) -> tuple[list[list[Any]], bool]:
    """Return the first rows, and whether the bytes are there to be read."""
    if row.store.state != Store.State.READY:
        return [], False
    try:
        return results.read_rows(row, limit=_FIRST_ROWS), True
    except (OSError, ValueError):  # pyarrow's errors are of these two kinds
        logger.exception("table %s cannot be read", row.pk)
        return [], False


@page
def table_csv(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The whole table as CSV."""
    row = selectors.one_table(account(request), pk)
    if not _first_rows(row)[1]:
        raise Http404("the bytes of this table are not there")
    response = StreamingHttpResponse(results.iterate_csv(row), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{row.pk}.csv"'
    return response
