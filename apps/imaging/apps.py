"""App configuration."""

from django.apps import AppConfig


class ImagingConfig(AppConfig):
    """Configuration of the imaging app."""

    name = "apps.imaging"
    label = "imaging"

    def ready(self) -> None:
        """Say what these rows are in provenance, and who handles ingests."""
        from apps.imaging.handlers import IngestHandler  # noqa: PLC0415  models exist only now
        from apps.imaging.models import Acquisition, AcquisitionMove, Image, Series, SourceFile  # noqa: PLC0415
        from apps.imaging.services.ingest import KIND  # noqa: PLC0415
        from apps.jobs.registry import register_kind  # noqa: PLC0415
        from apps.provenance import registry  # noqa: PLC0415

        registry.register(
            Acquisition, kind="activity", type="corr:Acquisition", url_name="acquisition-detail", project="project_id"
        )
        registry.register(Series, kind="entity", type="corr:Series", url_name="series-detail", project="project_id")
        registry.register(
            SourceFile, kind="entity", type="corr:SourceFile", url_name=None, project="acquisition__project_id"
        )
        registry.register(Image, kind="entity", type="corr:Image", url_name="image-detail", project="project_id")
        registry.exempt(AcquisitionMove, "is the history of an acquisition, whose record holds each move")
        register_kind(KIND, IngestHandler())
