"""REST of where regions were found, beside where they were predicted to be."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import check_query
from apps.core.api.serializers import FiniteFloatField, ObjectField, StrictModelSerializer, StrictSerializer
from apps.core.api.views import ReadViewSet
from apps.projects import access
from apps.spatial import services, targeting_history
from apps.spatial.api.frames import StepSerializer
from apps.spatial.models import Found, Mount


class TargetedSerializer(serializers.Serializer[Any]):
    """The choice that led to a place, with the prediction that was seen then; points in the stage frame, um."""

    id = serializers.UUIDField()
    roi = serializers.UUIDField(source="roi_id")
    mount = serializers.UUIDField(source="mount_id")
    predicted = serializers.ListField(child=serializers.FloatField())
    covariance = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()), allow_null=True)
    degrees_of_freedom = serializers.FloatField(allow_null=True)
    u95_um = serializers.FloatField(allow_null=True)
    position = ObjectField(help_text="what the stage was to show, um and degrees")
    path = StepSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    reason = serializers.CharField()
    created_by = serializers.UUIDField(source="created_by_id")
    created_at = serializers.DateTimeField()


class TargetedMissSerializer(TargetedSerializer):
    """The same with what came of it."""

    offset_um = serializers.ListField(child=serializers.FloatField(), help_text="found less predicted then")
    distance_um = serializers.FloatField()
    p_value = serializers.FloatField(allow_null=True)


class TargetedListSerializer(serializers.Serializer[Any]):
    """The choices of a region, the newest first."""

    results = TargetedSerializer(many=True)


class FoundSerializer(StrictModelSerializer):
    """Where a region was found, beside where it was predicted to be; points are in the stage frame, um."""

    position = ObjectField(read_only=True)
    point = serializers.ListField(child=serializers.FloatField(), read_only=True)
    predicted = serializers.ListField(child=serializers.FloatField(), read_only=True, allow_null=True)
    covariance = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), read_only=True, allow_null=True
    )
    path = StepSerializer(many=True, read_only=True)
    offset_um = serializers.SerializerMethodField()
    distance_um = serializers.SerializerMethodField()
    p_value = serializers.SerializerMethodField()
    targeted = serializers.SerializerMethodField()

    class Meta:
        model = Found
        fields = [
            "id",
            "roi",
            "mount",
            "instrument",
            "source_instrument",
            "position",
            "point",
            "u_um",
            "predicted",
            "covariance",
            "degrees_of_freedom",
            "path",
            "no_prediction_reason",
            "offset_um",
            "distance_um",
            "p_value",
            "targeted",
            "note",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    def _miss(self, found: Found) -> targeting_history.Miss | None:
        return None if found.predicted is None else targeting_history.miss_of(found)

    def get_offset_um(self, found: Found) -> list[float] | None:
        """Found less predicted; null without a prediction."""
        miss = self._miss(found)
        return None if miss is None else [float(value) for value in miss.offset]

    def get_distance_um(self, found: Found) -> float | None:
        """Length of the offset."""
        miss = self._miss(found)
        return None if miss is None else miss.distance_um

    def get_p_value(self, found: Found) -> float | None:
        """Probability of a miss as large if the stated error is true; null where none was stated."""
        miss = self._miss(found)
        return None if miss is None else miss.p_value

    @extend_schema_field(TargetedMissSerializer(allow_null=True))
    def get_targeted(self, found: Found) -> dict[str, Any] | None:
        """The prediction with which the region was sent there, and its miss; null if it was not sent there."""
        miss = targeting_history.targeted_miss(found)
        if miss is None:
            return None
        offset = [float(value) for value in miss.offset]
        told = {"offset_um": offset, "distance_um": miss.distance_um, "p_value": miss.p_value}
        return {**TargetedSerializer(found.targeting).data, **told}


class FoundInput(StrictSerializer):
    """Where a region was found."""

    mount = serializers.UUIDField()
    position = ObjectField(help_text="stage reading: {x, y, z} um, rotation and tilt deg, working_distance um")
    u_um = FiniteFloatField(required=False, allow_null=True, help_text="standard error of the reading, each axis")
    note = serializers.CharField(max_length=20_000, allow_blank=True, required=False)


class FoundListSerializer(serializers.Serializer[Any]):
    """Where a region was found, the newest first."""

    results = FoundSerializer(many=True)


class HistorySerializer(serializers.Serializer[Any]):
    """Predicted against found, between the instrument of the source image and that of the mount."""

    source_instrument = serializers.UUIDField(allow_null=True)
    instrument = serializers.UUIDField()
    count = serializers.IntegerField()
    mean_um = serializers.ListField(child=serializers.FloatField(), help_text="found less predicted, stage frame")
    rms_um = serializers.FloatField()
    covariance = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        allow_null=True,
        help_text="of a further offset, um^2; null below three",
    )
    p_value = serializers.FloatField(allow_null=True, help_text="of misses as large if the stated errors are true")
    contradicts = serializers.BooleanField()


class HistoriesSerializer(serializers.Serializer[Any]):
    """A history for each pair of instruments."""

    results = HistorySerializer(many=True)


class FoundActions:
    """The action of regions that closes the loop; a part of the viewset of regions."""

    @extend_schema(methods=["get"], responses={200: FoundListSerializer}, filters=False)
    @extend_schema(methods=["post"], request=FoundInput, responses={201: FoundSerializer}, filters=False)
    @action(detail=True, methods=["get", "post"], filterset_class=None, pagination_class=None)
    def found(self, request: Request, pk: str) -> Response:
        """Where the region was found; a POST adds a place, and keeps beside it where it was predicted to be."""
        view: Any = self
        roi = view.get_object()
        if request.method == "GET":
            check_query(request, ())
            return Response({"results": FoundSerializer(targeting_history.found_of(roi), many=True).data})
        body = FoundInput(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        values["mount"] = access.get_visible(Mount.objects.all(), request.user, values["mount"], field="mount")
        made = services.record_found(actor=view.actor, roi=roi, **values)
        return Response(FoundSerializer(made).data, status=status.HTTP_201_CREATED)


class FoundFilter(filters.FilterSet):
    """What found positions can be narrowed by."""

    project = filters.UUIDFilter(field_name="roi__project_id")
    roi = filters.UUIDFilter(field_name="roi_id")
    mount = filters.UUIDFilter(field_name="mount_id")
    instrument = filters.UUIDFilter(field_name="instrument_id")
    source_instrument = filters.UUIDFilter(field_name="source_instrument_id")


class FoundViewSet(ReadViewSet):
    """Where regions were found; ``POST rois/{id}/found/`` adds one."""

    serializer_class = FoundSerializer
    queryset = Found.objects.all()
    filterset_class = FoundFilter

    def get_queryset(self) -> QuerySet[Found]:
        """Found positions of visible regions."""
        return targeting_history.list_found(self.request.user)

    @extend_schema(responses={200: HistoriesSerializer})
    @action(detail=False, methods=["get"], pagination_class=None)
    def history(self, request: Request) -> Response:
        """Predicted against found for each pair of instruments, as far as the caller may see it."""
        rows = self.filter_queryset(self.get_queryset())
        return Response({"results": [_told_history(one) for one in targeting_history.histories(rows)]})


def _told_history(one: targeting_history.History) -> dict[str, Any]:
    return {
        "source_instrument": str(one.source) if one.source else None,
        "instrument": str(one.target),
        "count": one.count,
        "mean_um": one.mean_um.tolist(),
        "rms_um": one.rms_um,
        "covariance": None if one.covariance is None else one.covariance.tolist(),
        "p_value": one.p_value,
        "contradicts": one.contradicts,
    }
