"""Query parameters are checked like bodies: an unknown one is an error, not silence."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

_ALWAYS = frozenset({"cursor", "limit", "format"})


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter that refuses parameters it does not know, and NUL characters."""

    def filter_queryset(  # type: ignore[override]
        self, request: Request, queryset: QuerySet[Any], view: Any
    ) -> QuerySet[Any]:
        """Return the filtered rows; ValidationError (400) names an unknown parameter and the known ones."""
        known = set(_ALWAYS) | set(getattr(view, "extra_query_params", ()))
        filterset_class = self.get_filterset_class(view, queryset)
        if filterset_class is not None:
            known |= set(filterset_class.base_filters)
        for name, values in request.query_params.lists():
            if name not in known:
                raise ValidationError({name: [f"unknown query parameter; known: {', '.join(sorted(known))}"]})
            if any("\x00" in value for value in values):
                raise ValidationError({name: ["a NUL character is not admitted"]})
        return super().filter_queryset(request, queryset, view)
