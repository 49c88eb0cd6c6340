"""REST of acquisitions and series."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.catalog.api.base import RowViewSet
from apps.catalog.models import Instrument, Specimen, State
from apps.core.api.filters import TagFilter
from apps.core.api.serializers import refuse_body
from apps.core.errors import InvalidValueError
from apps.imaging import selectors, services
from apps.imaging.api.caller import caller
from apps.imaging.api.serializers import (
    AcquisitionDetailSerializer,
    AcquisitionInput,
    AcquisitionSerializer,
    AcquisitionWords,
    IngestAnswer,
    IngestInput,
    MoveInput,
    ReceivedSerializer,
    SeriesInput,
    SeriesSerializer,
)
from apps.imaging.api.upload import UnreadUploads, receive_multipart
from apps.imaging.api.uploads import FilesInput
from apps.imaging.models import Acquisition, Modality, Series, SourceFile
from apps.projects.models import Project
from apps.spatial.models import Mount

_FILES = {
    "application/json": FilesInput,
    "multipart/form-data": {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        "required": ["file"],
    },
}


class AcquisitionFilter(filters.FilterSet):
    """What a list of acquisitions can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    state = filters.UUIDFilter(field_name="state_id")
    instrument = filters.UUIDFilter(field_name="instrument_id")
    series = filters.UUIDFilter(field_name="series_id")
    modality = filters.ChoiceFilter(choices=Modality.choices)
    tag = TagFilter(field_name="tags")


class SeriesFilter(filters.FilterSet):
    """What a list of series can be narrowed by."""

    project = filters.UUIDFilter(field_name="project_id")
    specimen = filters.UUIDFilter(field_name="specimen_id")
    kind = filters.ChoiceFilter(choices=Series.Kind.choices)


@extend_schema_view(
    create=extend_schema(request=AcquisitionInput, responses={201: AcquisitionDetailSerializer}),
    retrieve=extend_schema(responses={200: AcquisitionDetailSerializer}),
)
class AcquisitionViewSet(UnreadUploads, RowViewSet):
    """Acquisitions of the projects the caller sees."""

    serializer_class = AcquisitionSerializer
    input_class = AcquisitionInput
    queryset = Acquisition.objects.all()
    filterset_class = AcquisitionFilter
    references = {
        "project": Project,
        "specimen": Specimen,
        "state": State,
        "instrument": Instrument,
        "mount": Mount,
        "series": Series,
    }

    def get_queryset(self) -> QuerySet[Acquisition]:
        """Visible acquisitions; a list leaves the raw headers in the database."""
        rows = selectors.list_acquisitions(self.request.user)
        return rows.defer("header", "facts") if self.action == "list" else rows

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        """Lists are without raw headers."""
        return AcquisitionSerializer if self.action == "list" else AcquisitionDetailSerializer

    def make(self, actor: Any, values: dict[str, Any]) -> Acquisition:
        """Record an act of measuring."""
        operator = values.pop("operator", None)
        if isinstance(operator, str):
            values["operator_name"] = operator
        else:
            values["operator"] = operator
        return services.create_acquisition(actor=actor, **values)

    @extend_schema(request=AcquisitionWords, responses={200: AcquisitionDetailSerializer})
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change tags, key-values or external ids; the former words stay in the record."""
        acquisition = self.get_object()
        values = self.checked(request, AcquisitionWords)
        services.update_acquisition(actor=caller(request), acquisition=acquisition, **values)
        return Response(self.represented(acquisition))

    @extend_schema(request=MoveInput, responses={200: AcquisitionDetailSerializer})
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:
        """Put it to the right specimen; its images follow, the history is kept."""
        acquisition = self.get_object()
        values = self.checked(request, MoveInput)
        services.move_acquisition(actor=caller(request), acquisition=acquisition, **values)
        return Response(self.represented(acquisition))

    @extend_schema(request=_FILES, responses={201: ReceivedSerializer})
    @action(detail=True, methods=["post"])
    def files(self, request: Request, pk: str) -> Response:
        """Receive source files: sent, named by their path in a share, or uploaded before; all of a request, or none."""
        acquisition = self.get_object()
        if request._request.content_type == "application/json":
            rows = self._named(request, acquisition)
            return Response(ReceivedSerializer({"files": rows}).data, status=status.HTTP_201_CREATED)
        with services.open_receipt(actor=caller(request), acquisition=acquisition) as receipt:
            receive_multipart(request._request, receipt)
            rows = receipt.commit()
        return Response(ReceivedSerializer({"files": rows}).data, status=status.HTTP_201_CREATED)

    def _named(self, request: Request, acquisition: Acquisition) -> list[SourceFile]:
        values = self.checked(request, FilesInput)
        if "path" in values or "paths" in values:
            paths = values["paths"] if "paths" in values else [values["path"]]
            return services.import_files(actor=caller(request), acquisition=acquisition, paths=paths)
        ids = list(dict.fromkeys(values["uploads"] if "uploads" in values else [values["upload"]]))
        rows = {row.pk: row for row in selectors.list_uploads(request.user).filter(pk__in=ids)}
        if unseen := [key for key in ids if key not in rows]:
            raise InvalidValueError(f"you have no upload {unseen[0]}", field="upload")
        uploads = [rows[key] for key in ids]
        return services.take_uploads(actor=caller(request), acquisition=acquisition, uploads=uploads)

    @extend_schema(request=None, responses={202: IngestAnswer})
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, pk: str) -> Response:
        """Look into the files before they are taken: a job, whose facts hold the groups as `preview`."""
        acquisition = self.get_object()
        refuse_body(request.data)
        job = services.start_preview(actor=caller(request), acquisition=acquisition)
        return Response({"job": str(job.pk)}, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=IngestInput, responses={202: IngestAnswer})
    @action(detail=True, methods=["post"])
    def ingest(self, request: Request, pk: str) -> Response:
        """Turn the files into images: a job."""
        acquisition = self.get_object()
        values = self.checked(request, IngestInput)
        job = services.start_ingest(actor=caller(request), acquisition=acquisition, overrides=values.get("overrides"))
        return Response({"job": str(job.pk)}, status=status.HTTP_202_ACCEPTED)


@extend_schema_view(create=extend_schema(request=SeriesInput, responses={201: SeriesSerializer}))
class SeriesViewSet(RowViewSet):
    """Series of the projects the caller sees."""

    serializer_class = SeriesSerializer
    input_class = SeriesInput
    queryset = Series.objects.all()
    filterset_class = SeriesFilter
    references = {"project": Project, "specimen": Specimen}

    def get_queryset(self) -> QuerySet[Series]:
        """Visible series."""
        return selectors.list_series(self.request.user)

    def make(self, actor: Any, values: dict[str, Any]) -> Series:
        """Open a series."""
        return services.create_series(actor=actor, **values)
