"""Base of the REST views: rows seen through the caller's eyes, writes by services."""

from __future__ import annotations

from typing import Any

from rest_framework import mixins, viewsets
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from apps.core.api.filters import check_query

UUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class ReadViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):  # type: ignore[type-arg]
    """List and detail of what ``get_queryset`` lets the caller see."""

    lookup_value_regex = UUID_PATTERN
    write_query_params: tuple[str, ...] = ()
    """Query parameters that a writing call knows; reading ones are the filter's."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the caller, then the query parameters of a writing call."""
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS:
            check_query(request, self.write_query_params)
