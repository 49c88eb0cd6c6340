"""REST of regions of interest."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog.api.base import RowViewSet
from apps.catalog.models import Instrument
from apps.core.api.filters import StrictBooleanFilter, check_query
from apps.core.api.serializers import ObjectField, StrictModelSerializer, StrictSerializer
from apps.core.api.views import UUID_PATTERN
from apps.projects import access
from apps.spatial import selectors, services
from apps.spatial.api.found import FoundActions
from apps.spatial.api.frames import MappedSerializer
from apps.spatial.api.targeting import TargetingActions
from apps.spatial.api.told import told_points
from apps.spatial.models import Frame, Roi
from apps.spatial.roi_mapping import map_roi


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


class MappedRoiSerializer(MappedSerializer):
    """A region in another frame; ``points`` are those of its geometry in their order, the 8 corners of a box."""

    roi = serializers.UUIDField()
    frame = serializers.UUIDField()
    geometry = ObjectField(help_text="{type, coordinates}, um; a box that is turned has become a mesh")


@extend_schema_view(create=extend_schema(request=RoiInput, responses={201: RoiSerializer}))
class RoiViewSet(TargetingActions, FoundActions, RowViewSet):
    """Regions in the frames the caller sees."""

    serializer_class = RoiSerializer
    input_class = RoiInput
    queryset = Roi.objects.all()
    filterset_class = RoiFilter
    extra_query_params: tuple[str, ...] = ()
    references = {"frame": Frame, "target_instrument": Instrument, "supersedes": Roi}

    def get_queryset(self) -> QuerySet[Roi]:
        """Visible regions."""
        return selectors.list_rois(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Roi:
        """Mark a place."""
        return services.create_roi(actor=actor, **values)

    @extend_schema(responses={200: MappedRoiSerializer}, filters=False)
    @action(
        detail=True,
        methods=["get"],
        filterset_class=None,
        pagination_class=None,
        url_path=f"in/(?P<frame>{UUID_PATTERN})",
    )
    def mapped(self, request: Request, pk: str, frame: str) -> Response:
        """The region in another frame, every point with its covariance; 409 where no path leads there."""
        check_query(request, ())
        roi = self.get_object()
        target = access.get_visible(selectors.list_frames(request.user), request.user, uuid.UUID(frame))
        found = map_roi(roi, target)
        told = told_points(found.mapped) | {"warnings": found.warnings}
        return Response({"roi": str(roi.pk), "frame": str(target.pk), "geometry": found.geometry} | told)
