"""The loop of a region: that it was sent to a stage, seeing which prediction, and where it was found."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.catalog.models import Instrument
from apps.core.models import UUIDModel
from apps.spatial.models.places import Mount, Roi


class Targeting(UUIDModel):
    """That a region was chosen for a stage, with the prediction that was seen.  Written once.

    Points are (x, y, z) in the stage frame of the mount, um.
    """

    PROJECT_PATH: ClassVar[str | None] = "roi__project"

    roi = models.ForeignKey(Roi, on_delete=models.PROTECT, related_name="targetings")
    mount = models.ForeignKey(Mount, on_delete=models.PROTECT, related_name="targetings")
    predicted = models.JSONField(help_text="in the stage frame, um")
    covariance = models.JSONField(null=True, help_text="of the predicted point, 3 x 3, um^2; null = not known")
    degrees_of_freedom = models.FloatField(null=True, help_text="of that covariance; null where errors were given")
    u95_um = models.FloatField(null=True, help_text="longest half axis of the 95 % ellipsoid; null = not known")
    position = models.JSONField(help_text="what the stage shows: x, y, z, working_distance (um), rotation, tilt (deg)")
    path = models.JSONField(default=list, help_text="list of {transform, direction}")
    warnings = models.JSONField(default=list, help_text="what spoke against it, in words")
    reason = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="targeting_freedom_of_covariance",
                condition=Q(covariance__isnull=False) | Q(degrees_of_freedom__isnull=True, u95_um__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.roi_id} for {self.mount_id}"


class Found(UUIDModel):
    """Where a region was found on a stage, beside where it was predicted to be.  Written once.

    Points are (x, y, z) in the stage frame of the mount, um; ``position`` is the reading as it was given.
    """

    PROJECT_PATH: ClassVar[str | None] = "roi__project"

    roi = models.ForeignKey(Roi, on_delete=models.PROTECT, related_name="found")
    mount = models.ForeignKey(Mount, on_delete=models.PROTECT, related_name="found")
    instrument = models.ForeignKey(
        Instrument, on_delete=models.PROTECT, related_name="found", help_text="on whose stage it was found"
    )
    source_instrument = models.ForeignKey(
        Instrument,
        null=True,
        on_delete=models.PROTECT,
        related_name="predicted",
        help_text="in whose image the region was marked; null = not known",
    )
    position = models.JSONField(help_text="stage reading: x, y, z (um), rotation, tilt (deg), working_distance (um)")
    point = models.JSONField(help_text="the same in the stage frame, um")
    u_um = models.FloatField(null=True, help_text="standard error of the reading, each axis, um; null = not stated")
    predicted = models.JSONField(null=True, help_text="in the stage frame, um; null where no path led there")
    covariance = models.JSONField(null=True, help_text="of the predicted point, 3 x 3, um^2; null = not known")
    degrees_of_freedom = models.FloatField(null=True, help_text="of that covariance; null where errors were given")
    path = models.JSONField(default=list, help_text="list of {transform, direction}")
    no_prediction_reason = models.CharField(max_length=500, blank=True)
    targeting = models.ForeignKey(
        Targeting,
        null=True,
        on_delete=models.PROTECT,
        related_name="found",
        help_text="the choice that led there, with the prediction of that time; null where it was not sent there",
    )
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name = "found position"
        constraints = [
            models.CheckConstraint(
                name="found_predicted_or_reason",
                condition=Q(predicted__isnull=False) | ~Q(no_prediction_reason=""),
            ),
            models.CheckConstraint(
                name="found_covariance_of_prediction",
                condition=Q(predicted__isnull=False) | Q(covariance__isnull=True, degrees_of_freedom__isnull=True),
            ),
            models.CheckConstraint(name="found_u_positive", condition=Q(u_um__isnull=True) | Q(u_um__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.roi_id} on {self.mount_id}"
