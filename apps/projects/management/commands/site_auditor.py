"""``manage.py site_auditor``: who reads every project of this installation, and changes none."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core.errors import CorrError
from apps.projects.services import set_site_auditor


class Command(BaseCommand):
    """Put an account into the site-wide auditor group, or take it out; the ledger keeps the reason."""

    help = "Let an account read every project, or end that."

    def add_arguments(self, parser: CommandParser) -> None:
        """Account, reason, and ``--remove``."""
        parser.add_argument("username")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--remove", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Change the group."""
        try:
            user = set_site_auditor(
                username=options["username"], member=not options["remove"], reason=options["reason"]
            )
        except CorrError as error:
            raise CommandError(error.message) from error
        state = "no longer reads" if options["remove"] else "reads"
        self.stdout.write(f"{user.username} {state} every project")
