"""REST of mounts."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog.api.base import RowViewSet, ZonedDateTimeField
from apps.catalog.models import Instrument, Specimen, State
from apps.core.api.filters import StrictBooleanFilter
from apps.core.api.serializers import StrictModelSerializer, StrictSerializer
from apps.spatial import selectors, services
from apps.spatial.models import Mount


class MountSerializer(StrictModelSerializer):
    """A specimen on a stage; ``frame`` is its stage frame."""

    class Meta:
        model = Mount
        fields = [
            "id",
            "specimen",
            "state",
            "instrument",
            "frame",
            "holder",
            "mounted_at",
            "unmounted_at",
            "note",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class MountInput(StrictSerializer):
    """A specimen put on a stage."""

    specimen = serializers.UUIDField()
    instrument = serializers.UUIDField()
    mounted_at = ZonedDateTimeField()
    unmounted_at = ZonedDateTimeField(required=False, allow_null=True)
    state = serializers.UUIDField(required=False, allow_null=True, help_text="the present one by default")
    holder = serializers.CharField(max_length=200, allow_blank=True, required=False)
    note = serializers.CharField(max_length=20_000, allow_blank=True, required=False)


class MountEndInput(StrictSerializer):
    """The end of a mount."""

    unmounted_at = ZonedDateTimeField()


class MountFilter(filters.FilterSet):
    """What a list of mounts can be narrowed by."""

    project = filters.UUIDFilter(field_name="specimen__project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    state = filters.UUIDFilter(field_name="state_id")
    instrument = filters.UUIDFilter(field_name="instrument_id")
    open = StrictBooleanFilter(field_name="unmounted_at", lookup_expr="isnull")


@extend_schema_view(create=extend_schema(request=MountInput, responses={201: MountSerializer}))
class MountViewSet(RowViewSet):
    """Mounts of the specimens the caller sees."""

    serializer_class = MountSerializer
    input_class = MountInput
    queryset = Mount.objects.all()
    filterset_class = MountFilter
    references = {"specimen": Specimen, "instrument": Instrument, "state": State}

    def get_queryset(self) -> QuerySet[Mount]:
        """Visible mounts."""
        return selectors.list_mounts(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Mount:
        """Record a mount; opens its stage frame."""
        return services.create_mount(actor=actor, **values)

    @extend_schema(request=MountEndInput, responses={200: MountSerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None)
    def end(self, request: Request, pk: str) -> Response:
        """Record when the specimen came off the stage."""
        mount = self.get_object()
        values = self.checked(request, MountEndInput)
        return Response(self.represented(services.end_mount(actor=self.actor, mount=mount, **values)))
