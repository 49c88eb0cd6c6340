"""REST of uploads: tus 1.0 with the extensions creation, checksum, expiration and termination."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from apps.core.api.serializers import StrictModelSerializer, StrictSerializer
from apps.core.api.views import ReadViewSet
from apps.core.errors import CorrError, InvalidValueError
from apps.core.quote import shown
from apps.imaging import selectors, services
from apps.imaging.api.caller import caller
from apps.imaging.models import Upload

VERSION: Final = "1.0.0"
PIECE: Final = "application/offset+octet-stream"
_OPTIONS: Final = {
    "Tus-Version": VERSION,
    "Tus-Extension": "creation,checksum,expiration,termination",
    "Tus-Checksum-Algorithm": ",".join(services.CHECKSUMS),
}


class TusVersionError(CorrError):
    """The caller speaks another version of the protocol."""

    status = 412
    code = "tus_version"
    title = "Another version of tus"


class FilesInput(StrictSerializer):
    """Files that are not sent in this request: by path in a share, or uploads that are whole."""

    path = serializers.CharField(required=False, max_length=4096, trim_whitespace=False)
    paths = serializers.ListField(
        child=serializers.CharField(max_length=4096, trim_whitespace=False), required=False, max_length=2000
    )
    upload = serializers.UUIDField(required=False)
    uploads = serializers.ListField(
        child=serializers.UUIDField(), required=False, allow_empty=False, max_length=services.MOST_OPEN
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the four."""
        if len(attrs) != 1:
            said = "give one of path or paths (share/folder/file), upload or uploads (ids of whole uploads)"
            raise serializers.ValidationError({"path": [said]})
        return attrs


class UploadSerializer(StrictModelSerializer):
    """A file on its way in."""

    offset = serializers.SerializerMethodField()
    expires_at = serializers.DateTimeField(source="store.lease_until", read_only=True)

    class Meta:
        model = Upload
        fields = ["id", "name", "size", "offset", "media_type", "created_at", "expires_at"]
        read_only_fields = fields

    def get_offset(self, upload: Upload) -> int:
        """Bytes that are there."""
        return selectors.upload_offset(upload)


def _header(name: str, text: str, *, required: bool = True) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, required=required, description=text)


_TUS = _header("Tus-Resumable", f"`{VERSION}`")


class UploadViewSet(ReadViewSet):
    """The caller's uploads."""

    serializer_class = UploadSerializer
    queryset = Upload.objects.all()

    def get_queryset(self) -> QuerySet[Upload]:
        """One's own."""
        return selectors.list_uploads(self.request.user)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Say the version in every answer, refusals included."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer.headers["Tus-Resumable"] = VERSION
        if answer.status_code == TusVersionError.status:
            answer.headers["Tus-Version"] = VERSION
        return answer

    @extend_schema(exclude=True)
    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """What this server speaks."""
        told = _OPTIONS | {"Tus-Max-Size": str(settings.CORR_MAX_UPLOAD_BYTES)}
        return Response(status=status.HTTP_204_NO_CONTENT, headers=told)

    @extend_schema(responses={200: UploadSerializer})
    def retrieve(self, request: Request, pk: str) -> Response:
        """An upload; `HEAD` gives the same as headers, `Upload-Offset` and `Upload-Length`."""
        upload = self.get_object()
        if request.method == "HEAD":
            _check_version(request)
        return Response(self.get_serializer(upload).data, headers=_told(upload) | {"Cache-Control": "no-store"})

    @extend_schema(
        request=None,
        responses={201: UploadSerializer},
        parameters=[
            _TUS,
            _header("Upload-Length", "bytes of the whole file"),
            _header("Upload-Metadata", "`filename <base64>`, and `filetype <base64>` where known"),
        ],
    )
    def create(self, request: Request) -> Response:
        """Begin an upload; `Location` is where its pieces go."""
        _check_version(request)
        size = _number(request, "Upload-Length")
        words = _metadata(request.headers.get("Upload-Metadata", ""))
        if "filename" not in words:
            raise InvalidValueError(
                "Upload-Metadata must hold `filename <base64 of the name>`", field="Upload-Metadata"
            )
        upload = services.begin_upload(
            actor=caller(request), name=words["filename"], size=size, media_type=words.get("filetype", "")
        )
        upload = self.get_queryset().get(pk=upload.pk)
        place = reverse("upload-detail", args=[upload.pk], request=request)
        data = self.get_serializer(upload).data
        return Response(data, status=status.HTTP_201_CREATED, headers=_told(upload) | {"Location": place})

    @extend_schema(
        request={PIECE: OpenApiTypes.BINARY},
        responses={204: None},
        parameters=[
            _TUS,
            _header("Upload-Offset", "where the piece begins: the number of bytes that are there"),
            _header("Upload-Checksum", "`sha256 <base64>` or `sha1 <base64>` of the piece", required=False),
        ],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Send the next piece; the answer's `Upload-Offset` says how much is there."""
        upload = self.get_object()
        _check_version(request)
        if request._request.content_type != PIECE:
            raise UnsupportedMediaType(request._request.content_type or "nothing", f"a piece is sent as {PIECE}")
        services.receive_piece(
            actor=caller(request),
            upload=upload,
            offset=_number(request, "Upload-Offset"),
            read=request._request.read,
            length=_number(request, "Content-Length"),
            checksum=_checksum(request.headers.get("Upload-Checksum", "")),
        )
        upload.refresh_from_db()
        return Response(status=status.HTTP_204_NO_CONTENT, headers=_told(upload))

    @extend_schema(parameters=[_TUS], responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Give an upload up."""
        upload = self.get_object()
        _check_version(request)
        services.remove_upload(actor=caller(request), upload=upload)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _told(upload: Upload) -> dict[str, str]:
    found = {"Upload-Offset": str(selectors.upload_offset(upload)), "Upload-Length": str(upload.size)}
    if upload.store.lease_until is not None:
        found["Upload-Expires"] = upload.store.lease_until.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return found


def _check_version(request: Request) -> None:
    given = request.headers.get("Tus-Resumable")
    if given != VERSION:
        raise TusVersionError(f"the header Tus-Resumable says {shown(given)}; this server speaks {VERSION}")


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidValueError(f"the header {name} must be a whole number of bytes; it is {shown(text)}", field=name)
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    """`key base64, key base64`, the keys once each."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, _, coded = part.strip().partition(" ")
        try:
            value = base64.b64decode(coded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            said = f"the value of {shown(key)} is no base64 of UTF-8"
            raise InvalidValueError(said, field="Upload-Metadata") from error
        if not key or key in found:
            raise InvalidValueError(f"{shown(key)} is no key, or stands twice", field="Upload-Metadata")
        found[key] = value
    return found


def _checksum(text: str) -> services.Checksum | None:
    if not text:
        return None
    algorithm, _, coded = text.partition(" ")
    try:
        digest = base64.b64decode(coded, validate=True)
    except binascii.Error as error:
        raise InvalidValueError("the digest is no base64", field="Upload-Checksum") from error
    if algorithm not in services.CHECKSUMS:
        known = " and ".join(services.CHECKSUMS)
        raise InvalidValueError(f"{shown(algorithm)} is unknown; known are {known}", field="Upload-Checksum")
    return services.Checksum(algorithm, digest)
