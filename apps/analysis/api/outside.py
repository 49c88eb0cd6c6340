"""REST of work done in other programs."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.analysis import selectors, services
from apps.catalog.api.base import RowViewSet
from apps.catalog.models import Specimen, State
from apps.core.api.serializers import ObjectField, StrictModelSerializer, StrictSerializer
from apps.core.errors import InvalidValueError
from apps.imaging.api.serializers import OperatorField, OverridesSerializer, SourceFileSerializer
from apps.imaging.api.upload import UnreadUploads, form_values, receive_form
from apps.imaging.models import Image, OutsideActivity
from apps.imaging.services import Receipt
from apps.projects import access
from apps.projects.models import Project

_NESTED = ("parameters", "overrides")
_LISTS = ("inputs", "files")
_IDS = {"type": "array", "items": {"type": "string", "format": "uuid"}}


class OutsideActivitySerializer(StrictModelSerializer):
    """Work done outside, as somebody asserts it."""

    operator = OperatorField(read_only=True, allow_null=True)
    parameters = ObjectField(read_only=True)
    inputs = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    message = serializers.SerializerMethodField()
    images = serializers.SerializerMethodField()
    tables: serializers.PrimaryKeyRelatedField[Any] = serializers.PrimaryKeyRelatedField(many=True, read_only=True)
    asserted_by: serializers.PrimaryKeyRelatedField[Any] = serializers.PrimaryKeyRelatedField(
        source="created_by", read_only=True
    )

    class Meta:
        model = OutsideActivity
        fields = [
            "id",
            "project",
            "specimen",
            "state",
            "kind",
            "software",
            "version",
            "parameters",
            "operator",
            "performed_at",
            "performed_zone",
            "inputs",
            "like",
            "files",
            "note",
            "asserted_by",
            "status",
            "message",
            "job",
            "images",
            "tables",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(_IDS)
    def get_inputs(self, row: OutsideActivity) -> list[str]:
        """Ids of what it worked on; none: from nothing recorded."""
        return [entry["id"] for entry in row.inputs]

    @extend_schema_field(SourceFileSerializer(many=True))
    def get_files(self, row: OutsideActivity) -> Any:
        """What it left: files that came with it, and files of acquisitions."""
        return SourceFileSerializer([*row.files.all(), *row.received.all()], many=True).data

    @extend_schema_field(serializers.ChoiceField(choices=["queued", "running", "ready", "failed"]))
    def get_status(self, row: OutsideActivity) -> str:
        """How far the reading of its files is; ready where there was nothing to read."""
        return selectors.outside_status(row)

    def get_message(self, row: OutsideActivity) -> str:
        """What the job says, most of all why it failed."""
        return row.job.message if row.job else ""

    @extend_schema_field(_IDS)
    def get_images(self, row: OutsideActivity) -> list[uuid.UUID]:
        """Ids of the images and labels that came of it."""
        return selectors.outside_images(row)


class OutsideActivityDetailSerializer(OutsideActivitySerializer):
    """Outside work with the raw headers of its files."""

    header = ObjectField(read_only=True, help_text="raw header of every file that was read, whole")

    class Meta(OutsideActivitySerializer.Meta):
        fields = [*OutsideActivitySerializer.Meta.fields, "header"]
        read_only_fields = fields


class OutsideActivityInput(StrictSerializer):
    """Work done outside.  In a form, `parameters` and `overrides` are JSON texts, `inputs` and `files` lists."""

    project = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=OutsideActivity.Kind.choices)
    software = serializers.CharField(max_length=200)
    version = serializers.CharField(max_length=100)
    parameters = ObjectField(required=False, help_text="what the program was told to do")
    operator = OperatorField(required=False, allow_null=True)
    performed_at = serializers.CharField(required=False, max_length=40, help_text="ISO 8601, with or without offset")
    performed_zone = serializers.CharField(required=False, max_length=64, help_text="IANA name or +hh:mm")
    inputs = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="images, acquisitions or source files of the project"
    )
    files = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="source files of acquisitions that this work had made"
    )
    specimen = serializers.UUIDField(required=False, allow_null=True, help_text="that of the inputs by default")
    state = serializers.UUIDField(required=False, allow_null=True)
    like = serializers.UUIDField(required=False, allow_null=True, help_text="input image on whose grid labels lie")
    overrides = OverridesSerializer(required=False, allow_null=True)
    note = serializers.CharField(required=False, allow_blank=True, max_length=20_000)


class OutsideActivityFilter(filters.FilterSet):
    """What a list of outside activities can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    kind = filters.ChoiceFilter(choices=OutsideActivity.Kind.choices)
    software = filters.CharFilter(field_name="software")


