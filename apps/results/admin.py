"""Admin of numbers and tables: to look at; they are written by jobs alone."""

from __future__ import annotations

from django.contrib import admin

from apps.core.admin import ServiceAdmin
from apps.projects import access
from apps.results.models import Property, Release, ReleaseWithdrawal, Review, Table


@admin.register(Property)
class PropertyAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("name", "unit", "scale_exponent", "job", "image", "project", "created_at")
    list_select_related = ("job", "image", "project")
    list_filter = ("name", "unit")
    search_fields = ("name", "job__plugin")


@admin.register(Table)
class TableAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("name", "rows", "job", "image", "project", "created_at")
    list_select_related = ("job", "image", "project")
    list_filter = ("name",)


@admin.register(Review)
class ReviewAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("property", "table", "verdict", "reviewed_by", "project", "created_at")
    list_select_related = ("property", "table", "reviewed_by", "project")
    list_filter = ("verdict",)


@admin.register(Release)
class ReleaseAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("property", "table", "released_by", "project", "created_at")
    list_select_related = ("property", "table", "released_by", "project")


@admin.register(ReleaseWithdrawal)
class ReleaseWithdrawalAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    list_display = ("release", "reason", "withdrawn_by", "created_at")
    list_select_related = ("release", "withdrawn_by")
