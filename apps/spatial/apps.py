"""App configuration."""

from django.apps import AppConfig


class SpatialConfig(AppConfig):
    """Configuration of the spatial app."""

    name = "apps.spatial"
    label = "spatial"
