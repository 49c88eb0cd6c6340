"""Admin of numbers and tables: to look at; they are written by jobs alone."""

from __future__ import annotations

from django.contrib import admin

from apps.core.admin import ServiceAdmin
from apps.projects import access
from apps.results.models import Property, Table


@admin.register(Property)
class PropertyAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("name", "unit", "scale_exponent", "job", "image", "project", "created_at")
    list_select_related = ("job", "image", "project")
    list_filter = ("name", "unit")


@admin.register(Table)
class TableAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("name", "rows", "job", "image", "project", "created_at")
    list_select_related = ("job", "image", "project")
    list_filter = ("name",)
