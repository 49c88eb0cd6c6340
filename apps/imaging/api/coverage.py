"""REST of what is where: the images that cover a region, and all that is near a place."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import check_query
from apps.core.clean import clean_number
from apps.core.errors import InvalidValueError
from apps.core.quote import shown
from apps.imaging import coverage
from apps.imaging.api.caller import caller
from apps.imaging.api.schemas import SPACING
from apps.projects import access
from apps.spatial import selectors as spatial
from apps.spatial.api.frames import StepSerializer
from apps.spatial.api.told import clean_point_text, told_warnings
from apps.spatial.geometry import LIMIT_UM
from apps.spatial.models import Frame, Roi
from apps.spatial.roi_mapping import stale_warnings


class AcquiredSerializer(serializers.Serializer[Any]):
    """When an acquisition was made, as stated."""

    value = serializers.CharField(allow_null=True, help_text="local time, ISO 8601")
    zone = serializers.CharField(allow_null=True, help_text="null = unknown")
    source = serializers.CharField(allow_null=True)


@extend_schema_field(SPACING)
class SpacingField(serializers.JSONField):
    """Axis -> {value, unit, source, u} or null."""


class PlacedSerializer(serializers.Serializer[Any]):
    """What an answer says of an image, and of the path to it."""

    image = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    modality = serializers.CharField()
    frame = serializers.UUIDField()
    spacing = SpacingField(allow_null=True)
    calibrated_scale = serializers.BooleanField(help_text="the spacing is that of a calibration")
    acquisition = serializers.UUIDField(allow_null=True)
    acquired_at = AcquiredSerializer(allow_null=True)
    recorded_at = serializers.DateTimeField()
    specimen = serializers.UUIDField()
    state = serializers.UUIDField()
    state_number = serializers.IntegerField()
    u95_um = serializers.FloatField(allow_null=True, help_text="95 % error of the overlap; null = not known")
    path = StepSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class CoverSerializer(PlacedSerializer):
    """An image that shows a region or a part of it."""

    fraction = serializers.FloatField(help_text="part of the region's bounding box inside the image, 0 to 1")
    whole = serializers.BooleanField()
    point = serializers.ListField(child=serializers.FloatField(), help_text="the region's middle in the image's frame")


class CoverageSerializer(serializers.Serializer[Any]):
    """Every image that covers a region."""

    roi = serializers.UUIDField()
    frame = serializers.UUIDField()
    length_unit = serializers.CharField()
    results = CoverSerializer(many=True)
    unreached = serializers.IntegerField(help_text="images of the project that no accepted transforms lead to")
    truncated = serializers.BooleanField()
    warnings = serializers.ListField(child=serializers.CharField())


class NearImageSerializer(PlacedSerializer):
    """An image near a place."""

    distance_um = serializers.FloatField(help_text="to its nearest sample; 0 inside")


class NearRoiSerializer(serializers.Serializer[Any]):
    """A region near a place."""

    roi = serializers.UUIDField()
    name = serializers.CharField()
    status = serializers.CharField()
    frame = serializers.UUIDField()
    distance_um = serializers.FloatField(help_text="to the box around it; 0 inside")
    u95_um = serializers.FloatField(allow_null=True)
    path = StepSerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())


class NearSerializer(serializers.Serializer[Any]):
    """What is near a place."""

    frame = serializers.UUIDField()
    point = serializers.ListField(child=serializers.FloatField())
    radius_um = serializers.FloatField()
    length_unit = serializers.CharField()
    images = NearImageSerializer(many=True)
    rois = NearRoiSerializer(many=True)
    truncated = serializers.BooleanField()


def _placed(found: coverage.Cover | coverage.NearImage) -> dict[str, Any]:
    return coverage.told_image(found.image, found.frame) | {
        "u95_um": found.u95_um,
        "path": found.path.steps,
        "warnings": told_warnings(found.path.doubts),
    }


class RoiCoverageView(GenericAPIView[Roi]):
    """What covers a region."""

    serializer_class = CoverageSerializer
    queryset = Roi.objects.all()

    @extend_schema(operation_id="rois_coverage_retrieve", responses={200: CoverageSerializer})
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Every image, scale and time that shows the region wholly or partly, with the error of each overlap."""
        check_query(request, ())
        actor = caller(request)
        roi = access.get_visible(spatial.list_rois(actor), actor, pk)
        found = coverage.images_covering(actor, roi)
        results = [
            _placed(cover) | {"fraction": cover.fraction, "whole": cover.whole, "point": cover.point.tolist()}
            for cover in found.covers
        ]
        return Response(
            {
                "roi": str(roi.pk),
                "frame": str(roi.frame_id),
                "length_unit": "um",
                "results": results,
                "unreached": found.unreached,
                "truncated": found.truncated,
                "warnings": stale_warnings(roi),
            }
        )


class FrameNearView(GenericAPIView[Frame]):
    """What is near a place."""

    serializer_class = NearSerializer
    queryset = Frame.objects.all()

    @extend_schema(
        operation_id="frames_near_retrieve",
        parameters=[
            OpenApiParameter("point", str, required=True, description="x,y,z in this frame, um"),
            OpenApiParameter("radius_um", float, required=True, description="above 0"),
        ],
        responses={200: NearSerializer},
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """Images and regions that come within a radius of a point, the nearest first."""
        check_query(request, ("point", "radius_um"))
        actor = caller(request)
        frame = access.get_visible(spatial.list_frames(actor), actor, pk)
        point = clean_point_text(request.query_params.get("point", ""), field="point")
        radius = _radius(request.query_params.get("radius_um"))
        found = coverage.find_near(actor, frame, np.array(point), radius)
        return Response(
            {
                "frame": str(frame.pk),
                "point": point,
                "radius_um": radius,
                "length_unit": "um",
                "images": [_placed(near) | {"distance_um": near.distance_um} for near in found.images],
                "rois": [_near_roi(near) for near in found.rois],
                "truncated": found.truncated,
            }
        )


def _radius(text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError as error:
        raise InvalidValueError(f"{shown(text)} is no length in um", field="radius_um") from error
    return clean_number(number, field="radius_um", above=0.0, limit=LIMIT_UM)


def _near_roi(near: Any) -> dict[str, Any]:
    return {
        "roi": str(near.roi.pk),
        "name": near.roi.name,
        "status": near.roi.status,
        "frame": str(near.roi.frame_id),
        "distance_um": near.distance_um,
        "u95_um": near.u95_um,
        "path": near.path.steps,
        "warnings": told_warnings(near.path.doubts),
    }
