"""REST of materials."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog import selectors, services
from apps.catalog.api.base import RowViewSet
from apps.catalog.models import Material, MaterialProperty
from apps.core.api.serializers import FiniteFloatField, StrictModelSerializer, StrictSerializer


class MaterialPropertySerializer(StrictModelSerializer):
    """A value of a material; one that was superseded names its successor."""

    superseded_by = serializers.SerializerMethodField()

    class Meta:
        model = MaterialProperty
        fields = [
            "id",
            "material",
            "quantity",
            "value",
            "unit",
            "u",
            "source",
            "supersedes",
            "superseded_by",
            "created_at",
        ]
        read_only_fields = fields

    def get_superseded_by(self, row: MaterialProperty) -> str | None:
        """Id of the value that took its place."""
        successor = getattr(row, "superseded_by", None)
        return str(successor.pk) if successor else None


class MaterialSerializer(StrictModelSerializer):
    """A material with its values."""

    properties = MaterialPropertySerializer(many=True, read_only=True)

    class Meta:
        model = Material
        fields = ["id", "name", "description", "composition", "properties", "created_by", "created_at"]
        read_only_fields = fields


class MaterialValueInput(StrictSerializer):
    """A value with its unit; without a source it counts as unsourced."""

    quantity = serializers.CharField(max_length=64)
    value = FiniteFloatField()
    unit = serializers.CharField(max_length=32, help_text="UCUM")
    u = FiniteFloatField(required=False, allow_null=True, min_value=0.0, help_text="standard uncertainty, in the unit")
    source = serializers.CharField(max_length=500, allow_blank=True, required=False)


class MaterialPropertyInput(MaterialValueInput):
    """A value added to a material, or put in the place of an earlier one."""

    supersedes = serializers.UUIDField(required=False, allow_null=True)


class MaterialInput(StrictSerializer):
    """A new material."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=20_000, allow_blank=True, required=False)
    composition = serializers.CharField(max_length=200, allow_blank=True, required=False)
    properties = serializers.ListField(child=MaterialValueInput(), required=False, max_length=200)


class MaterialFilter(filters.FilterSet):
    """What a list of materials can be narrowed by."""

    name = filters.CharFilter(field_name="name")
    search = filters.CharFilter(field_name="name", lookup_expr="icontains")


@extend_schema_view(create=extend_schema(request=MaterialInput, responses={201: MaterialSerializer}))
class MaterialViewSet(RowViewSet):
    """Materials: read by every account, written by staff."""

    serializer_class = MaterialSerializer
    input_class = MaterialInput
    queryset = Material.objects.all()
    filterset_class = MaterialFilter
    references = {"supersedes": MaterialProperty}

    def get_queryset(self) -> QuerySet[Material]:
        """All materials with their values."""
        return selectors.list_materials(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Material:
        """Make a material with its values."""
        return services.create_material(actor=actor, **values)

    @extend_schema(request=MaterialPropertyInput, responses={201: MaterialPropertySerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None)
    def properties(self, request: Request, pk: str) -> Response:
        """Add a value, or supersede an earlier one (staff)."""
        material = self.get_object()
        values = self.checked(request, MaterialPropertyInput)
        row = services.add_material_property(actor=self.actor, material=material, **values)
        return Response(MaterialPropertySerializer(row).data, status=status.HTTP_201_CREATED)
