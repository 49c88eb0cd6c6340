"""REST of frames."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.serializers import StrictModelSerializer, StrictSerializer
from apps.core.api.views import ReadViewSet
from apps.projects import access
from apps.spatial import loops, paths, selectors
from apps.spatial.api.told import (
    clean_point_text,
    clean_points,
    clean_spreads,
    clean_uuid,
    told_alternative,
    told_points,
)
from apps.spatial.models import Frame
from apps.spatial.paths import MAX_POINTS


class ExtentSerializer(serializers.Serializer[Any]):
    """The box that the samples of an image fill, um, voxel faces included."""

    x = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)
    y = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)
    z = serializers.ListField(child=serializers.FloatField(), min_length=2, max_length=2)


class FrameSerializer(StrictModelSerializer):
    """A right-handed frame in micrometres."""

    unit = serializers.SerializerMethodField()
    extent = serializers.SerializerMethodField()
    mount = serializers.SerializerMethodField()

    class Meta:
        model = Frame
        fields = [
            "id",
            "project",
            "kind",
            "name",
            "description",
            "unit",
            "specimen",
            "state",
            "mount",
            "extent",
            "created_at",
        ]
        read_only_fields = fields

    def get_unit(self, frame: Frame) -> str:
        """UCUM code of its lengths."""
        return "um"

    @extend_schema_field(ExtentSerializer(allow_null=True))
    def get_extent(self, frame: Frame) -> dict[str, list[float]] | None:
        """Lowest and highest coordinate an axis; null where no image fills the frame."""
        extent = getattr(frame, "extent", None)
        if extent is None:
            return None
        return {axis: [getattr(extent, f"{axis}_min"), getattr(extent, f"{axis}_max")] for axis in "xyz"}

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_mount(self, frame: Frame) -> str | None:
        """Id of the mount that owns a stage frame."""
        mount = getattr(frame, "mount", None)
        return str(mount.pk) if mount else None


_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
_SPREAD = {"type": ["array", "null"], "items": _POINT, "minItems": 3, "maxItems": 3}


@extend_schema_field({"type": "array", "items": _POINT, "minItems": 1, "maxItems": MAX_POINTS})
class PointsField(serializers.JSONField):
    """Points, checked in one go: a field of its own a number takes seconds for a million of them."""


@extend_schema_field({"type": "array", "items": _SPREAD})
class SpreadsField(serializers.JSONField):
    """Covariances of points, checked in one go."""


class MapInput(StrictSerializer):
    """Points of this frame, and where they are to be mapped."""

    to = serializers.UUIDField(help_text="frame")
    points = PointsField(help_text="(x, y, z) in this frame, um")
    covariances = SpreadsField(required=False, allow_null=True, help_text="3 x 3 a point, um^2; none = exact")
    states = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        max_length=20,
        help_text="states for which the transforms should hold, besides those of the two frames",
    )


class StepSerializer(serializers.Serializer[Any]):
    """One transform of a path."""

    transform = serializers.UUIDField()
    direction = serializers.ChoiceField(choices=[("forward", "forward"), ("backward", "backward")])


class MappedSerializer(serializers.Serializer[Any]):
    """Points in the other frame, each along the path that serves it best."""

    points = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))
    covariances = serializers.ListField(
        child=serializers.ListField(child=serializers.ListField(child=serializers.FloatField()), allow_null=True),
        help_text="3 x 3 a point, um^2; null where a step of its path states no error",
    )
    u95_um = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="longest half axis of the 95 % ellipsoid"
    )
    degrees_of_freedom = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="null where all errors were given"
    )
    paths = serializers.ListField(child=StepSerializer(many=True))
    path_of = serializers.ListField(child=serializers.IntegerField(), help_text="index of each point's path")
    length_unit = serializers.CharField()
    warnings = serializers.ListField(child=serializers.CharField())


class AlternativeSerializer(serializers.Serializer[Any]):
    """A path, and by how much it disagrees with the best one."""

    steps = StepSerializer(many=True)
    matrix = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))
    point = serializers.ListField(child=serializers.FloatField(), help_text="where the point asked for goes, um")
    covariance = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), allow_null=True, help_text="um^2"
    )
    u95_um = serializers.FloatField(allow_null=True)
    closure_um = serializers.ListField(child=serializers.FloatField(), help_text="less the best path's point")
    closure_p_value = serializers.FloatField(
        allow_null=True, help_text="probability of a closure error as large, if all stated errors are true"
    )
    contradicts = serializers.BooleanField()
    warnings = serializers.ListField(child=serializers.CharField())


class PathsSerializer(serializers.Serializer[Any]):
    """Paths between two frames, the best first."""

    at = serializers.ListField(child=serializers.FloatField())
    length_unit = serializers.CharField()
    paths = AlternativeSerializer(many=True)


class FrameFilter(filters.FilterSet):
    """What a list of frames can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    state = filters.UUIDFilter(field_name="state_id")
    kind = filters.ChoiceFilter(choices=Frame.Kind.choices)


class FrameViewSet(ReadViewSet):
    """Frames; they are opened by what owns them: an image, a mount, a state."""

    serializer_class = FrameSerializer
    queryset = Frame.objects.all()
    filterset_class = FrameFilter
    extra_query_params: tuple[str, ...] = ()

    def get_queryset(self) -> QuerySet[Frame]:
        """Visible frames."""
        return selectors.list_frames(self.request.user)

    @extend_schema(request=MapInput, responses={200: MappedSerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None, url_path="map")
    def map_points(self, request: Request, pk: str) -> Response:
        """Map points to another frame along accepted transforms, with their errors; 409 where no path leads there."""
        source = self.get_object()
        body = MapInput(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        values = body.validated_data
        points = clean_points(values["points"])
        spreads = values.get("covariances")
        mapped = paths.map_points(
            source,
            self._other(values["to"]),
            points,
            covariances=None if spreads is None else clean_spreads(spreads, len(points)),
            states=values.get("states", ()),
        )
        return Response(told_points(mapped))

    def _other(self, key: uuid.UUID) -> Frame:
        """The frame named in `to`, if the caller sees it."""
        return access.get_visible(selectors.list_frames(self.request.user), self.request.user, key, field="to")

    @extend_schema(
        parameters=[
            OpenApiParameter("to", uuid.UUID, required=True, description="frame"),
            OpenApiParameter("at", str, description="x,y,z in this frame, um; the middle of its image by default"),
        ],
        responses={200: PathsSerializer},
        filters=False,
    )
    @action(detail=True, methods=["get"], filterset_class=None, url_path="paths", extra_query_params=("to", "at"))
    def list_paths(self, request: Request, pk: str) -> Response:
        """The best path to another frame and its alternatives, with the closure error of each loop they make."""
        source = self.get_object()
        target = self._other(clean_uuid(request.query_params.get("to"), "to"))
        given = request.query_params.get("at")
        at = paths.middle_of(source) if given is None else clean_point_text(given, field="at")
        found = loops.find_alternatives(source, target, at=at)
        return Response({"at": at, "length_unit": "um", "paths": [told_alternative(other) for other in found]})
