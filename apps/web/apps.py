"""App configuration."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    """Configuration of the web app."""

    name = "apps.web"
    label = "web"
