"""What the laboratory holds of its methods."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.models import UUIDModel
from apps.jobs.models import Job
from apps.projects.models import User


class MethodStatus(UUIDModel):
    """What one version of a plugin is held to be, from now on; with the record of its validation.

    Site-wide and written once: the newest row of a version counts, and a version without one is a draft.
    """

    PROJECT_PATH: ClassVar[str | None] = None

    class Status(models.TextChoices):
        """A draft runs and is named as one; a retired method is not run any more."""

        DRAFT = "draft", "draft"
        VALIDATED = "validated", "validated"
        RETIRED = "retired", "retired"

    plugin = models.CharField(max_length=100)
    version = models.CharField(max_length=32)
    status = models.CharField(max_length=10, choices=Status)
    reason = models.TextField()
    validated_by = models.CharField(max_length=200, blank=True, help_text="who did the validation, by name")
    validated_on = models.DateField(null=True)
    text = models.TextField(blank=True, help_text="what was compared with what, and what came out")
    document = models.CharField(max_length=500, blank=True, help_text="number or address of the report")
    job = models.ForeignKey(Job, null=True, on_delete=models.PROTECT, related_name="+", help_text="a run that shows it")
    set_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name_plural = "method statuses"
        indexes = [models.Index(fields=["plugin", "version", "-created_at"], name="method_status_idx")]
        constraints = [
            models.CheckConstraint(name="method_status_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="method_validated_has_record",
                condition=~Q(status="validated") | (Q(validated_on__isnull=False) & ~Q(validated_by="") & ~Q(text="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plugin} {self.version}: {self.status}"
