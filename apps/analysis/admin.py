"""Admin of what methods are held to be: to look at; a status is set with its record by the REST surface."""

from __future__ import annotations

from django.contrib import admin

from apps.analysis.models import MethodStatus
from apps.core.admin import ServiceAdmin
from apps.projects import access


@admin.register(MethodStatus)
class MethodStatusAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("plugin", "version", "status", "validated_by", "validated_on", "set_by", "created_at")
    list_select_related = ("set_by",)
    list_filter = ("status", "plugin")
    search_fields = ("plugin",)
