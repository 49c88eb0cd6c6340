"""REST of attachments: files kept beside a specimen or an acquisition, given back as they came."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, QueryDict
from django.http.response import HttpResponseBase
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog.models import Specimen
from apps.core.api.serializers import StrictModelSerializer
from apps.core.api.views import ReadViewSet
from apps.core.errors import InvalidValueError
from apps.imaging import selectors, services
from apps.imaging.api.caller import caller
from apps.imaging.api.upload import UnreadUploads, form_values, receive_form
from apps.imaging.models import Acquisition, Attachment
from apps.imaging.services.receive import Receipt
from apps.projects import access

_OWNERS: dict[str, Any] = {"specimen": Specimen, "acquisition": Acquisition}
_FORM = {
    "multipart/form-data": {
        "type": "object",
        "properties": {
            **{name: {"type": "string", "format": "uuid"} for name in _OWNERS},
            "file": {"type": "string", "format": "binary"},
        },
        "required": ["file"],
    }
}


class AttachmentSerializer(StrictModelSerializer):
    """A file beside a specimen or an acquisition; its bytes are at ``attachments/{id}/file``."""

    class Meta:
        model = Attachment
        fields = [
            "id",
            "project",
            "specimen",
            "acquisition",
            "name",
            "sha256",
            "size",
            "media_type",
            "uploaded_by",
            "created_at",
        ]
        read_only_fields = fields


class AttachmentFilter(filters.FilterSet):
    """What a list of attachments can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    acquisition = filters.UUIDFilter(field_name="acquisition_id")


class AttachmentViewSet(UnreadUploads, ReadViewSet):
    """Attachments of the projects the caller sees."""

    serializer_class = AttachmentSerializer
    queryset = Attachment.objects.all()
    filterset_class = AttachmentFilter

    def get_queryset(self) -> QuerySet[Attachment]:
        """Visible attachments."""
        return selectors.list_attachments(self.request.user)

    @extend_schema(request=_FORM, responses={201: AttachmentSerializer})
    def create(self, request: Request) -> Response:
        """Keep one file beside a specimen or an acquisition: a form that names it before the `file`."""
        with ExitStack() as stack:
            fields, receipt = receive_form(request._request, self._open, stack)
            for name in form_values(fields):
                if name not in _OWNERS:
                    raise InvalidValueError(f"unknown; known are {', '.join(_OWNERS)} and file", field=name[:100])
            if not isinstance(receipt, services.AttachmentReceipt):
                raise InvalidValueError("no file came; send multipart/form-data with one `file`", field="file")
            row = receipt.commit()
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED)

    def _open(self, fields: QueryDict) -> Receipt:
        given = {name: str(fields[name]) for name in _OWNERS if fields.get(name)}
        if len(given) != 1:
            raise InvalidValueError("give a `specimen` or an `acquisition`, one of them, before the `file`")
        ((name, text),) = given.items()
        try:
            key = uuid.UUID(text)
        except ValueError as error:
            raise InvalidValueError(f"{text[:80]!r} is no id", field=name) from error
        thing = access.get_visible(_OWNERS[name].objects.all(), self.request.user, key, field=name)
        return services.open_attachment(actor=caller(self.request), thing=thing)

    @extend_schema(
        operation_id="attachments_file_retrieve", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}
    )
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        """The bytes, always as a download: a page of somebody else's making is never shown as one of ours."""
        row = self.get_object()
        return FileResponse(
            selectors.open_attachment_bytes(row),
            as_attachment=True,
            filename=row.name,
            content_type="application/octet-stream",
            headers={
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "private, no-cache",
                "ETag": f'"{row.sha256}"',
            },
        )
