"""REST of jobs: list, detail, log, cancel, retry.  Asking for one is the analysis app's, which extends the view set."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.pagination import CursorPagination
from apps.core.api.serializers import StrictModelSerializer, refuse_body
from apps.core.api.views import ReadViewSet
from apps.jobs import selectors, services
from apps.jobs.models import Job, JobLogLine
from apps.projects.models import User


class OutputSerializer(serializers.Serializer[Any]):
    """One output: what it is and its id."""

    type = serializers.CharField()
    id = serializers.UUIDField()


class JobSerializer(StrictModelSerializer):
    """A job as everybody who sees the project sees it."""

    outputs = serializers.DictField(child=serializers.JSONField(), help_text="port -> {type, id}, or a list of these")
    params = serializers.DictField(child=serializers.JSONField())
    inputs = serializers.DictField(child=serializers.JSONField(), help_text="port -> id or list of ids")
    facts = serializers.DictField(child=serializers.JSONField())
    environment = serializers.DictField(child=serializers.JSONField())
    timings = serializers.DictField(
        child=serializers.FloatField(), help_text="seconds: queued, prepare, run, publish, cpu"
    )

    class Meta:
        model = Job
        fields = [
            "id",
            "project",
            "created_by",
            "created_at",
            "kind",
            "plugin",
            "plugin_version",
            "params",
            "inputs",
            "seed",
            "content_key",
            "rerun_of",
            "retry_of",
            "status",
            "attempt",
            "progress",
            "progress_text",
            "cancel_requested",
            "started_at",
            "finished_at",
            "outputs",
            "exit_code",
            "message",
            "facts",
            "verdict",
            "environment",
            "timings",
        ]
        read_only_fields = fields


class LogLineSerializer(serializers.ModelSerializer[JobLogLine]):
    """One line a job wrote."""

    class Meta:
        model = JobLogLine
        fields = ["attempt", "at", "text"]
        read_only_fields = fields


class LogPagination(CursorPagination):
    """Log lines in the order in which they were written."""

    page_size = 500
    max_page_size = 5000
    ordering = ("id",)


class JobViewSet(ReadViewSet):
    """Jobs of the caller's projects."""

    serializer_class = JobSerializer
    queryset = Job.objects.all()
    filterset_fields = ("project", "kind", "plugin", "status", "content_key", "rerun_of", "retry_of", "created_by")

    def get_queryset(self) -> QuerySet[Job]:
        """Visible jobs."""
        if getattr(self, "swagger_fake_view", False):
            return Job.objects.none()
        return selectors.list_jobs(self.request.user)

    @extend_schema(responses={200: LogLineSerializer(many=True)}, filters=False)
    @action(
        detail=True,
        methods=["get"],
        serializer_class=LogLineSerializer,
        pagination_class=LogPagination,
        filterset_fields=(),
    )
    def log(self, request: Request, pk: str) -> Response:
        """List what the job wrote, oldest first, all attempts."""
        page = self.paginate_queryset(selectors.log_lines(self.get_object()))
        return self.get_paginated_response(LogLineSerializer(page, many=True).data)

    @extend_schema(request=None, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ask for the job to be cancelled (contributor); 409 once it has ended."""
        job = self.get_object()
        refuse_body(request.data)
        job = services.request_cancel(actor=cast(User, request.user), job=job)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={200: JobSerializer, 202: JobSerializer})
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Ask again for a failed or errored job (contributor).

        202 with a new job; 200 with the one that does the same already; 409 for a job that did not fail.
        """
        old = self.get_object()
        refuse_body(request.data)
        job, made = services.retry_job(actor=cast(User, request.user), job=old)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED if made else status.HTTP_200_OK)
