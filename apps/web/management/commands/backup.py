"""``manage.py backup TARGET``: a consistent copy of database and stores, taken while the server works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.web.backup.bundle import BackupError
from apps.web.backup.take import take


class Command(BaseCommand):
    """Writes a folder that ``restore`` takes; without ``backup.json`` in it, it is not finished."""

    help = "Back up database and stores into a new folder, beside a running server."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the target, and the choice about the secret."""
        parser.add_argument("target", type=Path, help="a folder that is absent or empty, outside of the data root")
        parser.add_argument(
            "--with-secret", action="store_true", help="include the secret key: who has the backup can forge sessions"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Take the backup and say what is in it, and what is not."""
        try:
            made = take(options["target"], with_secret=options["with_secret"], say=self._say)
        except BackupError as error:
            raise CommandError(f"no backup: {error}") from error
        self._say(f"backup of {made.store_count} stores ({made.store_bytes} bytes), chain at {made.chain[0]}")
        if not made.secret:
            self._say("the secret key is not in it: keep CORR_SECRET_KEY, or the file secret_key, in another place")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
