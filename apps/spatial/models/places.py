"""Where things are: frames, the mounts that open stage frames, transforms between frames, regions of interest."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Least

from apps.catalog.models import Calibration, Instrument, Specimen, State
from apps.core.models import Store, UUIDModel
from apps.jobs.models import Job
from apps.projects.models import Project


class Frame(UUIDModel):
    """A right-handed 3D coordinate system, in micrometres, points as (x, y, z)."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Kind(models.TextChoices):
        """What the frame belongs to."""

        IMAGE = "image", "image"
        STAGE = "stage", "stage of a mount"
        STATE = "state", "state of a specimen"
        CALIBRATED = "calibrated", "image, scale calibrated"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="frames")
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=200)
    description = models.TextField(help_text="origin and axes in words")
    specimen = models.ForeignKey(Specimen, null=True, on_delete=models.PROTECT, related_name="frames")
    state = models.ForeignKey(State, null=True, on_delete=models.PROTECT, related_name="frames")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="frame_described", condition=~Q(description="") & ~Q(name="")),
            models.UniqueConstraint(fields=["state"], condition=Q(kind="state"), name="frame_of_state_once"),
        ]

    def __str__(self) -> str:
        return self.name


class FrameExtent(models.Model):
    """The box that the samples of an image fill in its frame, um, voxel faces included."""

    PROJECT_PATH: ClassVar[str | None] = "frame__project"

    frame = models.OneToOneField(Frame, primary_key=True, on_delete=models.CASCADE, related_name="extent")
    x_min = models.FloatField()
    x_max = models.FloatField()
    y_min = models.FloatField()
    y_max = models.FloatField()
    z_min = models.FloatField()
    z_max = models.FloatField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="frame_extent_ordered",
                condition=Q(x_min__lte=F("x_max"), y_min__lte=F("y_max"), z_min__lte=F("z_max")),
            ),
        ]

    def __str__(self) -> str:
        return f"extent of {self.frame_id}"


