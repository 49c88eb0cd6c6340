"""A kind of job for tests: its child does what the parameters say, its results are the stores it wrote."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from apps.jobs.models import Job
from apps.jobs.registry import ChildPlan, ChildResult, JobFailure, kinds, register_kind
from apps.provenance.record import Act

KIND = "probe"


class ProbeHandler:
    """``params``: ``do`` names a function of ``tests.jobs.targets``; ``plan`` overrides fields of the plan."""

    def prepare(self, job: Job, workdir: Path) -> ChildPlan:
        if reason := job.params.get("refuse_prepare"):
            raise JobFailure("not_possible", reason, {"why": reason})
        plan = ChildPlan(target=f"tests.jobs.targets:{job.params['do']}", request=job.params.get("request", {}))
        return dataclasses.replace(plan, **job.params.get("plan", {}))

    def publish(self, job: Job, result: ChildResult, act: Act) -> dict[str, Any]:
        if reason := job.params.get("refuse_publish"):
            raise JobFailure("not_publishable", reason)
        for staged in result.stores.values():
            act.entity("corr:ProbeOutput", key=staged.store.pk, attributes={"corr:digest": staged.digest})
        named = {name: {"type": "store", "id": str(staged.store.pk)} for name, staged in result.stores.items()}
        return named | {"value": dict(result.value)}


def register() -> None:
    if KIND not in kinds():
        register_kind(KIND, ProbeHandler())
