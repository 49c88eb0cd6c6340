"""REST of instruments."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from apps.catalog import selectors, services
from apps.catalog.api.base import RowViewSet
from apps.catalog.models import Instrument
from apps.core.api.serializers import ObjectField, StrictModelSerializer, StrictSerializer


class InstrumentSerializer(StrictModelSerializer):
    """An instrument."""

    detectors = serializers.ListField(read_only=True)
    stage_axes = ObjectField(read_only=True, allow_null=True)

    class Meta:
        model = Instrument
        fields = [
            "id",
            "name",
            "modality",
            "manufacturer",
            "model",
            "serial_number",
            "software",
            "detectors",
            "responsible",
            "stage_axes",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class InstrumentInput(StrictSerializer):
    """A new instrument."""

    name = serializers.CharField(max_length=200)
    modality = serializers.CharField(max_length=16, allow_blank=True, required=False)
    manufacturer = serializers.CharField(max_length=200, allow_blank=True, required=False)
    model = serializers.CharField(max_length=200, allow_blank=True, required=False)
    serial_number = serializers.CharField(max_length=100, allow_blank=True, required=False)
    software = serializers.CharField(max_length=200, allow_blank=True, required=False)
    detectors = serializers.ListField(required=False, max_length=50, help_text="names, or objects of name -> value")
    responsible = serializers.CharField(max_length=200, allow_blank=True, required=False)
    stage_axes = ObjectField(required=False, allow_null=True, help_text="sense of each stage axis; null = not known")


class InstrumentFilter(filters.FilterSet):
    """What a list of instruments can be narrowed by."""

    name = filters.CharFilter(field_name="name")
    modality = filters.CharFilter(field_name="modality")


@extend_schema_view(create=extend_schema(request=InstrumentInput, responses={201: InstrumentSerializer}))
class InstrumentViewSet(RowViewSet):
    """Instruments: read by every account, written by staff."""

    serializer_class = InstrumentSerializer
    input_class = InstrumentInput
    queryset = Instrument.objects.all()
    filterset_class = InstrumentFilter

    def get_queryset(self) -> QuerySet[Instrument]:
        """All instruments."""
        return selectors.list_instruments(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Instrument:
        """Make an instrument."""
        return services.create_instrument(actor=actor, **values)
