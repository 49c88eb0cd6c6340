"""App configuration."""

from django.apps import AppConfig


class ResultsConfig(AppConfig):
    """Configuration of the results app."""

    name = "apps.results"
    label = "results"

    def ready(self) -> None:
        """Say what these rows are in provenance."""
        from apps.imaging.services import register_scale_dependents  # noqa: PLC0415  models exist only now
        from apps.projects.selectors import register_stores  # noqa: PLC0415
        from apps.provenance import registry, triggers  # noqa: PLC0415
        from apps.results.models import Property, Release, ReleaseWithdrawal, Review, Table  # noqa: PLC0415
        from apps.results.selectors import scale_dependents, stores_of_project  # noqa: PLC0415

        registry.register(
            Property, kind="entity", type="corr:Property", url_name="property-detail", project="project_id"
        )
        registry.register(Table, kind="entity", type="corr:Table", url_name="table-detail", project="project_id")
        registry.register(Review, kind="entity", type="corr:Review", url_name=None, project="project_id")
        registry.register(Release, kind="entity", type="corr:Release", url_name=None, project="project_id")
        registry.exempt(ReleaseWithdrawal, "is the end of a release, whose record says by whom and why")
        for model, keys in ((Review, ("id",)), (Release, ("id",)), (ReleaseWithdrawal, ("id", "release_id"))):
            triggers.register(triggers.Guard(model._meta.db_table, keys))
        register_scale_dependents(scale_dependents)
        register_stores(stores_of_project)
