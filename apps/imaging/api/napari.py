"""REST of images as layers of napari."""

from __future__ import annotations

import uuid
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import check_query
from apps.core.errors import InvalidValueError
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
from apps.spatial.models import Frame
from apps.spatial.paths import find_path, middle_of

MAX_LAYERS: Final = 50


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
        given = request.query_params.get("frame")
        target = None
        if given is not None:
            key = clean_uuid(given, "frame")
            target = access.get_visible(spatial.list_frames(actor), actor, key, field="frame")
        return Response(told_layer(image, target))


class LayersSerializer(serializers.Serializer[Any]):
    """Images as layers of napari in one frame."""

    frame = serializers.UUIDField()
    length_unit = serializers.CharField()
    layers = NapariSerializer(many=True)


class FrameNapariView(GenericAPIView[Frame]):
    """Images as layers in a frame."""

    serializer_class = LayersSerializer
    queryset = Frame.objects.all()

    @extend_schema(
        operation_id="frames_napari_retrieve",
        parameters=[OpenApiParameter("images", str, required=True, description="ids, separated by commas")],
        responses={200: LayersSerializer},
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        """An affine map a layer that puts each image into this frame; 409 where no path leads there."""
        check_query(request, ("images",))
        actor = caller(request)
        frame = access.get_visible(spatial.list_frames(actor), actor, pk)
        keys = [part.strip() for part in request.query_params.get("images", "").split(",") if part.strip()]
        if not 1 <= len(keys) <= MAX_LAYERS:
            raise InvalidValueError(f"give 1 to {MAX_LAYERS} ids of images, separated by commas", field="images")
        rows = list_images(actor).select_related("frame", "calibrated_frame")
        images = [access.get_visible(rows, actor, clean_uuid(key, "images"), field="images") for key in keys]
        layers = [told_layer(image, frame) for image in images]
        return Response({"frame": str(frame.pk), "length_unit": "um", "layers": layers})


def told_layer(image: Image, target: Frame | None) -> dict[str, Any]:
    """An image as a layer in a frame, its own by default."""
    require_calibrated(image)
    own = frame_of(image)
    if own is None:  # calibrated images have a frame: the database says so
        raise AssertionError(image.pk)
    target = target or own
    path = find_path(own, target)
    sizes = dict(zip(image.axes, image.shape, strict=True))
    spacing = plain_spacing(effective_spacing(image) or {})
    return {
        "image": str(image.pk),
        "frame": str(target.pk),
        "layer": napari_layer(image.name, path.matrix, spacing, image.axes, sizes),
        "u95_um": error_at(path, middle_of(own)),
        "warnings": told_warnings(path.doubts),
    }
