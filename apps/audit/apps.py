"""App configuration."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Configuration of the audit app."""

    name = "apps.audit"
    label = "audit"
