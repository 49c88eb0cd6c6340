"""App configuration."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Configuration of the projects app."""

    name = "apps.projects"
    label = "projects"

    def ready(self) -> None:
        """Say what these rows are in provenance, and describe the token scheme."""
        from apps.projects import openapi  # noqa: F401, PLC0415  registers itself
        from apps.projects.models import Membership, Project  # noqa: PLC0415  models exist only now
        from apps.provenance import registry  # noqa: PLC0415

        registry.register(Project, kind="entity", type="corr:Project", url_name="project-detail", project="id")
        registry.register(Membership, kind="entity", type="corr:Membership", url_name=None, project="project_id")
