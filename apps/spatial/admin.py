"""Admin of frames, mounts, transforms and regions; its writes go through the services."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.core.admin import ReadOnlyInline, ServiceAdmin, ServiceForm
from apps.projects import access
from apps.spatial import services
from apps.spatial.models import (
    Found,
    Frame,
    FrameExtent,
    Landmark,
    Mount,
    Roi,
    Targeting,
    Transform,
    TransformDecision,
    TransformOverride,
)


class MountForm(ServiceForm):
    """A specimen put on a stage."""

    demanded: ClassVar[tuple[str, ...]] = ("specimen", "instrument", "mounted_at")

    class Meta:
        model = Mount
        fields = ("specimen", "instrument", "state", "mounted_at", "unmounted_at", "holder", "note")


class TransformForm(ServiceForm):
    """A candidate edge between two frames, its matrix typed."""

    demanded: ClassVar[tuple[str, ...]] = ("source", "target", "kind", "method", "matrix")

    class Meta:
        model = Transform
        fields = (
            "source",
            "target",
            "kind",
            "method",
            "matrix",
            "covariance",
            "degrees_of_freedom",
            "no_residual_reason",
            "supersedes",
            "reason",
        )


class RoiForm(ServiceForm):
    """A place in a frame."""

    demanded: ClassVar[tuple[str, ...]] = ("frame", "name", "geometry")

    class Meta:
        model = Roi
        fields = ("frame", "name", "purpose", "geometry", "target_instrument", "supersedes")


class SpatialAdmin(ServiceAdmin):
    """Rows as the project's members may see them."""

    narrow = staticmethod(access.visible)


class LandmarkInline(ReadOnlyInline):
    model = Landmark
    fields = (
        "number",
        "source_x",
        "source_y",
        "source_z",
        "target_x",
        "target_y",
        "target_z",
        "u_um",
        "state",
        "reason",
    )
    readonly_fields = fields


class DecisionInline(ReadOnlyInline):
    model = TransformDecision
    fk_name = "transform"
    fields = ("status", "reason", "decided_by", "created_at")
    readonly_fields = fields


@admin.register(Frame)
class FrameAdmin(SpatialAdmin):
    list_display = ("name", "kind", "project", "specimen", "state", "created_at")
    list_select_related = ("project", "specimen", "state")
    search_fields = ("name",)
    list_filter = ("kind",)


@admin.register(FrameExtent)
class FrameExtentAdmin(SpatialAdmin):
    list_display = ("frame", "x_min", "x_max", "y_min", "y_max", "z_min", "z_max")
    list_select_related = ("frame",)


@admin.register(Mount)
class MountAdmin(SpatialAdmin):
    form = MountForm
    add_service = staticmethod(services.create_mount)
    list_display = ("specimen", "instrument", "state", "mounted_at", "unmounted_at")
    list_select_related = ("specimen", "instrument", "state")


@admin.register(Transform)
class TransformAdmin(SpatialAdmin):
    form = TransformForm
    add_service = staticmethod(services.create_transform)
    list_display = ("source", "target", "kind", "method", "status", "residual_um", "created_at")
    list_select_related = ("source", "target")
    list_filter = ("kind", "method", "status")
    inlines = (LandmarkInline, DecisionInline)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A transform that is being made has nothing beneath it yet."""
        return self.inlines if obj else ()


@admin.register(TransformDecision)
class TransformDecisionAdmin(SpatialAdmin):
    list_display = ("transform", "status", "decided_by", "created_at")
    list_select_related = ("transform", "decided_by")
    list_filter = ("status",)


@admin.register(TransformOverride)
class TransformOverrideAdmin(SpatialAdmin):
    list_display = ("transform", "state", "decided_by", "created_at")
    list_select_related = ("transform", "state", "decided_by")


@admin.register(Targeting)
class TargetingAdmin(SpatialAdmin):
    list_display = ("roi", "mount", "u95_um", "created_at")
    list_select_related = ("roi", "mount")


@admin.register(Found)
class FoundAdmin(SpatialAdmin):
    list_display = ("roi", "mount", "instrument", "created_at")
    list_select_related = ("roi", "mount", "instrument")


@admin.register(Landmark)
class LandmarkAdmin(SpatialAdmin):
    list_display = ("transform", "number", "state", "u_um")
    list_select_related = ("transform",)
    list_filter = ("state",)


@admin.register(Roi)
class RoiAdmin(SpatialAdmin):
    form = RoiForm
    add_service = staticmethod(services.create_roi)
    list_display = ("name", "frame", "geometry_type", "status", "version", "created_at")
    list_select_related = ("frame",)
    list_filter = ("geometry_type", "status")
    search_fields = ("name",)
