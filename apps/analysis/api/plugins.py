"""REST of plugins, and of submitting and re-running analyses."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema, extend_schema_serializer
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.analysis import selectors, services
from apps.analysis.models import MethodStatus
from apps.core.api.filters import check_query
from apps.core.api.serializers import ObjectField, StrictSerializer, refuse_body
from apps.core.errors import InvalidValueError, NotFoundError
from apps.jobs.api import JobSerializer
from apps.jobs.api import JobViewSet as JobReadViewSet
from apps.jobs.models import Job
from apps.projects import access
from apps.projects.models import Project


class PortSerializer(serializers.Serializer[Any]):
    """An input or output of a plugin."""

    name = serializers.CharField()
    type = serializers.CharField()
    description = serializers.CharField()
    required = serializers.BooleanField()
    many = serializers.BooleanField()
    calibrated = serializers.BooleanField(help_text="the image must have a scale")
    dims = serializers.ListField(child=serializers.IntegerField(), allow_null=True)


class ExitCodeSerializer(serializers.Serializer[Any]):
    """A declared failure."""

    code = serializers.IntegerField()
    name = serializers.CharField()
    message = serializers.CharField()


class MethodStatusSerializer(serializers.Serializer[Any]):
    """What a version was held to be from a time on, and the record of its validation."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=MethodStatus.Status.choices)
    version = serializers.CharField()
    reason = serializers.CharField()
    validated_by = serializers.CharField()
    validated_on = serializers.DateField(allow_null=True)
    text = serializers.CharField()
    document = serializers.CharField()
    job = serializers.UUIDField(allow_null=True, help_text="a run that shows it; null where you may not see it")
    set_by = serializers.UUIDField()
    created_at = serializers.DateTimeField()


class MethodStatusInput(StrictSerializer):
    """A new status of the installed version; the last five belong to a validation."""

    status = serializers.ChoiceField(choices=MethodStatus.Status.choices)
    reason = serializers.CharField(max_length=20_000)
    version = serializers.CharField(max_length=32, required=False)
    validated_by = serializers.CharField(max_length=200, required=False)
    validated_on = serializers.DateField(required=False)
    text = serializers.CharField(max_length=20_000, required=False)
    document = serializers.CharField(max_length=500, required=False)
    job = serializers.UUIDField(required=False)


class PluginSerializer(serializers.Serializer[Any]):
    """A registered analysis."""

    name = serializers.CharField()
    version = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    status = serializers.ChoiceField(choices=MethodStatus.Status.choices, help_text="of this version; a draft at first")
    statuses = MethodStatusSerializer(many=True, help_text="of this version, newest first")
    inputs = PortSerializer(many=True)
    outputs = PortSerializer(many=True)
    params = serializers.DictField(help_text="JSON Schema of the parameters")
    exit_codes = ExitCodeSerializer(many=True)
    references = serializers.ListField(child=serializers.CharField())


@extend_schema_serializer(many=False)
class PluginListSerializer(serializers.Serializer[Any]):
    """All plugins on one page."""

    results = PluginSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class PluginViewSet(viewsets.ViewSet):
    """Plugins: what can be run, with ports, parameters and exit codes."""

    lookup_value_regex = r"[a-z0-9_]+\.[a-z0-9_]+"
    lookup_field = "name"

    @extend_schema(responses={200: PluginListSerializer})
    def list(self, request: Request) -> Response:
        """List all plugins."""
        check_query(request)
        plugins = selectors.list_plugins(access.account_of(request.user))
        return Response(PluginListSerializer({"results": plugins, "next": None, "previous": None}).data)

    @extend_schema(responses={200: PluginSerializer}, parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH)])
    def retrieve(self, request: Request, name: str) -> Response:
        """Describe one plugin."""
        check_query(request)
        return Response(self._described(request, name))

    @extend_schema(
        request=MethodStatusInput,
        responses={201: PluginSerializer},
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH)],
    )
    @action(detail=True, methods=["post"])
    def status(self, request: Request, name: str) -> Response:
        """Say what the installed version is held to be (staff): draft, validated, or retired and not run any more."""
        check_query(request)
        self._described(request, name)
        serializer = MethodStatusInput(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        if "job" in data:
            data["job"] = access.get_visible(Job.objects.all(), request.user, data["job"], field="job")
        services.set_method_status(actor=access.account_of(request.user), plugin=name, **data)
        return Response(self._described(request, name), status=status.HTTP_201_CREATED)

    def _described(self, request: Request, name: str) -> Any:
        plugin = selectors.get_plugin(name, access.account_of(request.user))
        if plugin is None:
            raise NotFoundError(f"there is no plugin {name}")
        return PluginSerializer(plugin).data


def _flag(request: Request, name: str) -> bool:
    given = request.query_params.get(name, "0").lower()
    if given not in ("0", "1", "false", "true"):
        raise InvalidValueError(f"{given[:20]!r} is neither 1 nor 0", field=name)
    return given in ("1", "true")


class SubmissionSerializer(StrictSerializer):
    """A run that is asked for."""

    project = serializers.UUIDField()
    plugin = serializers.CharField(max_length=100)
    params = ObjectField(required=False, default=dict)
    inputs = ObjectField(help_text="port -> id, or list of ids where the port takes many")
    seed = serializers.IntegerField(min_value=0, max_value=services.MAX_SEED, required=False, default=0)


class DryRunSerializer(serializers.Serializer[Any]):
    """What a submission would do."""

    valid = serializers.BooleanField()
    plugin = serializers.CharField()
    version = serializers.CharField()
    params = serializers.DictField()
    existing = serializers.UUIDField(allow_null=True)
    cost = serializers.DictField(allow_null=True)
    start = serializers.CharField(allow_null=True, help_text="start of a registration that the server gives")


_FOUND_OR_ESTIMATED = PolymorphicProxySerializer(
    component_name="FoundOrEstimated", serializers=[JobSerializer, DryRunSerializer], resource_type_field_name=None
)


class JobViewSet(JobReadViewSet):
    """Jobs; POST submits an analysis."""

    write_query_params = ("dry_run",)

    @extend_schema(
        request=SubmissionSerializer,
        parameters=[OpenApiParameter("dry_run", bool, description="check and estimate only")],
        responses={200: _FOUND_OR_ESTIMATED, 202: JobSerializer},
    )
    def create(self, request: Request) -> Response:
        """Submit a run: 202 with the job; an equal one that is there already answers 200."""
        serializer = SubmissionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = dict(serializer.validated_data)
        data["project"] = access.get_visible(Project.objects.all(), request.user, data["project"], field="project")
        if _flag(request, "dry_run"):
            return Response(services.estimate(actor=access.account_of(request.user), **data))
        job, created = services.submit(actor=access.account_of(request.user), **data)
        return Response(
            self.get_serializer(job).data, status=status.HTTP_202_ACCEPTED if created else status.HTTP_200_OK
        )

    @extend_schema(request=None, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, pk: str) -> Response:
        """Run a finished analysis again; the new job's ``verdict`` compares the two results."""
        original = self.get_object()
        refuse_body(request.data)
        job = services.rerun(actor=access.account_of(request.user), job=original)
        return Response(self.get_serializer(job).data, status=status.HTTP_202_ACCEPTED)
