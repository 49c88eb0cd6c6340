"""REST of specimens."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog import selectors, services
from apps.catalog.api.base import RowViewSet
from apps.catalog.label import label_svg
from apps.catalog.models import Material, Specimen, State
from apps.core.api.filters import StrictBooleanFilter, TagFilter
from apps.core.api.pagination import CursorPagination
from apps.core.api.serializers import ObjectField, StrictModelSerializer, StrictSerializer
from apps.projects.models import Project


class SpecimenSerializer(StrictModelSerializer):
    """A specimen."""

    external_ids = ObjectField(read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    key_values = ObjectField(read_only=True)

    class Meta:
        model = Specimen
        fields = [
            "id",
            "project",
            "name",
            "description",
            "material",
            "parent",
            "current_state",
            "external_ids",
            "tags",
            "key_values",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class SpecimenWordsSerializer(StrictSerializer):
    """What is said of a specimen and can be said anew."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=20_000, allow_blank=True, required=False)
    external_ids = ObjectField(required=False, help_text="scheme -> id: igsn, notebook, customer")
    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False)
    key_values = ObjectField(required=False, help_text="key -> text, number, boolean or null")


class SpecimenInput(SpecimenWordsSerializer):
    """A new specimen."""

    project = serializers.UUIDField()
    material = serializers.UUIDField(required=False, allow_null=True)
    parent = serializers.UUIDField(required=False, allow_null=True)


class StateSerializer(StrictModelSerializer):
    """A state of a specimen, and the event that opened it; state 0 is as received."""

    opened_by = serializers.SerializerMethodField()

    class Meta:
        model = State
        fields = ["id", "specimen", "number", "label", "opened_by", "created_at"]
        read_only_fields = fields

    def get_opened_by(self, state: State) -> str | None:
        """Id of the event, null for state 0."""
        event = getattr(state, "opened_by", None)
        return str(event.pk) if event else None


class AncestorSerializer(serializers.Serializer[Any]):
    """A specimen on the way up to the root."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class TreeSerializer(serializers.Serializer[Any]):
    """A specimen with everything taken from it; each child has the same fields but the last two."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    parent = serializers.UUIDField(allow_null=True)
    material = serializers.UUIDField(allow_null=True)
    current_state = serializers.UUIDField(allow_null=True)
    children = serializers.ListField(child=serializers.DictField())
    ancestors = AncestorSerializer(many=True)
    truncated = serializers.BooleanField()


class SpecimenFilter(filters.FilterSet):
    """What a list of specimens can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    material = filters.UUIDFilter(field_name="material_id")
    parent = filters.UUIDFilter(field_name="parent_id")
    root = StrictBooleanFilter(field_name="parent", lookup_expr="isnull")
    name = filters.CharFilter(field_name="name")
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")
    tag = TagFilter(field_name="tags")


class StatePagination(CursorPagination):
    """States in their order."""

    ordering = ("number",)


@extend_schema_view(create=extend_schema(request=SpecimenInput, responses={201: SpecimenSerializer}))
class SpecimenViewSet(RowViewSet):
    """Specimens of the projects the caller sees."""

    serializer_class = SpecimenSerializer
    input_class = SpecimenInput
    queryset = Specimen.objects.all()
    filterset_class = SpecimenFilter
    references = {"project": Project, "material": Material, "parent": Specimen}

    def get_queryset(self) -> QuerySet[Specimen]:
        """Visible specimens."""
        return selectors.list_specimens(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Specimen:
        """Make a specimen with its state 0."""
        return services.create_specimen(actor=actor, **values)

    @extend_schema(request=SpecimenWordsSerializer(partial=True), responses={200: SpecimenSerializer})
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change name, description, tags, key-values or external ids; the former words stay in the record."""
        specimen = self.get_object()
        serializer = SpecimenWordsSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        services.update_specimen(actor=self.actor, specimen=specimen, **serializer.validated_data)
        return Response(self.represented(specimen))

    @extend_schema(operation_id="specimens_label_retrieve", responses={(200, "image/svg+xml"): OpenApiTypes.BINARY})
    def label(self, request: Request, pk: str) -> HttpResponse:
        """A label to print: name, short id, and a QR code with the specimen's address."""
        specimen = self.get_object()
        root = settings.CORR_BASE_URI
        uri = f"{root}{specimen.pk}" if root else request.build_absolute_uri(f"/specimens/{specimen.pk}/")
        drawn = label_svg(name=specimen.name, key=specimen.pk, uri=uri)
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
        return HttpResponse(drawn, content_type="image/svg+xml; charset=utf-8", headers=headers)

    @extend_schema(responses={200: TreeSerializer}, filters=False)
    @action(detail=True, methods=["get"], filterset_class=None)
    def tree(self, request: Request, pk: str) -> Response:
        """Everything taken from the specimen, nested, and its ancestors, root first."""
        return Response(TreeSerializer(selectors.specimen_tree(self.get_object())).data)

    @extend_schema(
        responses={200: StateSerializer(many=True)},
        filters=False,
        parameters=[OpenApiParameter("cursor", str), OpenApiParameter("limit", int)],
    )
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=StatePagination)
    def states(self, request: Request, pk: str) -> Response:
        """States of the specimen in their order, each with the event that opened it."""
        page = self.paginate_queryset(selectors.list_states(self.get_object()))
        return self.get_paginated_response(StateSerializer(page, many=True).data)
