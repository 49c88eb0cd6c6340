"""Admin of jobs: to look at; a job is moved by the kernel and by its own page alone."""

from __future__ import annotations

from django.contrib import admin

from apps.core.admin import ReadOnlyInline, ServiceAdmin
from apps.jobs.models import Job, JobAttempt, JobLogLine, ServiceBeat
from apps.projects import access


class AttemptInline(ReadOnlyInline):
    model = JobAttempt
    fields = readonly_fields = ("number", "worker", "started_at", "ended_at", "outcome")


@admin.register(Job)
class JobAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("__str__", "status", "project", "created_by", "attempt", "created_at", "finished_at")
    list_select_related = ("project", "created_by")
    list_filter = ("status", "kind", "plugin")
    search_fields = ("plugin", "message", "project__name")
    inlines = (AttemptInline,)


@admin.register(JobAttempt)
class JobAttemptAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("job", "number", "worker", "started_at", "ended_at", "outcome")
    list_select_related = ("job",)
    list_filter = ("outcome",)


@admin.register(JobLogLine)
class JobLogLineAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("at", "job", "attempt", "text")
    list_select_related = ("job",)


@admin.register(ServiceBeat)
class ServiceBeatAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("role", "host", "pid", "seen_at")
