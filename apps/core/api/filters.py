"""Query parameters are checked like bodies: an unknown one is an error, not silence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.db.models import BooleanField, F, ForeignKey, Func, OneToOneField, QuerySet, TextField, Value
from django_filters.rest_framework import BooleanFilter, CharFilter, DjangoFilterBackend, FilterSet, UUIDFilter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

_ALWAYS = frozenset({"format"})
_PAGED = frozenset({"cursor", "limit"})


def check_query(request: Request, known: Iterable[str] = ()) -> None:
    """Raise ValidationError (400) for a query parameter that is not among the known ones, or holds a NUL character."""
    names = sorted(known)
    for name, values in request.query_params.lists():
        if name not in names:
            raise ValidationError({name: [f"unknown query parameter; known: {', '.join(names) or 'none'}"]})
        if any("\x00" in value for value in values):
            raise ValidationError({name: ["a NUL character is not admitted"]})


class StrictBooleanField(forms.NullBooleanField):
    """``true``, ``false``, ``1`` or ``0`` in any case; absent or empty is no condition."""

    widget = forms.TextInput

    def to_python(self, value: Any) -> bool | None:  # type: ignore[override]  # the stubs forget the null
        """The truth value; forms.ValidationError for anything else."""
        if value in (None, ""):
            return None
        known = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if known is None:
            raise forms.ValidationError(f"{str(value)[:40]!r} is neither true nor false")
        return known


class StrictBooleanFilter(BooleanFilter):
    """A truth value; what is none is refused, where django-filter's own leaves the list as it is."""

    field_class = StrictBooleanField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"widget": forms.TextInput, **kwargs})


class HasTag(Func):
    """True where a JSON list holds a text.  ``contains`` of JSON is not known to SQLite."""

    output_field = BooleanField()
    arity = 2

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """One of the list's values is the text."""
        template = "EXISTS (SELECT 1 FROM json_each(%(expressions)s))"
        return super().as_sql(
            compiler, connection, template=template, arg_joiner=") WHERE json_each.value = (", **extra
        )

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """The list contains the list of the text alone."""
        template = "(%(expressions)s))"
        joiner = " @> jsonb_build_array("
        return super().as_sql(compiler, connection, template=template, arg_joiner=joiner, **extra)


class TagFilter(CharFilter):
    """Rows with a tag, spelled as given; several are asked for by several lists."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Narrow the rows; an empty tag is no condition."""
        if not value:
            return qs
        return qs.filter(HasTag(F(str(self.field_name)), Value(value, output_field=TextField())))


class StrictFilterSet(FilterSet):
    """References are filtered by id alone: whether a row that one may not see exists does not show in the answer."""

    FILTER_DEFAULTS: ClassVar[dict[Any, Any]] = {
        **FilterSet.FILTER_DEFAULTS,
        ForeignKey: {"filter_class": UUIDFilter},
        OneToOneField: {"filter_class": UUIDFilter},
    }


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter that refuses parameters it does not know, and NUL characters."""

    filterset_base = StrictFilterSet

    def filter_queryset(  # type: ignore[override]
        self, request: Request, queryset: QuerySet[Any], view: Any
    ) -> QuerySet[Any]:
        """Return the filtered rows; ValidationError (400) names an unknown parameter and the known ones."""
        known = set(_ALWAYS) | set(getattr(view, "extra_query_params", ()))
        if getattr(view, "pagination_class", None) is not None:
            known |= _PAGED
        filterset_class = self.get_filterset_class(view, queryset)
        if filterset_class is not None:
            known |= set(filterset_class.base_filters)
        check_query(request, known)
        return super().filter_queryset(request, queryset, view)
