"""Removes what nobody will publish: staging without a live lease, staged rows, bytes that no row names.

Safe beside running jobs, uploads and other sweepers.  Rows go first, conditionally; bytes follow where the row was won.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.core import storage
from apps.core.clock import DbNow
from apps.core.models import Store
from apps.jobs import kernel
from apps.jobs.models import Job

logger = logging.getLogger(__name__)
_BATCH = 500
_PARTIAL_SECONDS = 3600.0


@dataclass
class Swept:
    """What was removed: folders in staging (names), staged rows and bytes without a row (keys), half-made pictures."""

    staging: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.staging) + len(self.rows) + len(self.orphans) + len(self.partials)

    def __str__(self) -> str:
        return "\n".join(self.lines()) or "nothing to remove"

    def lines(self) -> list[str]:
        """One line a removed thing."""
        named = (
            ("staging", self.staging),
            ("staged row", self.rows),
            ("bytes without a row", self.orphans),
            ("half-made picture", self.partials),
        )
        return [f"removed {what}: {name}" for what, names in named for name in names]


def sweep_storage() -> Swept:
    """Remove everything unfinished that no live job and no live upload owns."""
    done = Swept()
    _sweep_rows(done)
    _sweep_job_staging(done)
    _sweep_upload_staging(done)
    _sweep_orphans(done)
    _sweep_partials(done)
    return done


def abandoned_stores() -> QuerySet[Store]:
    """Staged rows whose job holds no lease for that attempt and whose upload, if any, is over."""
    live = Job.objects.filter(
        pk=OuterRef("job_id"), status=Job.Status.RUNNING, attempt=OuterRef("attempt"), lease_until__gte=DbNow()
    )
    upload_over = Q(lease_until=None) | Q(lease_until__lt=DbNow())
    return Store.objects.filter(upload_over & ~Exists(live), state=Store.State.STAGED)


def _sweep_rows(done: Swept) -> None:
    for pk, key in list(abandoned_stores().values_list("pk", "key")):
        if _removed(pk):
            storage.discard(storage.path(key))
            done.rows.append(key)


def _removed(pk: uuid.UUID) -> bool:
    """Delete an abandoned row, held while it is asked again: an upload may be going on at this instant."""
    with transaction.atomic():
        row = abandoned_stores().select_for_update().filter(pk=pk).first()
        return row is not None and bool(row.delete()[0])


def _sweep_job_staging(done: Swept) -> None:
    for folder, job_id, attempt in list(storage.job_folders()):
        if job_id is None or not kernel.live_job(job_id, attempt):
            storage.discard(folder)
            done.staging.append(folder.name)


def _sweep_upload_staging(done: Swept) -> None:
    for folder, store_id in list(storage.upload_folders()):
        if store_id is None or not _live_upload(store_id):
            storage.discard(folder)
            done.staging.append(folder.name)


def _live_upload(store_id: uuid.UUID) -> bool:
    return Store.objects.filter(pk=store_id, state=Store.State.STAGED, lease_until__gte=DbNow()).exists()


def _sweep_orphans(done: Swept) -> None:
    """Bytes under final keys without a row.  Keys are listed before rows are asked for: rows come first."""
    for keys in _batches(list(storage.final_keys())):
        known = set(Store.objects.filter(key__in=keys).exclude(state=Store.State.DELETED).values_list("key", flat=True))
        for key in keys:
            if key not in known:
                storage.discard(storage.root() / key)
                done.orphans.append(key)


def _sweep_partials(done: Swept) -> None:
    """Thumbnails whose maker died before the rename; making one takes seconds, so an hour old is nobody's."""
    folder = storage.root() / "cache" / "thumbnails"
    for path in sorted(folder.rglob(".*")):
        with suppress(FileNotFoundError):  # renamed, or taken by another sweeper
            if path.is_file() and time.time() - path.stat().st_mtime > _PARTIAL_SECONDS:
                path.unlink()
                done.partials.append(path.name)


def _batches(keys: list[str]) -> Iterable[list[str]]:
    return (keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH))
