"""Base of the REST views: rows seen through the caller's eyes, writes by services."""

from __future__ import annotations

from rest_framework import mixins, viewsets

UUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class ReadViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):  # type: ignore[type-arg]
    """List and detail of what ``get_queryset`` lets the caller see."""

    lookup_value_regex = UUID_PATTERN
