"""Forms of acquisitions, series and images, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.serializers import FiniteFloatField, ObjectField, StrictModelSerializer, StrictSerializer
from apps.imaging import selectors
from apps.imaging.api.schemas import CALIBRATION, SPACING, STAGE
from apps.imaging.models import Acquisition, AcquisitionMove, Image, Modality, Series, SourceFile
from apps.imaging.placement import stage_of
from apps.projects.models import User
from apps.provenance.selectors import is_stale

_LENGTHS = {"x": {"type": "number"}, "y": {"type": "number"}, "z": {"type": "number"}}

SIGNAL = {
    "type": ["array", "null"],
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "size": {"type": "integer"},
            "offset": {"type": "number"},
            "step": {"type": "number"},
            "unit": {"type": "string", "description": "UCUM"},
        },
    },
}


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "description": "username"},
            {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        ],
        "description": "who stood at the instrument; absent or null = not stated",
    }
)
class OperatorField(serializers.Field[Any, Any, Any, Any]):
    """An account by its username, or a person without account as ``{"name": ...}``."""

    def to_internal_value(self, data: Any) -> User | str:
        """Return the account or the name."""
        if isinstance(data, str):
            user = User.objects.filter(username=data, is_active=True).first()
            if user is None:
                raise serializers.ValidationError(
                    f'there is no active account {data!r}; a person without account is given as {{"name": ...}}'
                )
            return user
        if not isinstance(data, Mapping) or set(data) != {"name"} or not isinstance(data["name"], str):
            raise serializers.ValidationError('must be a username, or {"name": ...} of a person without account')
        name = data["name"].strip()
        if not name or len(name) > 200:
            raise serializers.ValidationError("a name has 1 to 200 characters")
        return name

    def get_attribute(self, instance: Acquisition) -> Any:
        """The row: the operator stands in two columns."""
        return instance

    def to_representation(self, value: Acquisition) -> Any:
        """As it was given; null where it was not."""
        if value.operator is not None:
            return value.operator.username
        return {"name": value.operator_name} if value.operator_name else None


@extend_schema_field({"type": "object", "properties": _LENGTHS})
class LengthsField(ObjectField):
    """Lengths in um by axis; the service checks them."""


@extend_schema_field(
    {
        "oneOf": [{"type": "number"}, {"type": "object", "properties": _LENGTHS}],
        "description": "um; of all axes, or of each",
    }
)
class UncertaintyField(serializers.JSONField):
    """A number, or one an axis; the service checks them."""


class SourceFileSerializer(StrictModelSerializer):
    """A vendor's file."""

    class Meta:
        model = SourceFile
        fields = ["id", "name", "sha256", "size", "media_type", "uploaded_by", "created_at"]
        read_only_fields = fields


class MoveSerializer(StrictModelSerializer):
    """A move in an acquisition's history."""

    class Meta:
        model = AcquisitionMove
        fields = ["from_state", "to_state", "reason", "moved_by", "created_at"]
        read_only_fields = fields


class AcquisitionSerializer(StrictModelSerializer):
    """An acquisition without its raw header."""

    operator = OperatorField(read_only=True, allow_null=True)
    status = serializers.SerializerMethodField()
    message = serializers.SerializerMethodField()
    images = serializers.SerializerMethodField()
    job: serializers.PrimaryKeyRelatedField[Any] = serializers.PrimaryKeyRelatedField(
        source="ingest_job", read_only=True, allow_null=True
    )
    files = SourceFileSerializer(many=True, read_only=True)
    settings = ObjectField(read_only=True)
    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    key_values = ObjectField(read_only=True)
    external_ids = ObjectField(read_only=True)
    position = ObjectField(read_only=True, allow_null=True)

    class Meta:
        model = Acquisition
        fields = [
            "id",
            "project",
            "specimen",
            "state",
            "modality",
            "status",
            "message",
            "job",
            "images",
            "files",
            "instrument",
            "mount",
            "operator",
            "acquired_at",
            "acquired_zone",
            "clock_uncertainty_s",
            "settings",
            "position",
            "series",
            "series_index",
            "elapsed_h",
            "tags",
            "key_values",
            "external_ids",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=selectors.STATUSES))
    def get_status(self, row: Acquisition) -> str:
        """Derived from the ingest's job."""
        return selectors.status_of(row)

    def get_message(self, row: Acquisition) -> str:
        """What the job says, most of all why it failed."""
        return row.ingest_job.message if row.ingest_job else ""

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_images(self, row: Acquisition) -> list[Any]:
        """Ids of the current images; former versions are found by ``images/?acquisition=``."""
        return selectors.current_image_ids(row)


