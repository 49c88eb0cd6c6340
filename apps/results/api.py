"""REST of properties and tables."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict

from apps.core.api.serializers import StrictModelSerializer
from apps.core.api.views import ReadViewSet
from apps.core.errors import InvalidValueError
from apps.provenance import selectors as provenance
from apps.results import selectors
from apps.results.models import Property, Table

_FORMATS = ("json", "csv", "parquet")
_JSON_ROWS = 10_000


class StaleListSerializer(serializers.ListSerializer[Any]):
    """Asks once for the stale marks of all rows of a page."""

    def to_representation(self, data: Any) -> list[Any]:
        """Mark the rows, then represent them."""
        rows = list(data)
        if isinstance(self.child, StaleMixin):
            self.child.stale_ids = provenance.is_stale([row.pk for row in rows])
        return super().to_representation(rows)


class StaleMixin(serializers.ModelSerializer[Any]):
    """Adds ``stale``: something this rests on was withdrawn or superseded."""

    stale = serializers.SerializerMethodField()
    stale_ids: set[Any] | None = None

    def get_stale(self, row: Any) -> bool:
        """True if a stale mark names the row."""
        known = self.stale_ids if self.stale_ids is not None else provenance.is_stale([row.pk])
        return row.pk in known


class PropertySerializer(StaleMixin, StrictModelSerializer):
    """A number, list or tensor with unit, interval and errors."""

    interval = serializers.SerializerMethodField()

    class Meta:
        model = Property
        list_serializer_class = StaleListSerializer
        fields = [
            "id",
            "project",
            "name",
            "value",
            "unit",
            "interval",
            "error",
            "facts",
            "scale_exponent",
            "depends_on_anisotropy",
            "job",
            "image",
            "stale",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(
        {
            "type": ["object", "null"],
            "properties": {
                "low": {},
                "high": {},
                "level": {"type": ["number", "null"]},
                "contains": {"type": "array", "items": {"type": "string"}},
            },
        }
    )
    def get_interval(self, row: Property) -> dict[str, Any] | None:
        """Bounds elementwise, coverage level (null: a spread, no probability) and what they contain."""
        return row.interval


class TableSerializer(StaleMixin, StrictModelSerializer):
    """A table without its rows."""

    class Meta:
        model = Table
        list_serializer_class = StaleListSerializer
        fields = ["id", "project", "name", "columns", "rows", "job", "image", "stale", "created_at"]
        read_only_fields = fields


class TableDetailSerializer(TableSerializer):
    """A table with its rows, in the order of the columns."""

    data = serializers.ListField(child=serializers.ListField(), read_only=True)

    class Meta(TableSerializer.Meta):
        fields = [*TableSerializer.Meta.fields, "data"]
        read_only_fields = fields


class PropertyViewSet(ReadViewSet):
    """Properties."""

    serializer_class = PropertySerializer
    queryset = Property.objects.all()
    filterset_fields = ("project", "job", "image", "name")

    def get_queryset(self) -> QuerySet[Property]:
        """Visible properties."""
        return selectors.list_properties(self.request.user)


class TableViewSet(ReadViewSet):
    """Tables; detail as JSON, CSV or Parquet."""

    serializer_class = TableSerializer
    queryset = Table.objects.all()
    filterset_fields = ("project", "job", "image", "name")

    def get_queryset(self) -> QuerySet[Table]:
        """Visible tables."""
        return selectors.list_tables(self.request.user)

    @extend_schema(
        parameters=[OpenApiParameter("format", str, enum=_FORMATS, description="json by default")],
        responses={
            (200, "application/json"): TableDetailSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY,
        },
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """Answer with the table in the asked form."""
        table = self.get_object()
        form = request.query_params.get("format", "json")
        if form not in _FORMATS:
            raise InvalidValueError(f"{form!r} is no form of a table; forms are {', '.join(_FORMATS)}", field="format")
        if form == "csv":
            return StreamingHttpResponse(selectors.iterate_csv(table), content_type="text/csv; charset=utf-8")
        if form == "parquet":
            stream = selectors.table_path(table).open("rb")
            return FileResponse(stream, filename=f"{table.name}.parquet", content_type="application/vnd.apache.parquet")
        body: ReturnDict[str, Any] | dict[str, Any] = dict(self.get_serializer(table).data)
        return Response({**body, "data": selectors.read_rows(table, limit=_JSON_ROWS)})


ROUTES = [("properties", PropertyViewSet, "property"), ("tables", TableViewSet, "table")]
