"""REST of transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analyses.sdk.spatial import decompose
from apps.catalog.api.base import ReasonSerializer, RowViewSet, ThingSerializer
from apps.catalog.models import State
from apps.catalog.selectors import visible_things
from apps.core.api.serializers import FiniteFloatField, ObjectField, StrictModelSerializer, StrictSerializer
from apps.core.errors import InvalidValueError
from apps.projects import access
from apps.spatial import selectors, services
from apps.spatial.api.exchange import ExchangeActions
from apps.spatial.api.frames import PointsField
from apps.spatial.api.told import clean_points
from apps.spatial.fitting import FITTED_KINDS, factor_95, predict_errors
from apps.spatial.models import Frame, Landmark, Transform, TransformDecision, TransformOverride
from apps.spatial.pairs import Pair, lengths_um
from apps.spatial.services.transforms import TYPED_METHODS

_NUMBERS = {"type": "array", "items": {"type": "number"}}
_ROWS = {"type": "array", "items": _NUMBERS}
_SQUARE = {"oneOf": [_ROWS, _NUMBERS]}


class LandmarkSerializer(StrictModelSerializer):
    """The same physical point in both frames, um."""

    source = serializers.SerializerMethodField()
    target = serializers.SerializerMethodField()

    class Meta:
        model = Landmark
        fields = ["number", "source", "target", "u_um", "residual_um", "state", "reason"]
        read_only_fields = fields

    def get_source(self, landmark: Landmark) -> list[float]:
        """(x, y, z) in the source frame."""
        return [landmark.source_x, landmark.source_y, landmark.source_z]

    def get_target(self, landmark: Landmark) -> list[float]:
        """(x, y, z) in the target frame."""
        return [landmark.target_x, landmark.target_y, landmark.target_z]


class DecisionSerializer(StrictModelSerializer):
    """One move of a transform's status."""

    class Meta:
        model = TransformDecision
        fields = ["id", "status", "other", "reason", "decided_by", "created_at"]
        read_only_fields = fields


class OverrideSerializer(StrictModelSerializer):
    """That a transform is used in a state for which it does not hold."""

    class Meta:
        model = TransformOverride
        fields = ["id", "state", "reason", "decided_by", "created_at"]
        read_only_fields = fields


class DecompositionSerializer(serializers.Serializer[Any]):
    """What the matrix does, in words people use: ``linear = rotation @ symmetric stretch`` (@ mirror of z)."""

    angle_deg = serializers.FloatField(help_text="of the one turn about `axis`")
    axis = serializers.ListField(child=serializers.FloatField(), min_length=3, max_length=3)
    euler_deg = serializers.ListField(
        child=serializers.FloatField(), min_length=3, max_length=3, help_text="about the fixed axes x, then y, then z"
    )
    scales = serializers.ListField(
        child=serializers.FloatField(), min_length=3, max_length=3, help_text="along the principal directions"
    )
    shear = serializers.FloatField(help_text="0 where the stretch only scales along x, y and z")
    translation_um = serializers.ListField(child=serializers.FloatField(), min_length=3, max_length=3)
    mirrored = serializers.BooleanField()


def _told_parts(matrix: list[float]) -> dict[str, Any]:
    parts = decompose(np.array(matrix, np.float64).reshape(4, 4))
    return {
        "angle_deg": parts.angle_deg,
        "axis": parts.axis.tolist(),
        "euler_deg": parts.euler_deg.tolist(),
        "scales": parts.scales.tolist(),
        "shear": parts.shear,
        "translation_um": parts.translation_um.tolist(),
        "mirrored": parts.mirrored,
    }