_FORM = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("kind", "software", "version", "operator", "note")},
        **{name: {"type": "string"} for name in ("performed_at", "performed_zone")},
        **{name: {"type": "string", "format": "uuid"} for name in ("project", "specimen", "state", "like")},
        **{name: {"type": "string", "description": "JSON"} for name in _NESTED},
        **dict.fromkeys(_LISTS, _IDS),
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
    "required": ["project", "kind", "software", "version"],
}


@extend_schema_view(
    create=extend_schema(
        request={"application/json": OutsideActivityInput, "multipart/form-data": _FORM},
        responses={201: OutsideActivityDetailSerializer},
    ),
    retrieve=extend_schema(responses={200: OutsideActivityDetailSerializer}),
)
class OutsideActivityViewSet(UnreadUploads, RowViewSet):
    """Work done in other programs: asserted, with the files it left."""

    serializer_class = OutsideActivitySerializer
    input_class = OutsideActivityInput
    queryset = OutsideActivity.objects.all()
    filterset_class = OutsideActivityFilter
    references = {"project": Project, "specimen": Specimen, "state": State, "like": Image}

    def get_queryset(self) -> QuerySet[OutsideActivity]:
        """Visible outside activities."""
        rows = selectors.list_outside_activities(self.request.user)
        return rows.defer("header") if self.action == "list" else rows

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Lists are without raw headers."""
        return OutsideActivitySerializer if self.action == "list" else OutsideActivityDetailSerializer

    def create(self, request: Request) -> Response:
        """Enter work done outside: JSON that names received files, or a form with `file` parts after its fields."""
        with ExitStack() as stack:
            receipt: Receipt | None = None
            data: Any = None
            if request.content_type.startswith("multipart/form-data"):
                fields, receipt = receive_form(request._request, self._open_receipt, stack)
                data = _as_body(fields)
            else:
                data = request.data
            row = services.create_outside_activity(actor=self.actor, receipt=receipt, **self._values(data))
        return Response(self.represented(row), status=status.HTTP_201_CREATED)

    def _open_receipt(self, fields: QueryDict) -> Receipt:
        """Who sends bytes must say first into which project: it is asked before any is kept."""
        field = serializers.UUIDField()
        try:
            key = field.run_validation(fields.get("project", ""))
        except serializers.ValidationError as error:
            raise InvalidValueError("give `project`, an id, before the first `file`", field="project") from error
        project = access.get_visible(Project.objects.all(), self.request.user, key, field="project")
        return services.open_outside_receipt(actor=self.actor, project=project)

    def _values(self, data: Any) -> dict[str, Any]:
        serializer = OutsideActivityInput(data=data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        for name, model in self.references.items():
            if values.get(name) is not None:
                values[name] = self.referred(model, values[name], name)
        operator = values.pop("operator", None)
        values["operator_name" if isinstance(operator, str) else "operator"] = operator
        return values


def _as_body(fields: QueryDict) -> dict[str, Any]:
    """The form as a JSON body; an operator is a username or, beginning with a brace, JSON."""
    nested = [*_NESTED, "operator"] if fields.get("operator", "").startswith("{") else _NESTED
    return form_values(fields, nested=nested, lists=_LISTS)
