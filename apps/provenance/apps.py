"""App configuration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db import connections
from django.db.models.signals import post_migrate

from apps.provenance import registry, triggers


def _put_triggers_back(using: str, **_: Any) -> None:
    triggers.install(connections[using])


class ProvenanceConfig(AppConfig):
    """Configuration of the provenance app."""

    name = "apps.provenance"
    label = "provenance"

    def ready(self) -> None:
        """Keep the triggers standing, and say which rows are no things of the record."""
        post_migrate.connect(_put_triggers_back, sender=self, dispatch_uid="corr_ledger_triggers")
        for model in self.get_models():
            registry.exempt(model, "the record itself")
        for model in apps.get_app_config("core").get_models():  # core lies below the record and cannot speak for itself
            registry.exempt(model, "where bytes are; the thing is the image or file they belong to")