class TransformSerializer(StrictModelSerializer):
    """An edge between two frames: ``target = matrix @ source``, micrometres."""

    matrix = serializers.SerializerMethodField()
    covariance = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), read_only=True, allow_null=True
    )
    landmarks = LandmarkSerializer(many=True, read_only=True)
    decisions = DecisionSerializer(many=True, read_only=True)
    overrides = OverrideSerializer(many=True, read_only=True)
    superseded_by = serializers.SerializerMethodField()
    decomposition = serializers.SerializerMethodField()
    residuals_um = serializers.SerializerMethodField()
    leave_one_out_um = serializers.SerializerMethodField()
    suspects = serializers.SerializerMethodField()
    facts = ObjectField(read_only=True)

    class Meta:
        model = Transform
        fields = [
            "id",
            "project",
            "source",
            "target",
            "kind",
            "method",
            "matrix",
            "field",
            "covariance",
            "degrees_of_freedom",
            "residual_um",
            "no_residual_reason",
            "landmarks",
            "residuals_um",
            "leave_one_out_um",
            "suspects",
            "decomposition",
            "facts",
            "reason",
            "status",
            "decisions",
            "overrides",
            "valid_states",
            "supersedes",
            "superseded_by",
            "job",
            "calibration",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": ["array", "null"], "items": _NUMBERS})
    def get_matrix(self, transform: Transform) -> list[list[float]] | None:
        """4 x 4, row-major; null for a displacement field."""
        flat = transform.matrix
        return None if flat is None else [flat[start : start + 4] for start in (0, 4, 8, 12)]

    @extend_schema_field(DecompositionSerializer(allow_null=True))
    def get_decomposition(self, transform: Transform) -> dict[str, Any] | None:
        """Rotation, scales, shear and shift; null for a displacement field."""
        return None if transform.matrix is None else _told_parts(transform.matrix)

    @extend_schema_field(serializers.ListField(child=serializers.FloatField(allow_null=True)))
    def get_residuals_um(self, transform: Transform) -> list[float | None]:
        """Distance of each mapped source point from its target, by number."""
        return [landmark.residual_um for landmark in transform.landmarks.all()]

    @extend_schema_field(serializers.ListField(child=serializers.FloatField(allow_null=True)))
    def get_leave_one_out_um(self, transform: Transform) -> list[float | None]:
        """By how much the map of all other pairs misses each, by number; empty without a fit."""
        found: list[float | None] = transform.facts.get("fit", {}).get("leave_one_out_um", [])
        return found

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_suspects(self, transform: Transform) -> list[int]:
        """Numbers of the pairs that a robust fit of the others does not explain; empty without a fit."""
        found: list[int] = transform.facts.get("fit", {}).get("suspects", [])
        return found

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_superseded_by(self, transform: Transform) -> str | None:
        """Id of the transform that took its place."""
        successor = getattr(transform, "superseded_by", None)
        return str(successor.pk) if successor else None


class WithdrawnTransformSerializer(TransformSerializer):
    """A withdrawn transform, and what goes stale with it as far as the caller may see it."""

    stale = ThingSerializer(many=True, read_only=True)

    class Meta(TransformSerializer.Meta):
        fields = [*TransformSerializer.Meta.fields, "stale"]
        read_only_fields = fields


class LandmarkInput(StrictSerializer):
    """A landmark pair; a rejected one says why."""

    source = serializers.ListField(child=FiniteFloatField(), min_length=3, max_length=3)
    target = serializers.ListField(child=FiniteFloatField(), min_length=3, max_length=3)
    u_um = FiniteFloatField(required=False, allow_null=True)
    state = serializers.ChoiceField(choices=Landmark.State.choices, required=False)
    reason = serializers.CharField(max_length=500, allow_blank=True, required=False)


@extend_schema_field(_SQUARE)
class SquareField(serializers.ListField):
    """A square matrix, nested or in one row-major list; the service checks it."""


class TransformInput(StrictSerializer):
    """A new candidate edge between two frames."""

    source = serializers.UUIDField()
    target = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Transform.Kind.choices)
    method = serializers.ChoiceField(choices=[(method.value, method.label) for method in TYPED_METHODS])
    matrix = SquareField(
        required=False,
        allow_null=True,
        max_length=16,
        help_text="4 x 4, or 16 numbers row by row; um.  Without it the map is fitted to the landmarks",
    )
    landmarks = serializers.ListField(child=LandmarkInput(), required=False, max_length=10_000)
    store = serializers.UUIDField(required=False, allow_null=True, help_text="displacement fields come from jobs")
    covariance = SquareField(
        required=False, allow_null=True, max_length=144, help_text="12 x 12, positive semi-definite"
    )
    degrees_of_freedom = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=1_000_000)
    no_residual_reason = serializers.CharField(max_length=500, allow_blank=True, required=False)
    valid_states = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=200)
    supersedes = serializers.UUIDField(required=False, allow_null=True)
    reason = serializers.CharField(max_length=20_000, allow_blank=True, required=False)


class AcceptInput(StrictSerializer):
    """Why a transform is accepted."""

    reason = serializers.CharField(max_length=20_000, allow_blank=True, required=False)
    no_residual_reason = serializers.CharField(max_length=500, allow_blank=True, required=False)
    replaces = serializers.UUIDField(
        required=False, allow_null=True, help_text="the accepted transform between the same frames whose place it takes"
    )


class OverrideInput(StrictSerializer):
    """Why a transform is used in a state for which it does not hold."""

    state = serializers.UUIDField()
    reason = serializers.CharField(max_length=20_000)


class FitInput(StrictSerializer):
    """Landmarks to fit a map to, for a look before anything is stored."""

    source = serializers.UUIDField()
    target = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=[(kind, kind) for kind in FITTED_KINDS])
    landmarks = serializers.ListField(child=LandmarkInput(), max_length=10_000)
    predict_at = PointsField(
        required=False,
        allow_null=True,
        help_text="points (x, y, z) of the target frame, um, for which the error of the map is told",
    )


