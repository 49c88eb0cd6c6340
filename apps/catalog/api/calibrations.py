"""REST of calibrations."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog import selectors, services
from apps.catalog.api.base import ReasonSerializer, RowViewSet, ThingSerializer
from apps.catalog.models import Calibration, Instrument
from apps.core.api.serializers import FiniteFloatField, ObjectField, StrictModelSerializer, StrictSerializer


class CalibrationSerializer(StrictModelSerializer):
    """A calibration; one that was superseded names its successor."""

    valid_range = ObjectField(read_only=True)
    superseded_by = serializers.SerializerMethodField()

    class Meta:
        model = Calibration
        fields = [
            "id",
            "instrument",
            "version",
            "supersedes",
            "superseded_by",
            "status",
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
            "withdrawn_at",
            "withdrawn_reason",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    def get_superseded_by(self, calibration: Calibration) -> str | None:
        """Id of the version that took its place."""
        successor = getattr(calibration, "superseded_by", None)
        return str(successor.pk) if successor else None


class WithdrawnCalibrationSerializer(CalibrationSerializer):
    """A withdrawn calibration, and what goes stale with it as far as the caller may see it."""

    stale = ThingSerializer(many=True, read_only=True)

    class Meta(CalibrationSerializer.Meta):
        fields = [*CalibrationSerializer.Meta.fields, "stale"]
        read_only_fields = fields


class CalibrationInput(StrictSerializer):
    """A new calibration."""

    instrument = serializers.UUIDField()
    factor = FiniteFloatField(help_text="calibrated length / nominal length")
    u_factor = FiniteFloatField(help_text="standard uncertainty of the factor")
    standard = serializers.CharField(max_length=200)
    measured_at = serializers.DateField()
    axes = serializers.CharField(max_length=3, required=False, help_text="any of x, y, z; all by default")
    certificate = serializers.CharField(max_length=200, allow_blank=True, required=False)
    traceability = serializers.CharField(max_length=500, allow_blank=True, required=False)
    valid_range = ObjectField(required=False, help_text="setting -> [low, high]")
    due_at = serializers.DateField(required=False, allow_null=True)
    as_found = FiniteFloatField(required=False, allow_null=True)
    as_left = FiniteFloatField(required=False, allow_null=True)
    supersedes = serializers.UUIDField(required=False, allow_null=True)


class CalibrationFilter(filters.FilterSet):
    """What a list of calibrations can be narrowed by."""

    instrument = filters.UUIDFilter(field_name="instrument_id")
    status = filters.ChoiceFilter(choices=Calibration.Status.choices)


@extend_schema_view(create=extend_schema(request=CalibrationInput, responses={201: CalibrationSerializer}))
class CalibrationViewSet(RowViewSet):
    """Calibrations: read by every account, written by staff."""

    serializer_class = CalibrationSerializer
    input_class = CalibrationInput
    queryset = Calibration.objects.all()
    filterset_class = CalibrationFilter
    references = {"instrument": Instrument, "supersedes": Calibration}

    def get_queryset(self) -> QuerySet[Calibration]:
        """All calibrations."""
        return selectors.list_calibrations(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Calibration:
        """Record a calibration."""
        return services.create_calibration(actor=actor, **values)

    @extend_schema(request=ReasonSerializer, responses={200: WithdrawnCalibrationSerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None)
    def withdraw(self, request: Request, pk: str) -> Response:
        """Withdraw the calibration (staff); answers with what goes stale, as far as the caller may see it."""
        calibration = self.get_object()
        reason = self.checked(request, ReasonSerializer)["reason"]
        stale = services.withdraw_calibration(actor=self.actor, calibration=calibration, reason=reason)
        body = self.represented(calibration)
        things = ThingSerializer(selectors.visible_things(stale, request.user), many=True).data
        return Response(body | {"stale": things})
