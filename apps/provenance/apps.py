"""App configuration."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
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
        """Keep the triggers standing, and say that the ledger's own rows are no things of the record."""
        post_migrate.connect(_put_triggers_back, sender=self, dispatch_uid="corr_ledger_triggers")
        for model in self.get_models():
            registry.exempt(model, "the record itself")
