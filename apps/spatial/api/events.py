"""REST of specimen events."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers

from apps.catalog.api.base import RowViewSet, ZonedDateTimeField
from apps.catalog.models import Specimen, SpecimenEvent
from apps.catalog.services import ChildSpec
from apps.core.api.serializers import ObjectField, StrictModelSerializer, StrictSerializer
from apps.spatial import selectors, services


class ChildInput(StrictSerializer):
    """A piece that an event makes."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=20_000, allow_blank=True, required=False)


_CHILD = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "description": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


@extend_schema_field({"oneOf": [{"type": "string", "format": "uuid"}, _CHILD]})
class ChildField(serializers.Field):
    """The id of a specimen, or ``{name, description}`` of one to be made."""

    def to_internal_value(self, data: Any) -> uuid.UUID | ChildSpec:
        """Tell the two forms apart."""
        if isinstance(data, dict):
            serializer = ChildInput(data=data)
            serializer.is_valid(raise_exception=True)
            return ChildSpec(**serializer.validated_data)
        checked: uuid.UUID = serializers.UUIDField().run_validation(data)
        return checked

    def to_representation(self, value: Any) -> Any:
        """Unused: answers hold the id."""
        return str(value)


class SpecimenEventSerializer(StrictModelSerializer):
    """What was done to a specimen; ``opens`` is the state it is in from then on."""

    conditions = ObjectField(read_only=True)
    geometry = ObjectField(read_only=True, allow_null=True)
    transform = serializers.UUIDField(source="transform_id", read_only=True, allow_null=True)

    class Meta:
        model = SpecimenEvent
        fields = [
            "id",
            "specimen",
            "kind",
            "occurred_at",
            "performed_by",
            "conditions",
            "geometry",
            "note",
            "opens",
            "child",
            "transform",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class SpecimenEventInput(StrictSerializer):
    """What was done to a specimen."""

    specimen = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=SpecimenEvent.Kind.choices)
    occurred_at = ZonedDateTimeField()
    performed_by = serializers.CharField(max_length=200, allow_blank=True, required=False)
    conditions = ObjectField(required=False, help_text="name -> {value, unit, u}; units are UCUM")
    geometry = ObjectField(
        required=False,
        allow_null=True,
        help_text="{type, coordinates, pose, pose_covariance, u_um, u_deg, landmarks}; parent = pose @ piece, um",
    )
    note = serializers.CharField(max_length=20_000, allow_blank=True, required=False)
    child = ChildField(required=False, allow_null=True)


class SpecimenEventFilter(filters.FilterSet):
    """What a list of events can be narrowed by."""

    project = filters.UUIDFilter(field_name="specimen__project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    child = filters.UUIDFilter(field_name="child_id")
    kind = filters.ChoiceFilter(choices=SpecimenEvent.Kind.choices)


@extend_schema_view(create=extend_schema(request=SpecimenEventInput, responses={201: SpecimenEventSerializer}))
class SpecimenEventViewSet(RowViewSet):
    """Events of the specimens the caller sees."""

    serializer_class = SpecimenEventSerializer
    input_class = SpecimenEventInput
    queryset = SpecimenEvent.objects.all()
    filterset_class = SpecimenEventFilter
    references = {"specimen": Specimen, "child": Specimen}

    def get_queryset(self) -> QuerySet[SpecimenEvent]:
        """Visible events."""
        return selectors.list_events(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> SpecimenEvent:
        """Record an event; opens the next state of the specimen."""
        return services.record_specimen_event(actor=actor, **values)
