"""REST of regions of interest."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers

from apps.catalog.api.base import RowViewSet
from apps.catalog.models import Instrument
from apps.core.api.filters import StrictBooleanFilter
from apps.core.api.serializers import ObjectField, StrictModelSerializer, StrictSerializer
from apps.spatial import selectors, services
from apps.spatial.models import Frame, Roi


class BoxSerializer(serializers.Serializer[Any]):
    """Lowest and highest corner, um."""

    min = serializers.ListField(child=serializers.FloatField(), min_length=3, max_length=3)
    max = serializers.ListField(child=serializers.FloatField(), min_length=3, max_length=3)


class RoiSerializer(StrictModelSerializer):
    """A place in a frame, um."""

    geometry = ObjectField(read_only=True)
    bounding_box = serializers.SerializerMethodField()
    superseded_by = serializers.SerializerMethodField()

    class Meta:
        model = Roi
        fields = [
            "id",
            "project",
            "frame",
            "name",
            "purpose",
            "geometry",
            "bounding_box",
            "status",
            "target_instrument",
            "version",
            "supersedes",
            "superseded_by",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(BoxSerializer)
    def get_bounding_box(self, roi: Roi) -> dict[str, list[float]]:
        """Lowest and highest corner in the frame."""
        return {"min": [roi.x_min, roi.y_min, roi.z_min], "max": [roi.x_max, roi.y_max, roi.z_max]}

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_superseded_by(self, roi: Roi) -> str | None:
        """Id of the version that took its place."""
        successor = getattr(roi, "superseded_by", None)
        return str(successor.pk) if successor else None


class RoiInput(StrictSerializer):
    """A new region."""

    frame = serializers.UUIDField()
    geometry = ObjectField(help_text="{type: point, polyline, polygon, box or mesh, coordinates}, um")
    name = serializers.CharField(max_length=200)
    purpose = serializers.CharField(max_length=500, allow_blank=True, required=False)
    target_instrument = serializers.UUIDField(required=False, allow_null=True)
    supersedes = serializers.UUIDField(required=False, allow_null=True)


class RoiFilter(filters.FilterSet):
    """What a list of regions can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    frame = filters.UUIDFilter(field_name="frame_id")
    specimen = filters.UUIDFilter(field_name="frame__specimen_id")
    target_instrument = filters.UUIDFilter(field_name="target_instrument_id")
    geometry_type = filters.ChoiceFilter(choices=Roi.GeometryType.choices)
    status = filters.ChoiceFilter(choices=Roi.Status.choices)
    current = StrictBooleanFilter(field_name="superseded_by", lookup_expr="isnull")


@extend_schema_view(create=extend_schema(request=RoiInput, responses={201: RoiSerializer}))
class RoiViewSet(RowViewSet):
    """Regions in the frames the caller sees."""

    serializer_class = RoiSerializer
    input_class = RoiInput
    queryset = Roi.objects.all()
    filterset_class = RoiFilter
    references = {"frame": Frame, "target_instrument": Instrument, "supersedes": Roi}

    def get_queryset(self) -> QuerySet[Roi]:
        """Visible regions."""
        return selectors.list_rois(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Roi:
        """Mark a place."""
        return services.create_roi(actor=actor, **values)
