"""REST of frames."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.serializers import StrictModelSerializer
from apps.core.api.views import ReadViewSet
from apps.spatial import selectors
from apps.spatial.models import Frame


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

    def get_queryset(self) -> QuerySet[Frame]:
        """Visible frames."""
        return selectors.list_frames(self.request.user)
