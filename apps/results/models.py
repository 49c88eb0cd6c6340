"""What was computed: tables and properties."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.models import Store, UUIDModel
from apps.imaging.models import Image
from apps.jobs.models import Job
from apps.projects.models import Project


class Table(UUIDModel):
    """Columns of equal length, kept as a Parquet file in a store of its own."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="tables")
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="tables")
    image = models.ForeignKey(Image, null=True, on_delete=models.PROTECT, related_name="tables")
    name = models.CharField(max_length=100)
    columns = models.JSONField(help_text="name, unit, scale_exponent, description of every column")
    rows = models.PositiveIntegerField()
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="tables")

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.name


class Property(UUIDModel):
    """A number, list or tensor with unit, interval and what the interval contains.

    ``scale_exponent`` n: the value goes as s**n when every spacing is multiplied by s; 0: it carries no scale; null:
    not
    simply so.
    """

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="properties")
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="properties")
    image = models.ForeignKey(Image, null=True, on_delete=models.PROTECT, related_name="properties")
    name = models.CharField(max_length=100)
    value = models.JSONField(null=True, help_text="a number or nested lists of numbers; null where there is none")
    unit = models.CharField(max_length=32, help_text="UCUM")
    interval = models.JSONField(null=True, help_text="low, high, level, contains")
    error = models.JSONField(default=dict, help_text="part of the error -> size, in the unit of the value")
    facts = models.JSONField(default=dict)
    scale_exponent = models.IntegerField(null=True)
    depends_on_anisotropy = models.BooleanField(default=False)

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name_plural = "properties"
        constraints = [models.CheckConstraint(name="property_has_unit", condition=~Q(unit="") & ~Q(name=""))]

    def __str__(self) -> str:
        return f"{self.name} [{self.unit}]"
