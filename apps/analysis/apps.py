"""App configuration."""

from django.apps import AppConfig


class AnalysisConfig(AppConfig):
    """Configuration of the analysis app."""

    name = "apps.analysis"
    label = "analysis"

    def ready(self) -> None:
        """Give the job kernel the handlers of analyses and of outside work, and say what a method's status is."""
        from apps.analysis.handlers import AnalysisHandler  # noqa: PLC0415  models exist only now
        from apps.analysis.models import MethodStatus  # noqa: PLC0415
        from apps.analysis.outside import OutsideHandler  # noqa: PLC0415
        from apps.analysis.services.outside import KIND as OUTSIDE  # noqa: PLC0415
        from apps.jobs.registry import register_kind  # noqa: PLC0415
        from apps.provenance import registry, triggers  # noqa: PLC0415

        register_kind("analysis", AnalysisHandler())
        register_kind(OUTSIDE, OutsideHandler())
        registry.register(MethodStatus, kind="entity", type="corr:MethodStatus", url_name=None, project=None)
        triggers.register(triggers.Guard(MethodStatus._meta.db_table, ("id",)))
