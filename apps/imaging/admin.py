"""Admin of acquisitions, series, files and images; its writes go through the services."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.admin import ReadOnlyInline, ServiceAdmin, ServiceForm
from apps.imaging import selectors, services
from apps.imaging.models import (
    Acquisition,
    AcquisitionMove,
    Attachment,
    Image,
    OutsideActivity,
    Series,
    SourceFile,
)
from apps.projects import access


class AcquisitionForm(ServiceForm):
    """A new acquisition; its files are sent by the REST surface or the pages."""

    demanded: ClassVar[tuple[str, ...]] = ("project", "specimen", "modality")

    class Meta:
        model = Acquisition
        fields = (
            "project",
            "specimen",
            "modality",
            "state",
            "instrument",
            "mount",
            "operator",
            "operator_name",
            "acquired_at",
            "acquired_zone",
            "clock_uncertainty_s",
            "settings",
            "position",
            "series",
            "series_index",
            "elapsed_h",
        )


class SeriesForm(ServiceForm):
    """A new series."""

    demanded: ClassVar[tuple[str, ...]] = ("project", "specimen", "kind", "name")

    class Meta:
        model = Series
        fields = ("project", "specimen", "kind", "name")


class ImagingAdmin(ServiceAdmin):
    """Rows as the project's members may see them."""

    narrow = staticmethod(access.visible)


class SourceFileInline(ReadOnlyInline):
    model = SourceFile
    fields = ("name", "size", "sha256", "media_type", "uploaded_by", "created_at")
    readonly_fields = fields


class MoveInline(ReadOnlyInline):
    model = AcquisitionMove
    fields = ("from_state", "to_state", "reason", "moved_by", "created_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[AcquisitionMove]:
        """With what the columns name."""
        return super().get_queryset(request).select_related("from_state", "to_state", "moved_by")


@admin.register(Acquisition)
class AcquisitionAdmin(ImagingAdmin):
    form = AcquisitionForm
    add_service = staticmethod(services.create_acquisition)
    list_display = ("modality", "specimen", "state", "instrument", "status", "created_at")
    list_filter = ("modality",)
    list_select_related = ("specimen", "state", "instrument", "ingest_job")
    search_fields = ("specimen__name",)
    inlines = (SourceFileInline, MoveInline)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """An acquisition that is being made has nothing beneath it yet."""
        return self.inlines if obj else ()

    @admin.display(description="status")
    def status(self, row: Acquisition) -> str:
        """As its ingest job says."""
        return selectors.status_of(row)


@admin.register(AcquisitionMove)
class AcquisitionMoveAdmin(ImagingAdmin):
    list_display = ("acquisition", "from_state", "to_state", "moved_by", "created_at")
    list_select_related = ("acquisition", "from_state", "to_state", "moved_by")


@admin.register(Series)
class SeriesAdmin(ImagingAdmin):
    form = SeriesForm
    add_service = staticmethod(services.create_series)
    list_display = ("name", "kind", "specimen", "created_at")
    list_filter = ("kind",)
    list_select_related = ("specimen",)
    search_fields = ("name",)


@admin.register(SourceFile)
class SourceFileAdmin(ImagingAdmin):
    list_display = ("name", "size", "media_type", "acquisition", "uploaded_by", "created_at")
    list_select_related = ("acquisition", "uploaded_by")
    search_fields = ("name", "sha256")


@admin.register(Image)
class ImageAdmin(ImagingAdmin):
    list_display = ("name", "kind", "modality", "specimen", "calibrated", "under", "version", "created_at")
    list_filter = ("kind", "modality", "calibrated")
    list_select_related = ("specimen", "calibration__instrument")
    search_fields = ("name", "specimen__name")

    @admin.display(description="calibration", empty_value="none")
    def under(self, row: Image) -> str | None:
        """The calibration that its lengths rest on, by instrument and version."""
        found = row.calibration
        return f"{found.instrument.name}, version {found.version}" if found else None


@admin.register(OutsideActivity)
class OutsideActivityAdmin(ImagingAdmin):
    list_display = ("kind", "software", "version", "specimen", "operator_name", "created_by", "created_at")
    list_select_related = ("specimen", "created_by")
    list_filter = ("kind", "software")
    search_fields = ("software", "specimen__name")


@admin.register(Attachment)
class AttachmentAdmin(ImagingAdmin):
    list_display = ("name", "size", "specimen", "acquisition", "uploaded_by", "created_at")
    list_select_related = ("specimen", "acquisition", "uploaded_by")
    search_fields = ("name", "sha256")
