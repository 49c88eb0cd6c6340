"""Makes the probe kind known to the processes that ``serve`` starts."""

from __future__ import annotations

from django.apps import AppConfig


class ProbeConfig(AppConfig):
    name = "tests.jobs"
    label = "probe_jobs"

    def ready(self) -> None:
        from tests.jobs import handlers

        handlers.register()
