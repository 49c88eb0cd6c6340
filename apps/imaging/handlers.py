"""The job kinds "ingest" (an acquisition's files before, images and lineage after) and "preview" (a look at them)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import SourceFile
from apps.imaging.services import follow_retry, publish_ingest, record_sources
from apps.imaging.services.preview import KIND as PREVIEW
from apps.jobs import services as jobs
from apps.jobs.models import Job
from apps.jobs.registry import ChildPlan, ChildResult, JobFailure
from apps.provenance.record import Act

TARGET = "apps.imaging.ingest_child:ingest"
PREVIEW_TARGET = "apps.imaging.preview_child:preview"
# A preview reads headers: somebody waits for it.
_PREVIEW_SECONDS = 120.0
_PREVIEW_MEMORY_BYTES = 2 << 30
# One decoded strip, tile or chunk may take an eighth of what the process may have: it is decoded into, copied and cut.
_SEGMENT_SHARE = 8
_MAX_SEGMENT_BYTES = 1 << 30
_MAX_THREADS = 8


class IngestHandler:
    """Prepares and publishes ingests."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        """Resolve the source files to paths; their bytes are only opened in the child."""
        request = {"files": _files(job), "overrides": job.params, "limits": _limits(settings.CORR_JOB_MEMORY_BYTES)}
        return ChildPlan(target=TARGET, request=request, threads=min(_MAX_THREADS, len(os.sched_getaffinity(0))))

    def publish(self, job: Job, result: ChildResult, act: Act) -> dict[str, Any]:
        """Write images, header, facts and lineage."""
        return publish_ingest(job=job, result=result, act=act)

    def ended(self, job: Job, act: Act) -> None:
        """An ingest without result used its files all the same."""
        record_sources(job=job, act=act)

    def retried(self, old: Job, new: Job, act: Act) -> None:
        """The acquisition's status follows the new job."""
        follow_retry(old=old, new=new)


class PreviewHandler:
    """Prepares previews and keeps what they found."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        """Resolve the source files to paths, with the limits of a look."""
        return ChildPlan(
            target=PREVIEW_TARGET,
            request={"files": _files(job), "limits": _limits(_PREVIEW_MEMORY_BYTES)},
            memory_bytes=_PREVIEW_MEMORY_BYTES,
            seconds=_PREVIEW_SECONDS,
            stores=0,
        )

    def publish(self, job: Job, result: ChildResult, act: Act) -> dict[str, Any]:
        """Keep the groups among the job's facts; nothing else comes of a preview."""
        jobs.write_report(job=job, name=PREVIEW, report=dict(result.value))
        return {}


def _limits(memory_bytes: int) -> dict[str, int]:
    return {"max_segment_bytes": min(_MAX_SEGMENT_BYTES, memory_bytes // _SEGMENT_SHARE)}


def _files(job: Job) -> list[dict[str, str]]:
    """Id, path and name of a job's source files, in the order in which they came."""
    rows = SourceFile.objects.select_related("store").filter(pk__in=job.inputs["files"]).order_by("created_at", "id")
    files = []
    for row in rows:
        path = storage.path(row.store.key)
        if row.store.state != Store.State.READY or not path.is_file():
            raise JobFailure(
                "source_missing", f"the bytes of {row.name!r} are not there any more", {"file": str(row.pk)}
            )
        files.append({"id": str(row.pk), "path": str(path), "name": row.name})
    return files
