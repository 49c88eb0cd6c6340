"""App configuration."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Configuration of the catalog app."""

    name = "apps.catalog"
    label = "catalog"

    def ready(self) -> None:
        """Say what these rows are in provenance."""
        from apps.catalog import models as m  # noqa: PLC0415  models exist only now
        from apps.provenance.registry import register  # noqa: PLC0415

        register(m.Material, kind="entity", type="corr:Material", url_name="material-detail", project=None)
        register(m.MaterialProperty, kind="entity", type="corr:MaterialProperty", url_name=None, project=None)
        register(m.Instrument, kind="entity", type="corr:Instrument", url_name="instrument-detail", project=None)
        register(m.Calibration, kind="entity", type="corr:Calibration", url_name="calibration-detail", project=None)
        register(m.Specimen, kind="entity", type="corr:Specimen", url_name="specimen-detail", project="project_id")
        register(m.State, kind="entity", type="corr:SpecimenState", url_name=None, project="specimen__project_id")
        register(
            m.SpecimenEvent,
            kind="activity",
            type="corr:SpecimenEvent",
            url_name="specimen-event-detail",
            project="specimen__project_id",
        )