class Mount(UUIDModel):
    """A specimen on a stage, from when to when.  Stage positions mean something within one mount only."""

    PROJECT_PATH: ClassVar[str | None] = "specimen__project"

    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="mounts")
    state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="mounts")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="mounts")
    frame = models.OneToOneField(Frame, on_delete=models.PROTECT, related_name="mount")
    holder = models.CharField(max_length=200, blank=True)
    mounted_at = models.DateTimeField()
    unmounted_at = models.DateTimeField(null=True)
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="mount_ends_after_it_begins",
                condition=Q(unmounted_at__isnull=True) | Q(unmounted_at__gte=F("mounted_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.specimen_id} on {self.instrument_id}"


class Transform(UUIDModel):
    """An immutable edge between two frames: ``target = matrix @ source``, 4 x 4 row-major, micrometres."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Kind(models.TextChoices):
        """What the edge may do; a reflection only when said so."""

        TRANSLATION = "translation", "translation"
        RIGID = "rigid", "rigid"
        SIMILARITY = "similarity", "similarity"
        AFFINE = "affine", "affine"
        REFLECTION = "reflection", "reflection"
        DISPLACEMENT = "displacement", "displacement field"

    class Method(models.TextChoices):
        """Where it comes from."""

        STAGE = "stage", "stage"
        LANDMARKS = "landmarks", "landmarks"
        REGISTRATION = "registration", "registration"
        GEOMETRY = "geometry", "geometry"
        CALIBRATION = "calibration", "calibration"
        MANUAL = "manual", "typed by hand"

    class Status(models.TextChoices):
        """Accepted is a pointer whose every move is a :class:`TransformDecision`."""

        CANDIDATE = "candidate", "candidate"
        ACCEPTED = "accepted", "accepted"
        WITHDRAWN = "withdrawn", "withdrawn"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="transforms")
    source = models.ForeignKey(Frame, on_delete=models.PROTECT, related_name="transforms_out")
    target = models.ForeignKey(Frame, on_delete=models.PROTECT, related_name="transforms_in")
    kind = models.CharField(max_length=12, choices=Kind)
    method = models.CharField(max_length=12, choices=Method)
    matrix = models.JSONField(null=True, help_text="16 numbers, row-major; null for a displacement field")
    field = models.ForeignKey(Store, null=True, on_delete=models.PROTECT, related_name="+")
    covariance = models.JSONField(null=True, help_text="12 x 12, row-major entries of the upper 3 x 4 block")
    residual_um = models.FloatField(null=True, help_text="root mean square of the active landmarks' residuals")
    no_residual_reason = models.CharField(max_length=500, blank=True)
    degrees_of_freedom = models.PositiveIntegerField(null=True)
    facts = models.JSONField(
        default=dict, blank=True, help_text="what the fit or the job says of itself: leave-one-out, metric, score gap"
    )
    reason = models.TextField(blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.CANDIDATE)
    valid_states = models.ManyToManyField(State, related_name="+")
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    job = models.ForeignKey(Job, null=True, on_delete=models.PROTECT, related_name="transforms")
    calibration = models.ForeignKey(
        Calibration,
        null=True,
        on_delete=models.PROTECT,
        related_name="transforms",
        help_text="whose factor it is; all transforms of one calibration share one error",
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        # counted at every path, to see whether anything was decided: by the index alone, the rows are large
        indexes = [models.Index(fields=["project", "id"], name="transform_of_project")]
        constraints = [
            models.CheckConstraint(name="transform_joins_two_frames", condition=~Q(source=F("target"))),
            models.CheckConstraint(
                name="transform_accepted_has_residual",
                condition=~Q(status="accepted") | Q(residual_um__isnull=False) | ~Q(no_residual_reason=""),
            ),
            models.CheckConstraint(
                name="transform_has_map",
                condition=Q(kind="displacement", field__isnull=False, matrix__isnull=True)
                | (~Q(kind="displacement") & Q(field__isnull=True, matrix__isnull=False)),
            ),
            models.CheckConstraint(
                name="transform_residual_not_negative", condition=Q(residual_um__isnull=True) | Q(residual_um__gte=0)
            ),
            models.CheckConstraint(
                name="transform_of_calibration_names_it",
                condition=Q(method="calibration", calibration__isnull=False)
                | (~Q(method="calibration") & Q(calibration__isnull=True)),
            ),
            models.UniqueConstraint(fields=["source", "calibration"], name="transform_of_calibration_once"),
            # "accepted" is a pointer a pair of frames, whichever way round the transforms were written
            models.UniqueConstraint(
                Least("source", "target"),
                Greatest("source", "target"),
                condition=Q(status="accepted"),
                name="transform_accepted_once_a_pair",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.source_id} -> {self.target_id}"


class TransformDecision(UUIDModel):
    """One move of a transform's status, or an attempt that came too late: by whom and why."""

    PROJECT_PATH: ClassVar[str | None] = "transform__project"

    class Status(models.TextChoices):
        """What the transform became, or that it did not."""

        CANDIDATE = "candidate", "replaced, a candidate again"
        ACCEPTED = "accepted", "accepted"
        WITHDRAWN = "withdrawn", "withdrawn"
        REFUSED = "refused", "refused: another was accepted"

    transform = models.ForeignKey(Transform, on_delete=models.PROTECT, related_name="decisions")
    status = models.CharField(max_length=10, choices=Status)
    other = models.ForeignKey(
        Transform,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="the transform that was replaced, took its place, or was in the way",
    )
    reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="transform_withdrawal_has_reason", condition=~Q(status="withdrawn") | ~Q(reason="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.transform_id}"


class TransformOverride(UUIDModel):
    """That a transform is used in a state it was not valid for, by whom and why."""

    PROJECT_PATH: ClassVar[str | None] = "transform__project"

    transform = models.ForeignKey(Transform, on_delete=models.PROTECT, related_name="overrides")
    state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="transform_override_has_reason", condition=~Q(reason="")),
            models.UniqueConstraint(fields=["transform", "state"], name="transform_override_once_a_state"),
        ]

    def __str__(self) -> str:
        return f"{self.transform_id} in state {self.state_id}"


class Landmark(UUIDModel):
    """The same physical point in both frames of a transform, um, each with its own standard error."""

    PROJECT_PATH: ClassVar[str | None] = "transform__project"

    class State(models.TextChoices):
        """Whether the pair takes part in the fit."""

        ACTIVE = "active", "active"
        HELD_OUT = "held_out", "held out"
        REJECTED = "rejected", "rejected"

    transform = models.ForeignKey(Transform, on_delete=models.PROTECT, related_name="landmarks")
    number = models.PositiveIntegerField()
    source_x = models.FloatField()
    source_y = models.FloatField()
    source_z = models.FloatField()
    target_x = models.FloatField()
    target_y = models.FloatField()
    target_z = models.FloatField()
    u_um = models.FloatField(null=True, help_text="standard error of the pair, um")
    residual_um = models.FloatField(null=True, help_text="length of mapped source less target, um")
    state = models.CharField(max_length=8, choices=State, default=State.ACTIVE)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["transform", "number"]
        constraints = [
            models.UniqueConstraint(fields=["transform", "number"], name="landmark_number_once"),
            models.CheckConstraint(name="landmark_rejected_has_reason", condition=~Q(state="rejected") | ~Q(reason="")),
            models.CheckConstraint(name="landmark_u_positive", condition=Q(u_um__isnull=True) | Q(u_um__gt=0)),
        ]

    def __str__(self) -> str:
        return f"pair {self.number} of {self.transform_id}"


class Roi(UUIDModel):
    """A place in a frame: geometry written once; a correction is a new version that supersedes it."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Status(models.TextChoices):
        """From wish to measurement."""

        PROPOSED = "proposed", "proposed"
        TARGETED = "targeted", "targeted"
        ACQUIRED = "acquired", "acquired"

    class GeometryType(models.TextChoices):
        """Forms of geometry; a mask is an image and a value."""

        POINT = "point", "point"
        POLYLINE = "polyline", "polyline"
        POLYGON = "polygon", "polygon"
        BOX = "box", "box"
        MESH = "mesh", "mesh"
        MASK = "mask", "mask"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="rois")
    frame = models.ForeignKey(Frame, on_delete=models.PROTECT, related_name="rois")
    name = models.CharField(max_length=200)
    purpose = models.CharField(max_length=500, blank=True)
    geometry_type = models.CharField(max_length=8, choices=GeometryType)
    geometry = models.JSONField(help_text="as given: {type, coordinates} in um, or {type: mask, image, value}")
    x_min = models.FloatField()
    x_max = models.FloatField()
    y_min = models.FloatField()
    y_max = models.FloatField()
    z_min = models.FloatField()
    z_max = models.FloatField()
    status = models.CharField(max_length=10, choices=Status, default=Status.PROPOSED)
    target_instrument = models.ForeignKey(Instrument, null=True, on_delete=models.PROTECT, related_name="+")
    version = models.PositiveIntegerField(default=1)
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="roi_has_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="roi_box_ordered",
                condition=Q(x_min__lte=F("x_max"), y_min__lte=F("y_max"), z_min__lte=F("z_max")),
            ),
        ]

    def __str__(self) -> str:
        return self.name
