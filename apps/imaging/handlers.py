"""The job kind "ingest": an acquisition's files before, images and lineage after."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import SourceFile
from apps.imaging.services import follow_retry, publish_ingest, record_sources
from apps.jobs.models import Job
from apps.jobs.registry import ChildPlan, ChildResult, JobFailure
from apps.provenance.record import Act

TARGET = "apps.imaging.ingest_child:ingest"
# One decoded strip, tile or chunk may take an eighth of what the process may have: it is decoded into, copied and cut.
_SEGMENT_SHARE = 8
_MAX_SEGMENT_BYTES = 1 << 30
_MAX_THREADS = 8


class IngestHandler:
    """Prepares and publishes ingests."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        """Resolve the source files to paths; their bytes are only opened in the child."""
        rows = (
            SourceFile.objects.select_related("store").filter(pk__in=job.inputs["files"]).order_by("created_at", "id")
        )
        files = []
        for row in rows:
            path = storage.path(row.store.key)
            if row.store.state != Store.State.READY or not path.is_file():
                raise JobFailure(
                    "source_missing", f"the bytes of {row.name!r} are not there any more", {"file": str(row.pk)}
                )
            files.append({"id": str(row.pk), "path": str(path), "name": row.name})
        limits = {"max_segment_bytes": min(_MAX_SEGMENT_BYTES, settings.CORR_JOB_MEMORY_BYTES // _SEGMENT_SHARE)}
        request = {"files": files, "overrides": job.params, "limits": limits}
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
