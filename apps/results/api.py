"""REST of properties and tables."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiTypes,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
)
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict

from apps.core.api.serializers import StrictModelSerializer, StrictSerializer
from apps.core.api.views import ReadViewSet
from apps.core.errors import InvalidValueError
from apps.projects import access
from apps.provenance import selectors as provenance
from apps.results import selectors, services
from apps.results.models import Property, Release, ReleaseWithdrawal, Review, Table

_FORMATS = ("json", "csv", "parquet")
_JSON_ROWS = 10_000
DECIDED = ("review_status", "reviews", "releases")


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


class ReviewSerializer(StrictModelSerializer):
    """What a second person found."""

    class Meta:
        model = Review
        fields = ["id", "verdict", "comment", "reviewed_by", "created_at"]
        read_only_fields = fields


class ReleaseWithdrawalSerializer(StrictModelSerializer):
    """The end of a release."""

    class Meta:
        model = ReleaseWithdrawal
        fields = ["reason", "withdrawn_by", "created_at"]
        read_only_fields = fields


class ReleaseSerializer(StrictModelSerializer):
    """A release, and its end where it ended."""

    withdrawal = serializers.SerializerMethodField()

    class Meta:
        model = Release
        fields = ["id", "review", "comment", "released_by", "created_at", "withdrawal"]
        read_only_fields = fields

    @extend_schema_field(ReleaseWithdrawalSerializer(allow_null=True))
    def get_withdrawal(self, row: Release) -> Any:
        """By whom and why; null while it stands."""
        end = selectors.withdrawal_of(row)
        return ReleaseWithdrawalSerializer(end).data if end is not None else None


class DecidedMixin(serializers.ModelSerializer[Any]):
    """Adds what people decided about a result."""

    review_status = serializers.SerializerMethodField()
    reviews = ReviewSerializer(many=True, read_only=True)
    releases = ReleaseSerializer(many=True, read_only=True)

    @extend_schema_field(serializers.ChoiceField(choices=selectors.REVIEW_STATUSES))
    def get_review_status(self, row: Any) -> str:
        """Where the result stands; a withdrawn release needs a new review."""
        return selectors.review_status(row)


class ReviewInput(StrictSerializer):
    """A verdict; a rejection needs a comment."""

    verdict = serializers.ChoiceField(choices=Review.Verdict.choices)
    comment = serializers.CharField(max_length=20_000, required=False, allow_blank=True)


class ReleaseInput(StrictSerializer):
    """A release."""

    comment = serializers.CharField(max_length=20_000, required=False, allow_blank=True)


class WithdrawReleaseInput(StrictSerializer):
    """Why a release ends."""

    reason = serializers.CharField(max_length=20_000)


class PropertySerializer(DecidedMixin, StaleMixin, StrictModelSerializer):
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
            *DECIDED,
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


class SharingSerializer(serializers.Serializer[Any]):
    """A number whose scale has an error in common with another's."""

    property = serializers.UUIDField(source="property.pk")
    name = serializers.CharField(source="property.name")
    unit = serializers.CharField(source="property.unit")
    covariance = serializers.FloatField(help_text="that the scale gives to both, in the product of their units")
    correlation = serializers.FloatField(help_text="of what the scale gives to both, -1 to 1")


class SharingListSerializer(serializers.Serializer[Any]):
    """Numbers whose scale errs together with that of another."""

    results = SharingSerializer(many=True)


class TableSerializer(DecidedMixin, StaleMixin, StrictModelSerializer):
    """A table without its rows."""

    class Meta:
        model = Table
        list_serializer_class = StaleListSerializer
        fields = [
            "id",
            "project",
            "name",
            "columns",
            "rows",
            "job",
            "image",
            "outside_activity",
            "stale",
            *DECIDED,
            "created_at",
        ]
        read_only_fields = fields


class TableDetailSerializer(TableSerializer):
    """A table with its rows, in the order of the columns."""

    data = serializers.ListField(child=serializers.ListField(), read_only=True)

    class Meta(TableSerializer.Meta):
        fields = [*TableSerializer.Meta.fields, "data"]
        read_only_fields = fields


class DecisionViewSet(ReadViewSet):
    """Results, with the calls that review and release them."""

    def _decided(self, row: Any, code: int) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        return Response(self.get_serializer(fresh).data, status=code)

    @action(detail=True, methods=["post"])
    def review(self, request: Request, pk: str) -> Response:
        """Approve or reject it, as a person who did not submit its job."""
        row = self.get_object()
        serializer = ReviewInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.review_result(actor=access.account_of(request.user), row=row, **serializer.validated_data)
        return self._decided(row, status.HTTP_201_CREATED)

    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Release it (manager): it was approved, and is not stale."""
        row = self.get_object()
        serializer = ReleaseInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.release_result(actor=access.account_of(request.user), row=row, **serializer.validated_data)
        return self._decided(row, status.HTTP_201_CREATED)

    @action(detail=True, methods=["post"], url_path="withdraw-release")
    def withdraw_release(self, request: Request, pk: str) -> Response:
        """End its release, with the reason (manager)."""
        row = self.get_object()
        serializer = WithdrawReleaseInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        services.withdraw_release(actor=access.account_of(request.user), row=row, **serializer.validated_data)
        return self._decided(row, status.HTTP_200_OK)


def _described(serializer: Any) -> Any:
    """Describe the deciding calls, which answer with the result."""
    return extend_schema_view(
        review=extend_schema(request=ReviewInput, responses={201: serializer}),
        release=extend_schema(request=ReleaseInput, responses={201: serializer}),
        withdraw_release=extend_schema(request=WithdrawReleaseInput, responses={200: serializer}),
    )


@_described(PropertySerializer)
class PropertyViewSet(DecisionViewSet):
    """Properties."""

    serializer_class = PropertySerializer
    queryset = Property.objects.all()
    filterset_fields = ("project", "job", "image", "name")

    def get_queryset(self) -> QuerySet[Property]:
        """Visible properties."""
        return selectors.list_properties(self.request.user)

    @extend_schema(responses={200: SharingListSerializer}, filters=False)
    @action(detail=True, methods=["get"], url_path="shared-scale", filterset_fields=(), pagination_class=None)
    def shared_scale(self, request: Request, pk: str) -> Response:
        """Numbers whose scale errs together with this one's: their errors do not average away."""
        found = selectors.numbers_sharing_scale(self.get_object(), request.user)
        return Response({"results": SharingSerializer(found, many=True).data})


@_described(TableSerializer)
class TableViewSet(DecisionViewSet):
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
