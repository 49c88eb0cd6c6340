"""What was measured: acquisitions, the files they left, the images read from them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.catalog.models import Calibration, Instrument, Specimen, State
from apps.core.models import Store, UUIDModel
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.spatial.models import Frame, Mount


class Modality(models.TextChoices):
    """How an acquisition was made."""

    LIGHT = "light", "light microscopy"
    XRM = "xrm", "X-ray microscopy"
    NANO_XRM = "nano_xrm", "nano-scale X-ray microscopy"
    SEM = "sem", "SEM"
    FIB_SEM = "fib_sem", "FIB-SEM"
    TEM = "tem", "TEM"
    STEM = "stem", "STEM"
    EDS = "eds", "EDS"
    EBSD = "ebsd", "EBSD"
    NEUTRON = "neutron", "neutron imaging"
    OTHER = "other", "other"


class Series(UUIDModel):
    """Ordered acquisitions: time points of a 4D study, a tilt or a depth series."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Kind(models.TextChoices):
        """What is ordered."""

        TIME = "time", "time"
        TILT = "tilt", "tilt"
        DEPTH = "depth", "depth"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="series")
    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="series")
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=200)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name_plural = "series"
        constraints = [models.CheckConstraint(name="series_has_name", condition=~Q(name=""))]

    def __str__(self) -> str:
        return self.name


class Acquisition(UUIDModel):
    """One act of measuring.  The operator is who stood at the instrument, never by default who uploaded."""

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="acquisitions")
    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="acquisitions")
    state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="acquisitions")
    modality = models.CharField(max_length=8, choices=Modality)
    instrument = models.ForeignKey(Instrument, null=True, on_delete=models.PROTECT, related_name="acquisitions")
    mount = models.ForeignKey(Mount, null=True, on_delete=models.PROTECT, related_name="acquisitions")
    operator = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    operator_name = models.CharField(max_length=200, blank=True, help_text="a named person without account")
    acquired_at = models.CharField(max_length=40, blank=True, help_text="the instrument's local time, as text")
    acquired_zone = models.CharField(max_length=64, blank=True, help_text="its zone; empty = unknown")
    clock_uncertainty_s = models.FloatField(null=True)
    settings = models.JSONField(default=dict, help_text="name -> {value, unit}")
    position = models.JSONField(null=True, help_text="stage reading: x, y, z (um), rotation, tilt (deg)")
    header = models.JSONField(default=dict, help_text="raw header of every file, whole")
    facts = models.JSONField(default=dict, help_text="name -> {value, unit, source: file, derived or user}")
    series = models.ForeignKey(Series, null=True, on_delete=models.PROTECT, related_name="acquisitions")
    series_index = models.PositiveIntegerField(null=True)
    elapsed_h = models.FloatField(null=True)
    tags = models.JSONField(default=list)
    key_values = models.JSONField(default=dict)
    external_ids = models.JSONField(default=dict, help_text="scheme -> id: notebook, session, customer")
    ingest_job = models.ForeignKey(Job, null=True, on_delete=models.PROTECT, related_name="ingested_acquisitions")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="acquisition_one_operator", condition=Q(operator__isnull=True) | Q(operator_name="")
            ),
            models.CheckConstraint(
                name="acquisition_series_has_index",
                condition=Q(series__isnull=True, series_index__isnull=True)
                | Q(series__isnull=False, series_index__isnull=False),
            ),
            models.UniqueConstraint(fields=["series", "series_index"], name="acquisition_series_index_once"),
        ]

    def __str__(self) -> str:
        return f"{self.modality} of {self.specimen_id}"


class AcquisitionMove(UUIDModel):
    """An acquisition put to the right specimen, with the reason; the history is kept."""

    PROJECT_PATH: ClassVar[str | None] = "acquisition__project"

    acquisition = models.ForeignKey(Acquisition, on_delete=models.PROTECT, related_name="moves")
    from_state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="+")
    to_state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField()
    moved_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [models.CheckConstraint(name="acquisition_move_has_reason", condition=~Q(reason=""))]

    def __str__(self) -> str:
        return f"{self.acquisition_id}: {self.from_state_id} -> {self.to_state_id}"


