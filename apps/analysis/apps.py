"""App configuration."""

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    """Configuration of the analysis app."""

    name = "apps.analysis"
    label = "analysis"

    def ready(self) -> None:
        """Give the job kernel the handler of analyses."""
        from apps.analysis.handlers import AnalysisHandler  # noqa: PLC0415  models exist only now
        from apps.jobs.registry import register_kind  # noqa: PLC0415

        register_kind("analysis", AnalysisHandler())
