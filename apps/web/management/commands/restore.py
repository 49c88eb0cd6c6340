"""``manage.py restore SOURCE``: a backup back into an empty installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.web.backup.bundle import BackupError
from apps.web.backup.put_back import restore


class Command(BaseCommand):
    """Checks every digest first, refuses what is not empty, and ends with ``fsck``."""

    help = "Restore a backup into an empty data root and database."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the source."""
        parser.add_argument("source", type=Path, help="a folder that `backup` wrote")

    def handle(self, *args: Any, **options: Any) -> None:
        """Restore; exit 1 if fsck finds anything."""
        try:
            done = restore(options["source"], say=self._say)
        except BackupError as error:
            raise CommandError(f"not restored: {error}") from error
        for line in done.findings:
            self._say(line)
        self._say(
            f"restored {done.bundle.store_count} stores, chain at {done.bundle.chain[0]}, as of {done.bundle.made_at}; "
            f"{done.interrupted_jobs} jobs were running and will be retried; {len(done.findings)} findings"
        )
        if not done.bundle.secret:
            self._say("the backup has no secret key: set the old CORR_SECRET_KEY, or everybody logs in again")
        if done.findings:
            raise SystemExit(1)

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
