"""What is measured and with what: specimens and their states, materials, instruments, calibrations."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.core.models import UUIDModel
from apps.projects.models import Project


class Material(UUIDModel):
    """A constituent.  Site-wide; its values are rows of :class:`MaterialProperty`."""

    PROJECT_PATH: ClassVar[str | None] = None

    name = models.CharField(max_length=200, unique=True)
    description = models.TextField(blank=True)
    composition = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [models.CheckConstraint(name="material_has_name", condition=~Q(name=""))]

    def __str__(self) -> str:
        return self.name


class MaterialProperty(UUIDModel):
    """One value of a material with unit, standard uncertainty and source; a correction supersedes it."""

    PROJECT_PATH: ClassVar[str | None] = None

    material = models.ForeignKey(Material, on_delete=models.PROTECT, related_name="properties")
    quantity = models.CharField(max_length=64, help_text="thermal_conductivity, density, young_modulus, ...")
    value = models.FloatField()
    u = models.FloatField(null=True, help_text="standard uncertainty, in the unit of the value")
    unit = models.CharField(max_length=32, help_text="UCUM")
    source = models.CharField(max_length=500, blank=True)
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")

    class Meta:
        ordering = ["quantity", "-created_at", "id"]
        verbose_name_plural = "material properties"
        constraints = [
            models.CheckConstraint(name="material_property_u_not_negative", condition=Q(u__isnull=True) | Q(u__gte=0)),
            models.CheckConstraint(name="material_property_named", condition=~Q(quantity="") & ~Q(unit="")),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.value} {self.unit}"


class Instrument(UUIDModel):
    """A machine.  Site-wide."""

    PROJECT_PATH: ClassVar[str | None] = None

    name = models.CharField(max_length=200, unique=True)
    modality = models.CharField(max_length=16, blank=True)
    manufacturer = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    serial_number = models.CharField(max_length=100, blank=True)
    software = models.CharField(max_length=200, blank=True)
    detectors = models.JSONField(default=list)
    responsible = models.CharField(max_length=200, blank=True, help_text="facility group that answers for it")
    stage_axes = models.JSONField(null=True, help_text="sense of each stage axis, once measured; null = not known")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [models.CheckConstraint(name="instrument_has_name", condition=~Q(name=""))]

    def __str__(self) -> str:
        return self.name


class Calibration(UUIDModel):
    """A dated measurement of an instrument's scale: true length = ``factor`` x nominal length.  Written once."""

    PROJECT_PATH: ClassVar[str | None] = None

    class Status(models.TextChoices):
        """A withdrawn calibration stays readable."""

        ACTIVE = "active", "active"
        WITHDRAWN = "withdrawn", "withdrawn"

    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="calibrations")
    version = models.PositiveIntegerField(default=1)
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    axes = models.CharField(max_length=3, default="xyz", help_text="axes it holds for: any of x, y, z")
    factor = models.FloatField(help_text="calibrated length / nominal length, 1")
    u_factor = models.FloatField(help_text="standard uncertainty of the factor, 1")
    standard = models.CharField(max_length=200, help_text="the reference artefact")
    certificate = models.CharField(max_length=200, blank=True)
    traceability = models.CharField(max_length=500, blank=True)
    valid_range = models.JSONField(default=dict, help_text="setting -> [low, high], e.g. magnification, kv, wd_mm")
    measured_at = models.DateField()
    due_at = models.DateField(null=True)
    as_found = models.FloatField(null=True)
    as_left = models.FloatField(null=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_reason = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="calibration_factor_positive", condition=Q(factor__gt=0, u_factor__gte=0)),
            models.CheckConstraint(
                name="calibration_withdrawn_has_reason",
                condition=Q(status="active", withdrawn_at__isnull=True)
                | (Q(status="withdrawn", withdrawn_at__isnull=False) & ~Q(withdrawn_reason="")),
            ),
            models.CheckConstraint(
                name="calibration_due_after_measured",
                condition=Q(due_at__isnull=True) | Q(due_at__gte=F("measured_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} v{self.version}: {self.factor} +- {self.u_factor}"


class Specimen(UUIDModel):
    """A physical piece; parents and children make a tree: panel -> coupon -> section -> lift-out."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="specimens")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    material = models.ForeignKey(Material, null=True, blank=True, on_delete=models.PROTECT, related_name="specimens")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    current_state = models.ForeignKey("State", null=True, on_delete=models.PROTECT, related_name="+")
    external_ids = models.JSONField(default=dict, help_text="scheme -> id: igsn, notebook, customer")
    tags = models.JSONField(default=list)
    key_values = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="specimen_name_once"),
            models.CheckConstraint(name="specimen_has_name", condition=~Q(name="")),
            models.CheckConstraint(name="specimen_not_own_parent", condition=~Q(parent=F("id"))),
        ]

    def __str__(self) -> str:
        return self.name


class State(UUIDModel):
    """A specimen between two events; number 0 is "as received"."""

    PROJECT_PATH: ClassVar[str | None] = "specimen__project"

    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="states")
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=200)

    class Meta:
        ordering = ["specimen", "number"]
        constraints = [models.UniqueConstraint(fields=["specimen", "number"], name="state_number_once")]

    def __str__(self) -> str:
        return f"{self.number}: {self.label}"


class SpecimenEvent(UUIDModel):
    """What was done to a specimen; opens a new state of it."""

    PROJECT_PATH: ClassVar[str | None] = "specimen__project"

    class Kind(models.TextChoices):
        """Kinds of preparation and treatment."""

        CUT = "cut", "cut"
        POLISH = "polish", "polish"
        ETCH = "etch", "etch"
        MILL = "mill", "mill"
        LIFT_OUT = "lift_out", "lift out"
        MOUNT = "mount", "mount"
        CORRODE = "corrode", "corrode"
        COAT = "coat", "coat"
        LOAD = "load", "load"
        OTHER = "other", "other"

    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=10, choices=Kind)
    occurred_at = models.DateTimeField()
    performed_by = models.CharField(max_length=200, blank=True, help_text="a person's name; empty = not stated")
    conditions = models.JSONField(default=dict, help_text="name -> {value, unit}")
    geometry = models.JSONField(null=True, help_text="of a cut or lift-out: cut geometry and pose, um")
    note = models.TextField(blank=True)
    opens = models.OneToOneField(State, on_delete=models.PROTECT, related_name="opened_by")
    child = models.ForeignKey(Specimen, null=True, on_delete=models.PROTECT, related_name="made_by_events")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="event_child_is_other", condition=Q(child__isnull=True) | ~Q(child=F("specimen"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.specimen_id}"