class OutsideActivity(UUIDModel):
    """Work done in another program.  Nobody here saw it: it is what ``created_by`` asserts, and is marked as that.

    The operator is who did it, never by default who says so.  ``inputs`` are acquisitions, images and source files of
    the project; none stated is a statement too.
    """

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Kind(models.TextChoices):
        """What was done."""

        RECONSTRUCTION = "reconstruction", "reconstruction"
        SEGMENTATION = "segmentation", "segmentation"
        MEASUREMENT = "measurement", "measurement"
        REGISTRATION = "registration", "registration"
        OTHER = "other", "other work"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="outside_activities")
    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="outside_activities")
    state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="outside_activities")
    kind = models.CharField(max_length=16, choices=Kind)
    software = models.CharField(max_length=200)
    version = models.CharField(max_length=100, help_text="of the software")
    parameters = models.JSONField(default=dict)
    operator = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    operator_name = models.CharField(max_length=200, blank=True, help_text="a named person without account")
    performed_at = models.CharField(max_length=40, blank=True, help_text="local time, as text; empty = not stated")
    performed_zone = models.CharField(max_length=64, blank=True, help_text="its zone; empty = unknown")
    inputs = models.JSONField(default=list, help_text="type and id: acquisition, image or file")
    like = models.ForeignKey(
        "Image", null=True, on_delete=models.PROTECT, related_name="+", help_text="whose grid labels lie on"
    )
    received: models.ManyToManyField[SourceFile, Any] = models.ManyToManyField(
        "SourceFile", related_name="made_outside", help_text="files of acquisitions that this work had made"
    )
    note = models.TextField(blank=True)
    header = models.JSONField(default=dict, help_text="raw header of every file that was read, whole")
    job = models.ForeignKey(Job, null=True, on_delete=models.PROTECT, related_name="outside_activities")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name_plural = "outside activities"
        constraints = [
            models.CheckConstraint(
                name="outside_activity_one_operator", condition=Q(operator__isnull=True) | Q(operator_name="")
            ),
            models.CheckConstraint(name="outside_activity_names_software", condition=~Q(software="") & ~Q(version="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} with {self.software} {self.version}"


class SourceFile(UUIDModel):
    """A file as it came, untouched: an instrument's, or one that another program left.

    It belongs to one acquisition or to one outside activity.  Several of a project may link the same bytes.
    """

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="source_files")
    acquisition = models.ForeignKey(Acquisition, null=True, on_delete=models.PROTECT, related_name="files")
    outside_activity = models.ForeignKey(OutsideActivity, null=True, on_delete=models.PROTECT, related_name="files")
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="source_files")
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    media_type = models.CharField(max_length=100, default="application/octet-stream")
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["acquisition", "sha256"], name="source_file_bytes_once"),
            models.UniqueConstraint(fields=["acquisition", "name"], name="source_file_name_once"),
            models.UniqueConstraint(fields=["outside_activity", "sha256"], name="outside_file_bytes_once"),
            models.UniqueConstraint(fields=["outside_activity", "name"], name="outside_file_name_once"),
            models.CheckConstraint(name="source_file_has_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="source_file_one_origin",
                condition=Q(acquisition__isnull=False, outside_activity__isnull=True)
                | Q(acquisition__isnull=True, outside_activity__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Upload(UUIDModel):
    """A file on its way in, piece by piece; what came so far lies in the staging of its store.

    It belongs to the account that sends it until an acquisition takes it; the store's lease is when it expires.
    """

    PROJECT_PATH: ClassVar[str | None] = None

    store = models.OneToOneField(Store, on_delete=models.CASCADE, related_name="upload")
    name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField(help_text="bytes of the whole file")
    media_type = models.CharField(max_length=100, default="application/octet-stream")
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="uploads")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(name="upload_has_name", condition=~Q(name="")),
            models.CheckConstraint(name="upload_has_size", condition=Q(size__gt=0)),
        ]

    def __str__(self) -> str:
        return self.name


