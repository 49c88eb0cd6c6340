"""REST of calibrations at work: choose one for an image, apply it to an image or to all of its instrument."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog.models import Calibration
from apps.core.api.filters import check_query
from apps.core.api.serializers import StrictSerializer
from apps.imaging import choice, services
from apps.imaging.api.caller import caller
from apps.imaging.api.serializers import ImageSerializer
from apps.projects import access
from apps.projects.models import Project


class ApplyInput(StrictSerializer):
    """Which calibration, and why."""

    calibration = serializers.UUIDField(allow_null=True, help_text="null: back to the nominal spacing")
    reason = serializers.CharField(max_length=20_000)


class ApplyAllInput(StrictSerializer):
    """Where, and why."""

    reason = serializers.CharField(max_length=20_000)
    project = serializers.UUIDField(required=False, allow_null=True, help_text="images of this project only")


class CandidateSerializer(serializers.Serializer[Any]):
    """A calibration that comes into question for an image."""

    calibration = serializers.UUIDField(source="calibration.pk")
    version = serializers.IntegerField(source="calibration.version")
    axes = serializers.CharField(source="calibration.axes")
    factor = serializers.FloatField(source="calibration.factor")
    u_factor = serializers.FloatField(source="calibration.u_factor")
    measured_at = serializers.DateField(source="calibration.measured_at")
    due_at = serializers.DateField(source="calibration.due_at", allow_null=True)
    holds = serializers.BooleanField(help_text="nothing speaks against it")
    flags = serializers.SerializerMethodField()
    notes = serializers.SerializerMethodField()

    def get_flags(self, row: choice.Candidate) -> list[str]:
        """Where it does not hold, or where that cannot be judged, in codes."""
        return [flag.code for flag in row.flags]

    def get_notes(self, row: choice.Candidate) -> list[str]:
        """The same in words."""
        return [flag.words for flag in row.flags]


class CandidatesSerializer(serializers.Serializer[Any]):
    """The calibrations for an image."""

    results = CandidateSerializer(many=True)


class LeftSerializer(serializers.Serializer[Any]):
    """An image that was left as it is."""

    image = serializers.UUIDField(source="image.pk")
    why = serializers.ListField(child=serializers.CharField())


class AppliedSerializer(serializers.Serializer[Any]):
    """What became of the images of an instrument."""

    images = serializers.SerializerMethodField()
    left = LeftSerializer(many=True)
    more = serializers.BooleanField(help_text="the call ended at its limit; ask again")

    def get_images(self, row: services.Applied) -> list[uuid.UUID]:
        """Ids of the new versions."""
        return [image.pk for image in row.made]


class CalibrationActions:
    """Actions of images that concern calibrations; a part of the viewset of images."""

    @extend_schema(request=ApplyInput, responses={201: ImageSerializer})
    @action(detail=True, methods=["post"], url_path="apply-calibration")
    def apply_calibration(self, request: Request, pk: str) -> Response:
        """Put the image under a calibration, or take it off with null: a new version over the same samples."""
        view: Any = self
        image = view.get_object()
        serializer = ApplyInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        actor = caller(request)
        key = values["calibration"]
        row = None
        if key is not None:
            row = access.get_visible(Calibration.objects.all(), actor, key, field="calibration")
        new = services.apply_calibration(actor=actor, image=image, calibration=row, reason=values["reason"])
        shown = view.get_serializer(view.get_queryset().get(pk=new.pk))
        return Response(shown.data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={200: CandidatesSerializer}, filters=False)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def calibrations(self, request: Request, pk: str) -> Response:
        """Calibrations of the image's instrument for its date, with where each does not hold."""
        view: Any = self
        found = choice.candidates(view.get_object())
        return Response({"results": CandidateSerializer(found, many=True).data})


class CalibrationApplyView(GenericAPIView[Calibration]):
    """Apply a calibration to what its instrument measured."""

    serializer_class = ApplyAllInput
    queryset = Calibration.objects.all()

    @extend_schema(operation_id="calibrations_apply_create", request=ApplyAllInput, responses={200: AppliedSerializer})
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Put under it every image that it holds for, in the caller's projects; images that need a choice are left."""
        check_query(request, ())
        actor = caller(request)
        calibration = access.get_visible(Calibration.objects.all(), actor, pk)
        serializer = ApplyAllInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        key = values.get("project")
        project = None if key is None else access.get_visible(Project.objects.all(), actor, key, field="project")
        found = services.apply_to_instrument(
            actor=actor, calibration=calibration, reason=values["reason"], project=project
        )
        return Response(AppliedSerializer(found).data)
