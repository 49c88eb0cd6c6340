"""Lists are cursor-paged: stable while rows are added."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination as BaseCursorPagination
from rest_framework.request import Request


class CursorPagination(BaseCursorPagination):
    """``{"results": [...], "next": url|null, "previous": url|null}``, newest first."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    ordering = ("-created_at", "id")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """Return a page; a cursor that no answer gave is a 404, whatever it decodes to."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (DjangoValidationError, DataError, ValueError, TypeError, OverflowError) as error:
            raise NotFound(self.invalid_cursor_message) from error

    def get_page_size(self, request: Request) -> int | None:
        """Return how many rows a page has; ``limit`` is a whole number from 1, cut to the largest page."""
        given = request.query_params.get(self.page_size_query_param)
        if given is not None and not (given.isascii() and given.isdigit() and 0 < len(given) < 10 and int(given)):
            raise ValidationError({self.page_size_query_param: [f"{given[:20]!r} is no whole number from 1"]})
        return super().get_page_size(request)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page in the words of OpenAPI 3.1, where what may be null says so in its type."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }
