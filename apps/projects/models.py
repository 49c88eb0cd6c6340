"""Accounts, projects and who may do what in them."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from apps.core.ids import new_id
from apps.core.models import UUIDModel


class User(AbstractUser):
    """An account.  Its id, not its name, stands in records."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    is_site_auditor: bool | None = None  # asked once an object, that is once a request


class Project(UUIDModel):
    """The unit of access and collaboration."""

    PROJECT_PATH: ClassVar[str | None] = "self"

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    licence = models.CharField(max_length=100, blank=True, help_text="SPDX identifier of the data's licence")
    embargo = models.DateField(null=True, blank=True, help_text="not to be published before")
    retention = models.CharField(max_length=500, blank=True, help_text="rule for how long bytes are kept")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        default_permissions: ClassVar[tuple[str, ...]] = ()
        permissions = [
            ("view_project", "May read all of the project"),
            ("contribute_project", "May add data and run analyses"),
            ("manage_project", "May change members and settings"),
            ("audit_project", "May read the audit trail"),
        ]
        constraints = [models.CheckConstraint(name="project_has_name", condition=~Q(name=""))]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """What a member is in a project."""

    VIEWER = "viewer", "viewer"
    CONTRIBUTOR = "contributor", "contributor"
    MANAGER = "manager", "manager"
    AUDITOR = "auditor", "auditor"


class Membership(UUIDModel):
    """The truth about who belongs to a project; guardian rows follow from it."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="membership_once"),
            models.CheckConstraint(name="membership_role_known", condition=Q(role__in=Role.values)),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} of {self.project_id}"


class ProjectUserPermission(UserObjectPermissionBase):
    """Guardian's direct-foreign-key row: one permission of one account on one project."""

    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class ProjectGroupPermission(GroupObjectPermissionBase):
    """Guardian's direct-foreign-key row for a group."""

    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class ApiToken(UUIDModel):
    """A named, scoped key to the REST surface; only its sha256 is stored."""

    class Scope(models.TextChoices):
        """What a token may do."""

        READ = "read", "read"
        WRITE = "write", "read and write"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=5, choices=Scope, default=Scope.WRITE)
    key_sha256 = models.CharField(max_length=64, unique=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.name
