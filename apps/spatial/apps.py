"""App configuration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

from apps.spatial import coverage_index


def _put_tree_back(using: str, **_: Any) -> None:
    if "spatial_roi" in connections[using].introspection.table_names():
        coverage_index.install(connections[using])


class SpatialConfig(AppConfig):
    """Configuration of the spatial app."""

    name = "apps.spatial"
    label = "spatial"

    def ready(self) -> None:
        """Say what these rows are in provenance, and keep the tree of regions' boxes standing."""
        from apps.provenance import triggers  # noqa: PLC0415
        from apps.provenance.registry import exempt, register  # noqa: PLC0415
        from apps.spatial import models as m  # noqa: PLC0415  models exist only now

        post_migrate.connect(_put_tree_back, sender=self, dispatch_uid="corr_roi_tree")

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
        register(
            m.TransformOverride,
            kind="entity",
            type="corr:TransformOverride",
            url_name=None,
            project="transform__project_id",
        )
        register(m.Roi, kind="entity", type="corr:Roi", url_name="roi-detail", project="project_id")
        register(m.Targeting, kind="entity", type="corr:Targeting", url_name=None, project="roi__project_id")
        register(m.Found, kind="entity", type="corr:Found", url_name="found-detail", project="roi__project_id")
        for decision in (m.TransformDecision, m.TransformOverride, m.Targeting, m.Found):
            triggers.register(triggers.Guard(decision._meta.db_table, ("id",)))
        exempt(m.FrameExtent, "a part of its frame, written with it from the image's shape and spacing")
        exempt(m.Landmark, "a part of its transform, recorded with it as what was typed by hand")
