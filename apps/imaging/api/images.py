"""REST of images: rows, bytes of their stores, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from django.db.models import QuerySet
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.filters import StrictBooleanFilter
from apps.core.api.views import ReadViewSet
from apps.imaging import chunks, selectors, services, thumbnails
from apps.imaging.api.answers import CACHE_CONTROL, matches, not_modified
from apps.imaging.api.calibrations import CalibrationActions
from apps.imaging.api.caller import caller
from apps.imaging.api.serializers import CalibrateInput, ImageSerializer
from apps.imaging.api.spectra import SpectrumActions
from apps.imaging.models import Image

_BLOCK = 1 << 18
_BYTES = {(200, "application/octet-stream"): OpenApiTypes.BINARY, (200, "application/json"): OpenApiTypes.OBJECT}


class ImageFilter(filters.FilterSet):
    """What a list of images can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    state = filters.UUIDFilter(field_name="state_id")
    acquisition = filters.UUIDFilter(field_name="acquisition_id")
    job = filters.UUIDFilter(field_name="job_id")
    frame = filters.UUIDFilter(field_name="frame_id")
    kind = filters.ChoiceFilter(choices=Image.Kind.choices)
    current = StrictBooleanFilter(field_name="superseded_by", lookup_expr="isnull")


class _Part:
    """A range of an open file, in blocks; closes the file."""

    def __init__(self, stream: IO[bytes], begin: int, end: int) -> None:
        self._stream, self._left = stream, end - begin
        stream.seek(begin)

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (block := self._stream.read(min(_BLOCK, self._left))):
            self._left -= len(block)
            yield block

    def close(self) -> None:
        self._stream.close()


def _serve_chunk(request: Request, chunk: chunks.Chunk) -> HttpResponseBase:
    """The file, a range of it, or its headers alone."""
    headers = {"ETag": chunk.etag, "Cache-Control": CACHE_CONTROL, "Accept-Ranges": "bytes"}
    wanted = _wanted_range(request, chunk)
    begin, end = wanted or (0, chunk.size)
    code = status.HTTP_206_PARTIAL_CONTENT if wanted else status.HTTP_200_OK
    if wanted:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{chunk.size}"
    headers["Content-Length"] = str(end - begin)
    if request.method == "HEAD":
        return HttpResponse(status=code, content_type=chunk.media_type, headers=headers)
    stream = chunk.open()
    if wanted is None:
        return FileResponse(stream, content_type=chunk.media_type, headers=headers)
    part = _Part(stream, begin, end)
    return StreamingHttpResponse(part, status=code, content_type=chunk.media_type, headers=headers)


def _wanted_range(request: Request, chunk: chunks.Chunk) -> tuple[int, int] | None:
    """The range asked for; none where ``If-Range`` names other bytes."""
    header = request.headers.get("Range")
    condition = request.headers.get("If-Range")
    if header is None or (condition is not None and condition.strip() != chunk.etag):
        return None
    return chunks.parse_range(header, chunk.size)


class ImageViewSet(CalibrationActions, SpectrumActions, ReadViewSet):
    """Images of the projects the caller sees."""

    serializer_class = ImageSerializer
    queryset = Image.objects.all()
    filterset_class = ImageFilter
    extra_query_params: tuple[str, ...] = ()

    def get_queryset(self) -> QuerySet[Image]:
        """Visible images."""
        return selectors.list_images(self.request.user)

    @extend_schema(request=CalibrateInput, responses={201: ImageSerializer})
    @action(detail=True, methods=["post"])
    def calibrate(self, request: Request, pk: str) -> Response:
        """Set the scale by hand: a new version of the image over the same samples."""
        image = self.get_object()
        serializer = CalibrateInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        new = services.calibrate_image(actor=caller(request), image=image, **serializer.validated_data)
        row = self.get_queryset().get(pk=new.pk)
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="images_zarr_retrieve",
        parameters=[OpenApiParameter("key", str, OpenApiParameter.PATH, description="path of a file below the store")],
        responses=_BYTES,
    )
    def zarr(self, request: Request, pk: str, key: str) -> HttpResponseBase:
        """One file of the image's OME-Zarr store: ETag, If-None-Match, a single Range, HEAD."""
        chunk = chunks.find_chunk(self.get_object(), key)
        if matches(request, chunk.etag):
            return not_modified(chunk.etag)
        return _serve_chunk(request, chunk)

    @extend_schema(
        operation_id="images_thumbnail_retrieve",
        parameters=[OpenApiParameter("size", int, description="pixels of the longer side, 16 to 1024; 256 by default")],
        responses={(200, "image/png"): OpenApiTypes.BINARY},
    )
    def thumbnail(self, request: Request, pk: str) -> HttpResponseBase:
        """A picture of the middle plane."""
        size = thumbnails.check_size(request.query_params.get("size"))
        image = self.get_object()
        etag = thumbnails.etag(image, size)
        if matches(request, etag):
            return not_modified(etag)
        return HttpResponse(
            thumbnails.thumbnail(image, size),
            content_type="image/png",
            headers={"ETag": etag, "Cache-Control": CACHE_CONTROL},
        )
