"""Lists are cursor-paged: stable while rows are added."""

from rest_framework.pagination import CursorPagination as BaseCursorPagination


class CursorPagination(BaseCursorPagination):
    """``{"results": [...], "next": url|null, "previous": url|null}``, newest first."""

    page_size = 50
    max_page_size = 500
    page_size_query_param = "limit"
    ordering = ("-created_at", "id")
