"""``manage.py fsck``: exits 0 when database, stores, chain and triggers agree, 1 with a line per finding."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.audit import fsck


class Command(BaseCommand):
    """Compare database, stores, ledger and triggers."""

    help = "Check that database, stores, chain and triggers agree."

    def add_arguments(self, parser: CommandParser) -> None:
        """``--quick`` compares sizes of source files instead of hashing them."""
        parser.add_argument("--quick", action="store_true", help="do not hash source files")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print findings; exit 1 if there is any."""
        count = 0
        for line in fsck.find(deep=not options["quick"]):
            self.stdout.write(line)
            count += 1
        self.stdout.write(f"{count} findings")
        if count:
            raise SystemExit(1)
