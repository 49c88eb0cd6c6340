"""App configuration."""

from django.apps import AppConfig


class ResultsConfig(AppConfig):
    """Configuration of the results app."""

    name = "apps.results"
    label = "results"

    def ready(self) -> None:
        """Say what these rows are in provenance."""
        from apps.imaging.services import register_scale_dependents  # noqa: PLC0415  models exist only now
        from apps.provenance import registry  # noqa: PLC0415
        from apps.results.models import Property, Table  # noqa: PLC0415
        from apps.results.selectors import scale_dependents  # noqa: PLC0415

        registry.register(
            Property, kind="entity", type="corr:Property", url_name="property-detail", project="project_id"
        )
        registry.register(Table, kind="entity", type="corr:Table", url_name="table-detail", project="project_id")
        register_scale_dependents(scale_dependents)
