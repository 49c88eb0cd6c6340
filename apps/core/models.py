"""Rows without domain nouns: the abstract base, and where bytes are."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.core.ids import new_id


class UUIDModel(models.Model):
    """A row with a UUID key and the server's time of its making."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)

    class Meta:
        abstract = True
        get_latest_by = "created_at"


class Store(UUIDModel):
    """Write-once bytes: a Zarr store or a file.  Readers resolve bytes only through a row that is ready.

    A staged row announces bytes that may appear under ``key``; when its lease has run out and no live job owns it,
    ``sweep`` removes
    bytes and row.  Ready and a digest come together or not at all.
    """

    class Kind(models.TextChoices):
        """What lies under the key: a folder with a manifest (an OME-Zarr store, a table) or a single file."""

        ZARR = "zarr", "folder"
        FILE = "file", "file"

    class State(models.TextChoices):
        """Life of the bytes; the row outlives them."""

        STAGED = "staged", "staged"
        READY = "ready", "ready"
        DELETED = "deleted", "bytes deleted"

    kind = models.CharField(max_length=8, choices=Kind)
    key = models.CharField(max_length=200, unique=True, help_text="path below the data root; never used twice")
    state = models.CharField(max_length=8, choices=State, default=State.STAGED)
    digest = models.CharField(max_length=80, blank=True, help_text="sha256:<hex> of the file, or of the manifest")
    manifest = models.TextField(blank=True, help_text="canonical JSON: path, size and sha256 of every stored file")
    size_bytes = models.PositiveBigIntegerField(null=True)
    file_count = models.PositiveIntegerField(null=True)
    lease_until = models.DateTimeField(null=True, help_text="staged by an upload that is alive until then")
    job_id = models.UUIDField(null=True, help_text="staged by this job")
    attempt = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="store_ready_has_digest",
                condition=Q(state="staged", digest="")
                | (~Q(state="staged") & ~Q(digest="") & Q(size_bytes__isnull=False)),
            ),
            models.CheckConstraint(name="store_state_known", condition=Q(state__in=["staged", "ready", "deleted"])),
            models.CheckConstraint(
                name="store_zarr_ready_has_manifest", condition=~Q(kind="zarr", state="ready", manifest="")
            ),
            models.CheckConstraint(
                name="store_staged_has_owner",
                condition=~Q(state="staged")
                | Q(lease_until__isnull=False)
                | Q(job_id__isnull=False, attempt__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["state"], name="store_state_idx")]

    def __str__(self) -> str:
        return self.key
