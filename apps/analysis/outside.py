"""The job kind "outside": the files of work done in another program before, images, labels and tables after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.analysis.services.outside_publish import follow_retry, publish_outside
from apps.imaging.handlers import IngestHandler
from apps.imaging.models import OutsideActivity
from apps.jobs.models import Job
from apps.jobs.registry import ChildPlan, ChildResult
from apps.provenance.record import Act

TARGET = "apps.analysis.outside_child:take"


class OutsideHandler(IngestHandler):
    """Reads files as an ingest does, tables too, and writes what they are to an outside activity."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        """Resolve the files to paths; a segmentation's images are read as labels."""
        plan = super().prepare(job, workdir)
        row = OutsideActivity.objects.select_related("like").get(pk=job.inputs["outside_activity"])
        labels = row.kind == OutsideActivity.Kind.SEGMENTATION
        like = {"axes": row.like.axes, "shape": row.like.shape} if row.like is not None else None
        request = {**plan.request, "kind": "labels" if labels else None, "like": like}
        return replace(plan, target=TARGET, request=request)

    def publish(self, job: Job, result: ChildResult, act: Act) -> dict[str, Any]:
        """Write images, labels, tables and lineage."""
        return publish_outside(job=job, result=result, act=act)

    def retried(self, old: Job, new: Job, act: Act) -> None:
        """The outside activity follows the new job."""
        follow_retry(old=old, new=new)
