"""App configuration."""

from django.apps import AppConfig


class SpatialConfig(AppConfig):
    """Configuration of the spatial app."""

    name = "apps.spatial"
    label = "spatial"

    def ready(self) -> None:
        """Say what these rows are in provenance."""
        from apps.provenance.registry import exempt, register  # noqa: PLC0415
        from apps.spatial import models as m  # noqa: PLC0415  models exist only now

        register(m.Frame, kind="entity", type="corr:Frame", url_name="frame-detail", project="project_id")
        register(m.Mount, kind="entity", type="corr:Mount", url_name="mount-detail", project="specimen__project_id")
        register(m.Transform, kind="entity", type="corr:Transform", url_name="transform-detail", project="project_id")
        register(
            m.TransformDecision,
            kind="entity",
            type="corr:TransformDecision",
            url_name=None,
            project="transform__project_id",
        )
        register(m.Roi, kind="entity", type="corr:Roi", url_name="roi-detail", project="project_id")
        exempt(m.FrameExtent, "a part of its frame, written with it from the image's shape and spacing")
        exempt(m.Landmark, "a part of its transform, recorded with it as what was typed by hand")
