"""The job row is the truth about a piece of work; a broker message is only a doorbell."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.models import UUIDModel
from apps.projects.models import Project

ACTIVE = ("queued", "running")
FINISHED = ("succeeded", "failed", "errored", "cancelled")


class Job(UUIDModel):
    """One tracked run of work.  What was asked for is written once; the rest is moved by ``apps.jobs.kernel`` alone."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Status(models.TextChoices):
        """failed: a declared, expected failure; errored: a surprise, a lost worker or a limit."""

        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        SUCCEEDED = "succeeded", "succeeded"
        FAILED = "failed", "failed"
        ERRORED = "errored", "errored"
        CANCELLED = "cancelled", "cancelled"

    # what was asked for: written once
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="jobs")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=32)
    plugin = models.CharField(max_length=100, blank=True)
    plugin_version = models.CharField(max_length=32, blank=True)
    params = models.JSONField(default=dict, help_text="checked parameters, defaults included")
    inputs = models.JSONField(default=dict, help_text="port -> id or list of ids")
    seed = models.PositiveBigIntegerField(default=0)
    content_key = models.CharField(max_length=64, blank=True, help_text="sha256 of all that decides the result")
    rerun_of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="reruns")
    retry_of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="retries")

    # where it stands
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempt = models.PositiveIntegerField(default=0, help_text="fence: every final write names it")
    worker = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True)
    rung_at = models.DateTimeField(null=True, help_text="when the doorbell was last rung")
    progress = models.FloatField(default=0.0)
    progress_text = models.CharField(max_length=500, blank=True)
    cancel_requested = models.BooleanField(default=False)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    # how it ended
    started_at = models.DateTimeField(null=True, help_text="begin of the attempt that counts")
    finished_at = models.DateTimeField(null=True)
    outputs = models.JSONField(default=dict, help_text="port -> {type, id}")
    exit_code = models.CharField(
        max_length=100, blank=True, help_text="name of the declared failure, or of the surprise"
    )
    message = models.TextField(blank=True)
    facts = models.JSONField(default=dict)
    verdict = models.JSONField(null=True, help_text="of a rerun: identical, within_tolerance or differs, and where")
    environment = models.JSONField(default=dict, help_text="software, versions, threads, machine; with its digest")
    timings = models.JSONField(default=dict, help_text="seconds: queued, prepare, run, publish, cpu")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="job_progress_range", condition=Q(progress__gte=0.0, progress__lte=1.0)),
            models.CheckConstraint(
                name="job_queued_has_no_lease", condition=~Q(status="queued") | Q(lease_until__isnull=True, worker="")
            ),
            models.CheckConstraint(
                name="job_running_has_lease",
                condition=~Q(status="running") | (Q(lease_until__isnull=False, attempt__gte=1) & ~Q(worker="")),
            ),
            models.CheckConstraint(
                name="job_finished_has_outcome",
                condition=Q(status__in=ACTIVE, finished_at__isnull=True)
                | Q(status__in=["succeeded", "cancelled"], finished_at__isnull=False)
                | (Q(status__in=["failed", "errored"], finished_at__isnull=False) & ~Q(exit_code="")),
            ),
            models.UniqueConstraint(
                name="job_content_key_once",
                fields=["content_key"],
                condition=Q(status__in=["queued", "running", "succeeded"], rerun_of__isnull=True) & ~Q(content_key=""),
            ),
            models.UniqueConstraint(
                name="job_retried_once", fields=["retry_of"], condition=Q(status__in=["queued", "running", "succeeded"])
            ),
        ]
        indexes = [
            models.Index(fields=["status", "lease_until"], name="job_status_lease_idx"),
            models.Index(fields=["project", "-created_at"], name="job_project_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.plugin or self.kind} {self.id}"


class JobAttempt(models.Model):
    """One claim of a job by one worker."""

    PROJECT_PATH: ClassVar[str | None] = "job__project"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="job_attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"


class JobLogLine(models.Model):
    """One line a job wrote while it ran."""

    PROJECT_PATH: ClassVar[str | None] = "job__project"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log_lines")
    attempt = models.PositiveIntegerField()
    at = models.DateTimeField()
    text = models.TextField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "id"], name="job_log_idx")]

    def __str__(self) -> str:
        return self.text[:80]


class ServiceBeat(models.Model):
    """A sign of life of one running worker or reaper; rows of the dead are removed by the living."""

    PROJECT_PATH: ClassVar[str | None] = None

    role = models.CharField(max_length=16)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    seen_at = models.DateTimeField(help_text="by the database's clock")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["role", "host", "pid"], name="service_beat_once")]

    def __str__(self) -> str:
        return f"{self.role} {self.host}:{self.pid}"
