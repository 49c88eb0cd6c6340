"""App configuration."""

from django.apps import AppConfig


class ImagingConfig(AppConfig):
    """Configuration of the imaging app."""

    name = "apps.imaging"
    label = "imaging"

    def ready(self) -> None:
        """Say what these rows are in provenance, and who handles ingests."""
        from apps.imaging import models as m  # noqa: PLC0415
        from apps.imaging.handlers import IngestHandler, PreviewHandler  # noqa: PLC0415  models exist only now
        from apps.imaging.models import Acquisition, AcquisitionMove, Image, Series, SourceFile  # noqa: PLC0415
        from apps.imaging.origins import origins  # noqa: PLC0415
        from apps.imaging.selectors import stores_of_project  # noqa: PLC0415
        from apps.imaging.services.ingest import KIND  # noqa: PLC0415
        from apps.imaging.services.preview import KIND as PREVIEW  # noqa: PLC0415
        from apps.jobs.registry import register_kind  # noqa: PLC0415
        from apps.projects.selectors import register_stores  # noqa: PLC0415
        from apps.provenance import registry  # noqa: PLC0415
        from apps.spatial import targeting_origin  # noqa: PLC0415

        registry.register(
            Acquisition, kind="activity", type="corr:Acquisition", url_name="acquisition-detail", project="project_id"
        )
        registry.register(Series, kind="entity", type="corr:Series", url_name="series-detail", project="project_id")
        registry.register(SourceFile, kind="entity", type="corr:SourceFile", url_name=None, project="project_id")
        registry.register(
            m.OutsideActivity,
            kind="activity",
            type="corr:OutsideActivity",
            url_name="external-activity-detail",
            project="project_id",
        )
        registry.register(
            m.Attachment, kind="entity", type="corr:Attachment", url_name="attachment-detail", project="project_id"
        )
        registry.register(Image, kind="entity", type="corr:Image", url_name="image-detail", project="project_id")
        registry.exempt(m.Upload, "is a file on its way; what it becomes, the source file, is recorded")
        registry.exempt(AcquisitionMove, "is the history of an acquisition, whose record holds each move")
        register_kind(KIND, IngestHandler())
        register_kind(PREVIEW, PreviewHandler())
        register_stores(stores_of_project)
        targeting_origin.register(origins)
