"""REST of images as layers of napari."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import check_query
from apps.imaging.api.caller import caller
from apps.imaging.coverage import frame_of
from apps.imaging.models import Image
from apps.imaging.scale import plain_spacing
from apps.imaging.selectors import effective_spacing, list_images, require_calibrated
from apps.projects import access
from apps.spatial import selectors as spatial
from apps.spatial.api.told import clean_uuid, told_warnings
from apps.spatial.coverage import error_at
from apps.spatial.exchange.napari import napari_layer
from apps.spatial.paths import find_path, middle_of


class LayerSerializer(serializers.Serializer[Any]):
    """What ``viewer.add_image(data, **layer)`` takes, and how true it is."""

    name = serializers.CharField()
    affine = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        help_text="from indices of level 0 to um in the frame, axes in the array's order",
    )
    axis_labels = serializers.ListField(child=serializers.CharField())
    units = serializers.ListField(child=serializers.CharField())


class NapariSerializer(serializers.Serializer[Any]):
    """An image as a layer of napari in a frame."""

    image = serializers.UUIDField()
    frame = serializers.UUIDField()
    layer = LayerSerializer()
    u95_um = serializers.FloatField(allow_null=True, help_text="95 % error in the middle of the image")
    warnings = serializers.ListField(child=serializers.CharField())


class ImageNapariView(GenericAPIView[Image]):
    """An image as a layer."""

    serializer_class = NapariSerializer
    queryset = Image.objects.all()

    @extend_schema(
        operation_id="images_napari_retrieve",
        parameters=[OpenApiParameter("frame", uuid.UUID, description="the image's own by default")],
        responses={200: NapariSerializer},
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """The affine map that puts the image's samples into a frame; 409 where no path leads there."""
        check_query(request, ("frame",))
        actor = caller(request)
        image = access.get_visible(list_images(actor).select_related("frame", "calibrated_frame"), actor, pk)
        require_calibrated(image)
        own = frame_of(image)
        given = request.query_params.get("frame")
        if own is None:  # calibrated images have a frame: the database says so
            raise AssertionError(image.pk)
        target = own
        if given is not None:
            key = clean_uuid(given, "frame")
            target = access.get_visible(spatial.list_frames(actor), actor, key, field="frame")
        path = find_path(own, target)
        sizes = dict(zip(image.axes, image.shape, strict=True))
        spacing = plain_spacing(effective_spacing(image) or {})
        return Response(
            {
                "image": str(image.pk),
                "frame": str(target.pk),
                "layer": napari_layer(image.name, path.matrix, spacing, image.axes, sizes),
                "u95_um": error_at(path, middle_of(own)),
                "warnings": told_warnings(path.doubts),
            }
        )