class FitSerializer(serializers.Serializer[Any]):
    """What a fit would give; nothing is stored."""

    matrix = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()))
    covariance = serializers.ListField(child=serializers.ListField(child=serializers.FloatField()), allow_null=True)
    degrees_of_freedom = serializers.IntegerField(allow_null=True)
    residual_um = serializers.FloatField()
    residuals_um = serializers.ListField(child=serializers.FloatField())
    leave_one_out_um = serializers.ListField(child=serializers.FloatField(allow_null=True))
    suspects = serializers.ListField(child=serializers.IntegerField())
    decomposition = DecompositionSerializer()
    factor_95 = serializers.FloatField(
        allow_null=True, help_text="half axes of 95 % ellipsoids / standard errors along them; null without covariance"
    )
    predicted_u95_um = serializers.ListField(
        child=serializers.FloatField(),
        allow_null=True,
        help_text="longest half axis of the 95 % ellipsoid at each point of `predict_at`; null without covariance",
    )
    facts = ObjectField()


class TransformFilter(filters.FilterSet):
    """What a list of transforms can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    source = filters.UUIDFilter(field_name="source_id")
    target = filters.UUIDFilter(field_name="target_id")
    job = filters.UUIDFilter(field_name="job_id")
    kind = filters.ChoiceFilter(choices=Transform.Kind.choices)
    method = filters.ChoiceFilter(choices=Transform.Method.choices)
    status = filters.ChoiceFilter(choices=Transform.Status.choices)


@extend_schema_view(
    create=extend_schema(request=TransformInput, responses={201: TransformSerializer}),
    import_file=extend_schema(responses={201: TransformSerializer}),
)
class TransformViewSet(ExchangeActions, RowViewSet):
    """Transforms between the frames the caller sees."""

    serializer_class = TransformSerializer
    input_class = TransformInput
    queryset = Transform.objects.all()
    filterset_class = TransformFilter
    extra_query_params: tuple[str, ...] = ()
    references = {
        "source": Frame,
        "target": Frame,
        "supersedes": Transform,
        "replaces": Transform,
        "state": State,
    }

    def get_queryset(self) -> QuerySet[Transform]:
        """Visible transforms."""
        return selectors.list_transforms(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Transform:
        """Make a candidate."""
        if values.pop("store", None) is not None:
            raise InvalidValueError(
                "a displacement field is the output of a registration job; give a matrix, or submit the job",
                field="store",
            )
        states = [self.referred(State, key, "valid_states") for key in values.pop("valid_states", [])]
        return services.create_transform(actor=actor, valid_states=states, **values)

    @extend_schema(request=AcceptInput, responses={200: TransformSerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None)
    def accept(self, request: Request, pk: str) -> Response:
        """Accept a candidate; the decision is recorded.

        Where another transform between the same frames is accepted, it must be named as the one to be replaced: 409
        names it else, and the attempt is recorded.
        """
        transform = self.get_object()
        services.accept_transform(actor=self.actor, transform=transform, **self.checked(request, AcceptInput))
        return Response(self.represented(transform))

    @extend_schema(request=OverrideInput, responses={200: TransformSerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None)
    def override(self, request: Request, pk: str) -> Response:
        """Allow an accepted transform to be used in a state for which it does not hold; the reason is recorded."""
        transform = self.get_object()
        services.override_transform(actor=self.actor, transform=transform, **self.checked(request, OverrideInput))
        return Response(self.represented(transform))

    @extend_schema(request=FitInput, responses={200: FitSerializer}, filters=False)
    @action(detail=False, methods=["post"], filterset_class=None)
    def fit(self, request: Request) -> Response:
        """Fit a map to landmarks and show it; stores nothing."""
        values = self.checked(request, FitInput)
        access.require(self.actor, access.Action.CONTRIBUTE, values["source"])
        given = values.pop("predict_at", None)
        points = None if given is None else clean_points(given, "predict_at")
        transform, pairs = services.prepare_transform(method=Transform.Method.LANDMARKS, **values)
        errors = None if points is None else predict_errors(transform, points)
        return Response(_told(transform, pairs) | {"predicted_u95_um": None if errors is None else errors.tolist()})

    @extend_schema(request=ReasonSerializer, responses={200: WithdrawnTransformSerializer}, filters=False)
    @action(detail=True, methods=["post"], filterset_class=None)
    def withdraw(self, request: Request, pk: str) -> Response:
        """Withdraw a transform; answers with what goes stale, as far as the caller may see it."""
        transform = self.get_object()
        reason = self.checked(request, ReasonSerializer)["reason"]
        stale = services.withdraw_transform(actor=self.actor, transform=transform, reason=reason)
        things = ThingSerializer(visible_things(stale, request.user), many=True).data
        return Response(self.represented(transform) | {"stale": things})


def _told(transform: Transform, pairs: list[Pair]) -> dict[str, Any]:
    flat: list[float] = transform.matrix or []
    fit = transform.facts["fit"]
    return {
        "matrix": [flat[start : start + 4] for start in (0, 4, 8, 12)],
        "covariance": transform.covariance,
        "degrees_of_freedom": transform.degrees_of_freedom,
        "residual_um": transform.residual_um,
        "residuals_um": lengths_um(flat, pairs).tolist(),
        "leave_one_out_um": fit["leave_one_out_um"],
        "suspects": fit["suspects"],
        "decomposition": _told_parts(flat),
        "factor_95": factor_95(transform),
        "facts": transform.facts,
    }