class Attachment(UUIDModel):
    """Any file kept beside a specimen or an acquisition: a certificate, a photograph, a page of a notebook.

    No reader opens it, and it is never shown in a page: it is given back as it came.
    """

    PROJECT_PATH: ClassVar[str | None] = "project"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="attachments")
    specimen = models.ForeignKey(Specimen, null=True, on_delete=models.PROTECT, related_name="attachments")
    acquisition = models.ForeignKey(Acquisition, null=True, on_delete=models.PROTECT, related_name="attachments")
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="attachments")
    name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    media_type = models.CharField(max_length=100, default="application/octet-stream")
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["specimen", "name"], name="attachment_specimen_name_once"),
            models.UniqueConstraint(fields=["acquisition", "name"], name="attachment_acquisition_name_once"),
            models.CheckConstraint(name="attachment_has_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="attachment_one_thing",
                condition=Q(acquisition__isnull=False, specimen__isnull=True)
                | Q(acquisition__isnull=True, specimen__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Image(UUIDModel):
    """An OME-Zarr store read as intensity, labels, displacement or spectrum.  Write-once.

    ``spacing``: axis -> {value, unit, source, u} or null; null as a whole where no axis has one.  A new scale makes a
    new row
    over the same store that supersedes this one.
    """

    PROJECT_PATH: ClassVar[str | None] = "project"

    class Kind(models.TextChoices):
        """How the samples are to be read."""

        INTENSITY = "intensity", "intensity"
        LABELS = "labels", "labels"
        SPECTRUM = "spectrum", "spectrum"
        DISPLACEMENT = "displacement", "displacement"

    class Handedness(models.TextChoices):
        """A fact of ingest."""

        RIGHT = "right", "right-handed"
        LEFT = "left", "left-handed"
        UNKNOWN = "unknown", "unknown"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="images")
    acquisition = models.ForeignKey(Acquisition, null=True, on_delete=models.PROTECT, related_name="images")
    specimen = models.ForeignKey(Specimen, on_delete=models.PROTECT, related_name="images")
    state = models.ForeignKey(State, on_delete=models.PROTECT, related_name="images")
    job = models.ForeignKey(Job, null=True, on_delete=models.PROTECT, related_name="images")
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=12, choices=Kind)
    modality = models.CharField(max_length=8, choices=Modality, blank=True)
    store = models.ForeignKey(Store, on_delete=models.PROTECT, related_name="images")
    axes = models.JSONField(help_text="names, in the order of the array")
    shape = models.JSONField()
    dtype = models.CharField(max_length=16, help_text="numpy name")
    spacing = models.JSONField(null=True)
    calibrated = models.BooleanField(help_text="every spatial axis longer than one sample has a spacing")
    channels = models.JSONField(default=list)
    signal = models.JSONField(
        null=True, help_text="of a spectrum image, what its axis e is: list of {name, size, offset, step, unit}"
    )
    levels = models.JSONField(default=list, help_text="path and shape of every level")
    frame = models.ForeignKey(Frame, null=True, on_delete=models.PROTECT, related_name="images")
    calibrated_frame = models.ForeignKey(Frame, null=True, on_delete=models.PROTECT, related_name="calibrated_images")
    calibration = models.ForeignKey(
        Calibration, null=True, on_delete=models.PROTECT, related_name="images", help_text="lengths are in its scale"
    )
    calibration_flags = models.JSONField(
        default=list, help_text="where it did not hold when it was applied: list of {code, words}"
    )
    handedness = models.CharField(max_length=8, choices=Handedness, default=Handedness.UNKNOWN)
    specimen_area = models.JSONField(null=True, help_text="samples that show the specimen: axis -> [first, last + 1]")
    facts = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=1)
    supersedes = models.OneToOneField("self", null=True, on_delete=models.PROTECT, related_name="superseded_by")
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="image_calibrated_has_frame",
                condition=Q(calibrated=True, frame__isnull=False, spacing__isnull=False)
                | Q(calibrated=False, frame__isnull=True, calibrated_frame__isnull=True),
            ),
            models.CheckConstraint(
                name="image_calibration_has_frame",
                condition=Q(calibration__isnull=True, calibrated_frame__isnull=True)
                | Q(calibration__isnull=False, calibrated_frame__isnull=False),
            ),
            models.CheckConstraint(
                name="image_has_origin", condition=Q(acquisition__isnull=False) | Q(job__isnull=False)
            ),
            models.CheckConstraint(
                name="image_signal_of_spectrum",
                condition=Q(kind="spectrum", signal__isnull=False) | (~Q(kind="spectrum") & Q(signal__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return self.name
