"""App configuration."""

from __future__ import annotations

from django.apps import AppConfig

from apps.provenance import registry


class JobsConfig(AppConfig):
    """Configuration of the jobs app."""

    name = "apps.jobs"
    label = "jobs"

    def ready(self) -> None:
        """A job is an activity of the record; its attempts and log lines are details of it."""
        registry.register(
            self.get_model("Job"), kind="activity", type="corr:Job", url_name="job-detail", project="project_id"
        )
        registry.exempt(self.get_model("JobAttempt"), "how often a job was tried; the job's end is recorded")
        registry.exempt(self.get_model("JobLogLine"), "what a job printed")
        registry.exempt(self.get_model("ServiceBeat"), "which worker and reaper are alive at this moment")