class AcquisitionDetailSerializer(AcquisitionSerializer):
    """An acquisition, whole."""

    header = ObjectField(read_only=True, help_text="raw header of every file, whole")
    facts = ObjectField(read_only=True, help_text="name -> {value, unit, source: file, derived or user}")
    moves = MoveSerializer(many=True, read_only=True)
    acquired = serializers.SerializerMethodField()

    class Meta(AcquisitionSerializer.Meta):
        fields = [*AcquisitionSerializer.Meta.fields, "header", "facts", "moves", "acquired"]
        read_only_fields = fields

    @extend_schema_field(
        {
            "type": "object",
            "properties": {
                "value": {"type": ["string", "null"], "description": "local time, ISO 8601"},
                "zone": {"type": ["string", "null"]},
                "source": {"type": ["string", "null"], "enum": ["user", "file", None]},
            },
        }
    )
    def get_acquired(self, row: Acquisition) -> dict[str, Any]:
        """Say when it was made: `acquired_at` as typed, else what the files say."""
        return selectors.acquired_of(row)


class AcquisitionWords(StrictSerializer):
    """What is said of an acquisition beside what was measured, and can be said anew."""

    tags = serializers.ListField(child=serializers.CharField(max_length=100), required=False)
    key_values = ObjectField(required=False, help_text="key -> text, number, boolean or null")
    external_ids = ObjectField(required=False, help_text="scheme -> id: notebook, session, customer")


class AcquisitionInput(AcquisitionWords):
    """A new acquisition."""

    project = serializers.UUIDField()
    specimen = serializers.UUIDField()
    modality = serializers.ChoiceField(choices=Modality.choices)
    state = serializers.UUIDField(required=False, allow_null=True, help_text="the specimen's current one by default")
    instrument = serializers.UUIDField(required=False, allow_null=True)
    mount = serializers.UUIDField(required=False, allow_null=True)
    operator = OperatorField(required=False, allow_null=True)
    acquired_at = serializers.CharField(
        required=False, max_length=40, help_text="the instrument's local time, ISO 8601, with or without offset"
    )
    acquired_zone = serializers.CharField(required=False, max_length=64, help_text="IANA name or +hh:mm")
    clock_uncertainty_s = FiniteFloatField(required=False, allow_null=True, min_value=0.0)
    settings = ObjectField(required=False, help_text="name -> {value, unit}")
    position = ObjectField(required=False, allow_null=True, help_text="x, y, z (um), rotation, tilt (deg)")
    series = serializers.UUIDField(required=False, allow_null=True)
    series_index = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**31 - 1)
    elapsed_h = FiniteFloatField(required=False, allow_null=True)


class MoveInput(StrictSerializer):
    """Where an acquisition belongs."""

    specimen = serializers.UUIDField()
    state = serializers.UUIDField(required=False, allow_null=True)
    reason = serializers.CharField(max_length=20_000)


class OverridesSerializer(StrictSerializer):
    """What a person states beside the file."""

    spacing_um = LengthsField(required=False, allow_null=True)
    spacing_u_um = UncertaintyField(required=False, allow_null=True)
    handedness = serializers.ChoiceField(choices=Image.Handedness.choices, required=False, allow_null=True)
    name = serializers.CharField(required=False, allow_null=True, max_length=255, trim_whitespace=False)


class IngestInput(StrictSerializer):
    """An ingest."""

    overrides = OverridesSerializer(required=False, allow_null=True)


class IngestAnswer(serializers.Serializer[Any]):
    """The job to follow."""

    job = serializers.UUIDField()


