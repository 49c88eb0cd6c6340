"""Admin of specimens, materials, instruments and calibrations; its writes go through the services."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.catalog import services
from apps.catalog.models import Calibration, Instrument, Material, MaterialProperty, Specimen, SpecimenEvent, State
from apps.core.admin import ReadOnlyInline, ServiceAdmin, ServiceForm
from apps.projects import access


def _change_specimen(specimen: Specimen, *, actor: Any, **changes: Any) -> Specimen:
    return services.update_specimen(actor=actor, specimen=specimen, **changes)


class SpecimenForm(ServiceForm):
    """A new specimen."""

    demanded: ClassVar[tuple[str, ...]] = ("project", "name")

    class Meta:
        model = Specimen
        fields = ("project", "name", "description", "material", "parent", "external_ids", "tags", "key_values")


class SpecimenChangeForm(ServiceForm):
    """What is said of a specimen."""

    demanded: ClassVar[tuple[str, ...]] = ("name",)

    class Meta:
        model = Specimen
        fields = ("name", "description", "external_ids", "tags", "key_values")


class SpecimenEventForm(ServiceForm):
    """What was done to a specimen; what has a geometry comes over the REST surface."""

    demanded: ClassVar[tuple[str, ...]] = ("specimen", "kind", "occurred_at")

    class Meta:
        model = SpecimenEvent
        fields = ("specimen", "kind", "occurred_at", "performed_by", "conditions", "note", "child")


class MaterialForm(ServiceForm):
    """A new material; values are added one by one."""

    demanded: ClassVar[tuple[str, ...]] = ("name",)

    class Meta:
        model = Material
        fields = ("name", "description", "composition")


class MaterialPropertyForm(ServiceForm):
    """A value of a material."""

    demanded: ClassVar[tuple[str, ...]] = ("material", "quantity", "value", "unit")

    class Meta:
        model = MaterialProperty
        fields = ("material", "quantity", "value", "unit", "u", "source", "supersedes")


class InstrumentForm(ServiceForm):
    """A new instrument."""

    demanded: ClassVar[tuple[str, ...]] = ("name",)

    class Meta:
        model = Instrument
        fields = (
            "name",
            "modality",
            "manufacturer",
            "model",
            "serial_number",
            "software",
            "detectors",
            "responsible",
            "stage_axes",
        )


class CalibrationForm(ServiceForm):
    """A new calibration."""

    demanded: ClassVar[tuple[str, ...]] = ("instrument", "factor", "u_factor", "standard", "measured_at")

    class Meta:
        model = Calibration
        fields = (
            "instrument",
            "axes",
            "factor",
            "u_factor",
            "standard",
            "certificate",
            "traceability",
            "valid_range",
            "measured_at",
            "due_at",
            "as_found",
            "as_left",
            "supersedes",
        )
        labels: ClassVar[dict[str, str]] = {"u_factor": "Standard uncertainty of the factor", "due_at": "Due again"}


class CatalogAdmin(ServiceAdmin):
    """Rows as the project's members, or every account, may see them."""

    narrow = staticmethod(access.visible)


class StateInline(ReadOnlyInline):
    model = State
    fk_name = "specimen"
    fields = ("number", "label", "created_at")
    readonly_fields = fields


class EventInline(ReadOnlyInline):
    model = SpecimenEvent
    fk_name = "specimen"
    fields = ("kind", "occurred_at", "performed_by", "opens", "child")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[SpecimenEvent]:
        """With what the columns name."""
        return super().get_queryset(request).select_related("opens", "child")


class MaterialPropertyInline(ReadOnlyInline):
    model = MaterialProperty
    fields = ("quantity", "value", "unit", "u", "source", "supersedes")
    readonly_fields = fields


@admin.register(Specimen)
class SpecimenAdmin(CatalogAdmin):
    form = SpecimenForm
    change_form = SpecimenChangeForm
    add_service = staticmethod(services.create_specimen)
    change_service = staticmethod(_change_specimen)
    list_display = ("name", "project", "material", "parent", "current_state", "created_at")
    list_select_related = ("project", "material", "parent", "current_state")
    search_fields = ("name",)
    inlines = (StateInline, EventInline)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A specimen that is being made has nothing beneath it yet."""
        return self.inlines if obj else ()


@admin.register(State)
class StateAdmin(CatalogAdmin):
    list_display = ("specimen", "number", "label", "created_at")
    list_select_related = ("specimen",)
    search_fields = ("specimen__name",)


@admin.register(SpecimenEvent)
class SpecimenEventAdmin(CatalogAdmin):
    form = SpecimenEventForm
    add_service = staticmethod(services.record_event)
    list_display = ("specimen", "kind", "occurred_at", "opens", "child")
    list_select_related = ("specimen", "opens", "child")
    list_filter = ("kind",)
    search_fields = ("specimen__name", "performed_by")


@admin.register(Material)
class MaterialAdmin(CatalogAdmin):
    form = MaterialForm
    add_service = staticmethod(services.create_material)
    list_display = ("name", "composition", "created_at")
    search_fields = ("name",)
    inlines = (MaterialPropertyInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A material that is being made has nothing beneath it yet."""
        return self.inlines if obj else ()


@admin.register(MaterialProperty)
class MaterialPropertyAdmin(CatalogAdmin):
    form = MaterialPropertyForm
    add_service = staticmethod(services.add_material_property)
    list_display = ("material", "quantity", "value", "unit", "u", "source")
    list_select_related = ("material",)
    list_filter = ("quantity",)
    search_fields = ("material__name", "quantity")


@admin.register(Instrument)
class InstrumentAdmin(CatalogAdmin):
    form = InstrumentForm
    add_service = staticmethod(services.create_instrument)
    list_display = ("name", "modality", "manufacturer", "model")
    search_fields = ("name", "manufacturer", "model", "serial_number")
    list_filter = ("modality",)


@admin.register(Calibration)
class CalibrationAdmin(CatalogAdmin):
    form = CalibrationForm
    add_service = staticmethod(services.create_calibration)
    list_display = ("instrument", "version", "factor", "u_factor", "measured_at", "due_at", "status")
    list_select_related = ("instrument",)
    list_filter = ("status",)
    search_fields = ("instrument__name", "standard", "certificate")
