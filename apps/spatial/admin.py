"""Admin of frames, mounts, transforms and regions; its writes go through the services."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from apps.core.admin import ReadOnlyInline, ServiceAdmin, ServiceForm
from apps.core.errors import InvalidValueError
from apps.projects import access
from apps.projects.models import User
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


class MountEndForm(ServiceForm):
    """A specimen taken off a stage."""

    demanded: ClassVar[tuple[str, ...]] = ("unmounted_at",)

    class Meta:
        model = Mount
        fields = ("unmounted_at",)


class DecisionForm(ServiceForm):
    """A move of a transform: accepted, in the place of another where one stands, or withdrawn."""

    demanded: ClassVar[tuple[str, ...]] = ("transform", "status", "reason")

    class Meta:
        model = TransformDecision
        fields = ("transform", "status", "other", "reason")


class OverrideForm(ServiceForm):
    """That a transform is used where it does not hold."""

    demanded: ClassVar[tuple[str, ...]] = ("transform", "state", "reason")

    class Meta:
        model = TransformOverride
        fields = ("transform", "state", "reason")


class FoundForm(ServiceForm):
    """Where a region was found on a stage."""

    demanded: ClassVar[tuple[str, ...]] = ("roi", "mount", "position")

    class Meta:
        model = Found
        fields = ("roi", "mount", "position", "u_um", "note")


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


def end_mount(mount: Mount, *, actor: User, unmounted_at: dt.datetime) -> Mount:
    """Record that a specimen came off the stage."""
    return services.end_mount(actor=actor, mount=mount, unmounted_at=unmounted_at)


def decide(
    *, actor: User, transform: Transform, status: str, reason: str = "", other: Transform | None = None
) -> TransformDecision:
    """Accept or withdraw a transform, and return the decision."""
    if status == TransformDecision.Status.ACCEPTED:
        return services.accept_transform(actor=actor, transform=transform, reason=reason, replaces=other)
    if status == TransformDecision.Status.WITHDRAWN:
        services.withdraw_transform(actor=actor, transform=transform, reason=reason)
        return TransformDecision.objects.filter(transform=transform, status=status).latest("created_at")
    raise InvalidValueError("a transform is accepted or withdrawn; the other moves follow from these", field="status")


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


class OverrideInline(ReadOnlyInline):
    model = TransformOverride
    fields = ("state", "reason", "decided_by", "created_at")
    readonly_fields = fields


class ExtentInline(ReadOnlyInline):
    model = FrameExtent
    fields = ("x_min", "x_max", "y_min", "y_max", "z_min", "z_max")
    readonly_fields = fields


class OutInline(ReadOnlyInline):
    model = Transform
    fk_name = "source"
    verbose_name_plural = "transforms that begin here"
    fields = ("target", "kind", "method", "status", "residual_um")
    readonly_fields = fields
    show_change_link = True


class InInline(OutInline):
    fk_name = "target"
    verbose_name_plural = "transforms that end here"
    fields = ("source", "kind", "method", "status", "residual_um")
    readonly_fields = fields


class FoundInline(ReadOnlyInline):
    model = Found
    fk_name = "roi"
    fields = ("mount", "instrument", "position", "u_um", "note", "created_at")
    readonly_fields = fields
    show_change_link = True


class NarrowedAdmin(SpatialAdmin):
    """Rows with tables beneath them, which a row that is being made does not have yet."""

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A row that is being made has nothing beneath it yet."""
        return self.inlines if obj else ()


@admin.register(Frame)
class FrameAdmin(NarrowedAdmin):
    list_display = ("name", "kind", "project", "specimen", "state", "created_at")
    list_select_related = ("project", "specimen", "state")
    search_fields = ("name",)
    list_filter = ("kind",)
    inlines = (ExtentInline, OutInline, InInline)


@admin.register(FrameExtent)
class FrameExtentAdmin(SpatialAdmin):
    list_display = ("frame", "x_min", "x_max", "y_min", "y_max", "z_min", "z_max")
    list_select_related = ("frame",)


@admin.register(Mount)
class MountAdmin(SpatialAdmin):
    form = MountForm
    change_form = MountEndForm
    add_service = staticmethod(services.create_mount)
    change_service = staticmethod(end_mount)
    list_display = ("specimen", "instrument", "state", "mounted_at", "unmounted_at")
    list_select_related = ("specimen", "instrument", "state")


@admin.register(Transform)
class TransformAdmin(NarrowedAdmin):
    form = TransformForm
    add_service = staticmethod(services.create_transform)
    list_display = ("source", "target", "kind", "method", "status", "residual_um", "created_at")
    list_select_related = ("source", "target")
    list_filter = ("kind", "method", "status")
    inlines = (LandmarkInline, DecisionInline, OverrideInline)


@admin.register(TransformDecision)
class TransformDecisionAdmin(SpatialAdmin):
    form = DecisionForm
    add_service = staticmethod(decide)
    list_display = ("transform", "status", "decided_by", "created_at")
    list_select_related = ("transform", "decided_by")
    list_filter = ("status",)


@admin.register(TransformOverride)
class TransformOverrideAdmin(SpatialAdmin):
    form = OverrideForm
    add_service = staticmethod(services.override_transform)
    list_display = ("transform", "state", "decided_by", "created_at")
    list_select_related = ("transform", "state", "decided_by")


@admin.register(Targeting)
class TargetingAdmin(SpatialAdmin):
    list_display = ("roi", "mount", "u95_um", "created_at")
    list_select_related = ("roi", "mount")


@admin.register(Found)
class FoundAdmin(SpatialAdmin):
    form = FoundForm
    add_service = staticmethod(services.record_found)
    list_display = ("roi", "mount", "instrument", "created_at")
    list_select_related = ("roi", "mount", "instrument")


@admin.register(Landmark)
class LandmarkAdmin(SpatialAdmin):
    list_display = ("transform", "number", "state", "u_um")
    list_select_related = ("transform",)
    list_filter = ("state",)


@admin.register(Roi)
class RoiAdmin(NarrowedAdmin):
    form = RoiForm
    add_service = staticmethod(services.create_roi)
    list_display = ("name", "frame", "geometry_type", "status", "version", "created_at")
    list_select_related = ("frame",)
    list_filter = ("geometry_type", "status")
    search_fields = ("name",)
    inlines = (FoundInline,)
