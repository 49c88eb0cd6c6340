"""What was computed: tables and properties, and what people decided about them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.core.models import Store, UUIDModel
from apps.imaging.models import Image, OutsideActivity
from apps.jobs.models import Job
from apps.projects.models import Project, User


class Table(UUIDModel):
    """Columns of equal length, kept as a Parquet file in a store of its own.

    Made by an analysis, or taken in by the job of an outside activity, which then is named.
    """

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="tables")
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="tables")
    image = models.ForeignKey(Image, null=True, on_delete=models.PROTECT, related_name="tables")
    outside_activity = models.ForeignKey(OutsideActivity, null=True, on_delete=models.PROTECT, related_name="tables")
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


def _of_one_result(name: str) -> models.CheckConstraint:
    """A decision is about one property or one table."""
    return models.CheckConstraint(
        name=name,
        condition=Q(property__isnull=False, table__isnull=True) | Q(property__isnull=True, table__isnull=False),
    )


class Review(UUIDModel):
    """What a second person found about a result.  Written once; a later review counts more than an earlier one."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Verdict(models.TextChoices):
        """What the reviewer found."""

        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="reviews")
    property = models.ForeignKey(Property, null=True, on_delete=models.PROTECT, related_name="reviews")
    table = models.ForeignKey(Table, null=True, on_delete=models.PROTECT, related_name="reviews")
    verdict = models.CharField(max_length=8, choices=Verdict)
    comment = models.TextField(blank=True)
    reviewed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            _of_one_result("review_of_one_result"),
            models.CheckConstraint(name="review_rejection_says_why", condition=Q(verdict="approved") | ~Q(comment="")),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.reviewed_by_id}"


class Release(UUIDModel):
    """A result given out for use, on the ground of an approved review.  Written once; it ends by a withdrawal."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="releases")
    property = models.ForeignKey(Property, null=True, on_delete=models.PROTECT, related_name="releases")
    table = models.ForeignKey(Table, null=True, on_delete=models.PROTECT, related_name="releases")
    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="releases")
    comment = models.TextField(blank=True)
    released_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [_of_one_result("release_of_one_result")]

    def __str__(self) -> str:
        return f"released by {self.released_by_id}"


class ReleaseWithdrawal(UUIDModel):
    """The end of a release, with the reason."""

    PROJECT_PATH: ClassVar[str | None] = "release__project"

    release = models.OneToOneField(Release, on_delete=models.PROTECT, related_name="withdrawal")
    reason = models.TextField()
    withdrawn_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [models.CheckConstraint(name="release_withdrawal_has_reason", condition=~Q(reason=""))]

    def __str__(self) -> str:
        return f"withdrawn by {self.withdrawn_by_id}"
