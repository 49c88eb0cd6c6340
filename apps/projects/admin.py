"""Admin of accounts, projects and memberships; its writes go through the services."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.core.admin import ReadOnlyInline, ServiceAdmin, ServiceForm
from apps.core.errors import PermissionRefusedError
from apps.projects import access, services
from apps.projects.models import (
    ApiToken,
    Membership,
    Project,
    ProjectGroupPermission,
    ProjectUserPermission,
    User,
)


def _own(queryset: QuerySet[Any], user: Any, path: str) -> QuerySet[Any]:
    """Leave all rows to superusers, who administer accounts, and to others their own."""
    return queryset if user.is_active and user.is_superuser else queryset.filter(**{path: user.pk})


def _accounts(queryset: QuerySet[Any], user: Any) -> QuerySet[Any]:
    return _own(queryset, user, "pk")


def _tokens(queryset: QuerySet[Any], user: Any) -> QuerySet[Any]:
    return _own(queryset, user, "user")


def _add_user(*, actor: Any, **values: Any) -> User:
    if not actor.is_superuser:
        raise PermissionRefusedError("accounts are made by superusers")
    return services.create_user(**values)


def _change_project(project: Project, *, actor: Any, **changes: Any) -> Project:
    return services.update_project(actor=actor, project=project, **changes)


def _add_membership(*, actor: Any, project: Project, user: User, role: str) -> Membership:
    return services.set_member(actor=actor, project=project, username=user.get_username(), role=role)


def _change_membership(membership: Membership, *, actor: Any, role: str) -> Membership:
    return services.set_member(
        actor=actor, project=membership.project, username=membership.user.get_username(), role=role
    )


class UserForm(ServiceForm):
    """A new account."""

    demanded: ClassVar[tuple[str, ...]] = ("username", "password")
    password = forms.CharField(widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}), strip=False)

    class Meta:
        model = User
        fields = ("username", "email", "is_staff", "is_superuser")

    def clean_password(self) -> str:
        """Hold the password against the installation's rules."""
        password: str = self.cleaned_data["password"]
        validate_password(password)
        return password


class ProjectForm(ServiceForm):
    """A new project; who makes it manages it."""

    demanded: ClassVar[tuple[str, ...]] = ("name",)

    class Meta:
        model = Project
        fields = ("name", "description", "licence", "embargo", "retention")


class ProjectChangeForm(ProjectForm):
    """What is said of a project."""


class MembershipForm(ServiceForm):
    """A member, or another role of one."""

    demanded: ClassVar[tuple[str, ...]] = ("project", "user", "role")

    class Meta:
        model = Membership
        fields = ("project", "user", "role")


class MembershipChangeForm(ServiceForm):
    """Another role."""

    demanded: ClassVar[tuple[str, ...]] = ("role",)

    class Meta:
        model = Membership
        fields = ("role",)


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = readonly_fields = ("user", "role", "created_at")


@admin.register(User)
class UserAdmin(ServiceAdmin):
    narrow = staticmethod(_accounts)
    form = UserForm
    add_service = staticmethod(_add_user)
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("username", "email")
    ordering = ("username",)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Admit no filter by password: its hash could be read letter by letter."""
        return not lookup.startswith("password") and super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show all but the hash of the password."""
        return [name for name in super().get_readonly_fields(request, obj) if name != "password"]


@admin.register(Project)
class ProjectAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    form = ProjectForm
    change_form = ProjectChangeForm
    add_service = staticmethod(services.create_project)
    change_service = staticmethod(_change_project)
    list_display = ("name", "licence", "embargo", "created_by", "created_at")
    list_select_related = ("created_by",)
    search_fields = ("name",)
    inlines = (MembershipInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A project that is being made has no members yet."""
        return self.inlines if obj else ()


@admin.register(Membership)
class MembershipAdmin(ServiceAdmin):
    narrow = staticmethod(access.visible)
    form = MembershipForm
    change_form = MembershipChangeForm
    add_service = staticmethod(_add_membership)
    change_service = staticmethod(_change_membership)
    list_display = ("project", "user", "role", "created_at")
    list_select_related = ("project", "user")
    list_filter = ("role",)
    search_fields = ("project__name", "user__username")


@admin.register(ApiToken)
class ApiTokenAdmin(ServiceAdmin):
    narrow = staticmethod(_tokens)
    list_display = ("name", "user", "scope", "last_used_at", "revoked_at")
    list_select_related = ("user",)
    list_filter = ("scope",)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Admit no filter by the digest of a key."""
        return not lookup.startswith("key_") and super().lookup_allowed(lookup, value, request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show all but the digest of the key."""
        return [name for name in super().get_readonly_fields(request, obj) if name != "key_sha256"]


class PermissionRowAdmin(ServiceAdmin):
    """Rows that follow from memberships; shown for checking, written in ``access`` alone."""

    list_select_related = ("permission", "content_object")


def _permission_rows(queryset: QuerySet[Any], user: Any) -> QuerySet[Any]:
    return queryset.filter(content_object__in=access.project_ids(user))


@admin.register(ProjectUserPermission)
class ProjectUserPermissionAdmin(PermissionRowAdmin):
    narrow = staticmethod(_permission_rows)
    list_display = ("content_object", "user", "permission")


@admin.register(ProjectGroupPermission)
class ProjectGroupPermissionAdmin(PermissionRowAdmin):
    narrow = staticmethod(_permission_rows)
    list_display = ("content_object", "group", "permission")


# A group named "auditor" reads every project: who is in it is set by a recorded act, not by a form.
admin.site.unregister(Group)
