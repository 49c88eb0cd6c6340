"""``manage.py serve``: everything for one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from apps.web import static_files
from apps.web.supervisor import AlreadyServedError, PortTakenError, Supervisor

_START_SECONDS = 60.0


class Command(BaseCommand):
    """Migrates, collects static files and runs web server, worker, reaper and the embedded broker."""

    help = "Run everything for one machine: migrations, static files, web server, worker, reaper, broker."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--port", type=int, default=8000, help="port of the web server (default 8000)")
        parser.add_argument(
            "--bind", default="127.0.0.1", help="address of the web server (default: this machine only)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, start, say where, and watch until SIGTERM or SIGINT."""
        supervisor = Supervisor(
            data_root=Path(settings.CORR_DATA_ROOT),
            bind=options["bind"],
            port=options["port"],
            repository=Path(settings.REPO_ROOT),
            broker_socket=settings.CORR_BROKER_SOCKET if settings.CORR_EMBEDDED_BROKER else None,
        )
        try:
            supervisor.acquire()
        except (AlreadyServedError, PortTakenError) as error:
            raise CommandError(str(error)) from error
        self._prepare()
        supervisor.start()
        try:
            ready = supervisor.wait_healthy(_START_SECONDS)
            state = "ready" if ready else "started, but not all parts are up yet; see /healthz"
            self.stdout.write(f"Corrspace is {state}: {supervisor.url}/")
            self.stdout.flush()
        except KeyboardInterrupt:
            supervisor.stop()
            return
        supervisor.run()

    def _prepare(self) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        static_files.collect()
        connections.close_all()
