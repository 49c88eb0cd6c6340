"""A kind of job that does nothing, known to the processes of this benchmark only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.apps import AppConfig


def nothing(request: Mapping[str, Any], ctx: Any) -> dict[str, Any]:
    """The child's work: none."""
    return {}


class EmptyHandler:
    """Prepares and publishes nothing."""

    def prepare(self, job: Any, workdir: Path) -> Any:
        """Name the empty target."""
        from apps.jobs.registry import ChildPlan

        return ChildPlan(target="benchmarks.jobs.app:nothing", request={})

    def publish(self, job: Any, result: Any, act: Any) -> dict[str, Any]:
        """No rows; the kernel records the ending."""
        return {}


class BenchmarkConfig(AppConfig):
    """Registers the kind ``empty``."""

    name = "benchmarks.jobs"
    label = "benchmark_jobs"

    def ready(self) -> None:
        """Give the kernel its handler."""
        from apps.jobs.registry import kinds, register_kind

        if "empty" not in kinds():
            register_kind("empty", EmptyHandler())
