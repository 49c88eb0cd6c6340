"""App configuration."""

from django.apps import AppConfig


class ImagingConfig(AppConfig):
    """Configuration of the imaging app."""

    name = "apps.imaging"
    label = "imaging"
