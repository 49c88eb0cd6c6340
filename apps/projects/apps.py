"""App configuration."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Configuration of the projects app."""

    name = "apps.projects"
    label = "projects"

    def ready(self) -> None:
        """Say what these rows are in provenance, and describe the token scheme."""
        from apps.projects import models as m  # noqa: PLC0415  they exist only now
        from apps.projects import openapi  # noqa: F401, PLC0415  registers itself
        from apps.provenance import registry  # noqa: PLC0415

        registry.register(m.User, kind="agent", type="prov:Person", url_name=None, project=None)
        registry.register(m.Project, kind="entity", type="corr:Project", url_name="project-detail", project="id")
        registry.register(m.Membership, kind="entity", type="corr:Membership", url_name=None, project="project_id")
        registry.exempt(m.ApiToken, "a key, no thing")
        for rows in (m.ProjectUserPermission, m.ProjectGroupPermission):
            registry.exempt(rows, "follows from memberships")