class ReceivedFileSerializer(serializers.Serializer[Any]):
    """A file as it came in."""

    name = serializers.CharField()
    sha256 = serializers.CharField()
    size = serializers.IntegerField()


class ReceivedSerializer(serializers.Serializer[Any]):
    """The files of one request."""

    files = ReceivedFileSerializer(many=True)


class SeriesSerializer(StrictModelSerializer):
    """A series with its acquisitions in order."""

    acquisitions: serializers.PrimaryKeyRelatedField[Any] = serializers.PrimaryKeyRelatedField(
        many=True, read_only=True
    )

    class Meta:
        model = Series
        fields = ["id", "project", "specimen", "kind", "name", "acquisitions", "created_by", "created_at"]
        read_only_fields = fields


class SeriesInput(StrictSerializer):
    """A new series."""

    project = serializers.UUIDField()
    specimen = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=Series.Kind.choices)
    name = serializers.CharField(max_length=200)


class ImageListSerializer(serializers.ListSerializer[Any]):
    """Asks once for the stale marks of a page."""

    def to_representation(self, data: Any) -> list[Any]:
        """Mark the rows, then represent them."""
        rows = list(data)
        self.child.stale_ids = is_stale([row.pk for row in rows])  # type: ignore[union-attr]
        return super().to_representation(rows)


class ImageSerializer(StrictModelSerializer):
    """An image."""

    stale_ids: set[Any] | None = None

    axes = serializers.ListField(child=serializers.CharField(), read_only=True)
    shape = serializers.ListField(child=serializers.IntegerField(), read_only=True)
    spacing = serializers.SerializerMethodField()
    channels = serializers.ListField(child=serializers.DictField(), read_only=True)
    signal = serializers.SerializerMethodField()
    levels = serializers.ListField(child=serializers.DictField(), read_only=True)
    specimen_area = ObjectField(read_only=True, allow_null=True)
    facts = ObjectField(read_only=True)
    digest = serializers.CharField(source="store.digest", read_only=True)
    size_bytes = serializers.IntegerField(source="store.size_bytes", read_only=True)
    calibration = serializers.SerializerMethodField()
    stage = serializers.SerializerMethodField()
    stale = serializers.SerializerMethodField()

    class Meta:
        model = Image
        list_serializer_class = ImageListSerializer
        fields = [
            "id",
            "project",
            "acquisition",
            "specimen",
            "state",
            "job",
            "name",
            "kind",
            "modality",
            "axes",
            "shape",
            "dtype",
            "calibrated",
            "spacing",
            "channels",
            "signal",
            "levels",
            "frame",
            "calibrated_frame",
            "calibration",
            "handedness",
            "specimen_area",
            "facts",
            "stage",
            "digest",
            "size_bytes",
            "version",
            "supersedes",
            "stale",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(SIGNAL)
    def get_signal(self, row: Image) -> list[dict[str, Any]] | None:
        """Say what the axis ``e`` of a spectrum image is: sample i stands for offset + i * step; null for others."""
        return row.signal

    @extend_schema_field(SPACING)
    def get_spacing(self, row: Image) -> dict[str, Any] | None:
        """Spacing by axis with unit, source and standard uncertainty."""
        return row.spacing

    @extend_schema_field(CALIBRATION)
    def get_calibration(self, row: Image) -> dict[str, Any] | None:
        """The calibration that lengths are in the scale of, the calibrated spacing, and where it does not hold."""
        return selectors.calibration_of(row)

    @extend_schema_field(STAGE)
    def get_stage(self, row: Image) -> dict[str, Any] | None:
        """Its place on the stage of its mount as the ingest saw it: a candidate transform, or why there is none."""
        return stage_of(row)

    def get_stale(self, row: Image) -> bool:
        """True if something the image rests on was withdrawn or superseded."""
        known = self.stale_ids if self.stale_ids is not None else is_stale([row.pk])
        return row.pk in known


class CalibrateInput(StrictSerializer):
    """A spacing typed by hand."""

    spacing_um = LengthsField()
    spacing_u_um = UncertaintyField()
    reason = serializers.CharField(max_length=20_000)
