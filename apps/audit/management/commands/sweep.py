"""``manage.py sweep``: removes staging without a live lease."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.jobs.sweep import sweep_storage


class Command(BaseCommand):
    """Remove what killed processes left behind."""

    help = "Remove staging without a live lease."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was removed."""
        self.stdout.write(str(sweep_storage()))
