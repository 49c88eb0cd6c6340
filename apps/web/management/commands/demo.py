"""``manage.py demo``: runs the demo study for real and serves it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.urls import reverse

from apps.core.errors import CorrError
from apps.web import static_files
from apps.web.accounts import Account, make_accounts, people_of
from apps.web.present.numbers import one_line
from apps.web.present.scale import effect
from apps.web.present.sentences import meaning
from apps.web.study import FILE, Study, StudyError, run_study
from apps.web.supervisor import AlreadyServedError, PortTakenError, Supervisor

_START_SECONDS = 180.0
_TENSOR = "bulk.conductivity.tensor"


class Command(BaseCommand):
    """Makes the accounts and the study by the same services and processes as everything else."""

    help = "Run the demo study (X-ray volume of fibres to conductivity) for real, and serve it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--no-serve", action="store_true", help="end when the study is done")
        parser.add_argument("--port", type=int, default=8000, help="port of the web server (default 8000)")
        parser.add_argument(
            "--bind", default="127.0.0.1", help="address of the web server (default: this machine only)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, start the processes, make the study, say where it is, and serve it."""
        self._began = time.monotonic()
        file = Path(settings.REPO_ROOT) / "fixtures" / "fibres" / FILE
        if not file.is_file():
            raise CommandError(f"{file} is missing: the checkout is incomplete")
        supervisor = self._supervisor(options)
        try:
            self._study(supervisor, file)
            if options["no_serve"]:
                self._say("stopping the server; manage.py serve, or demo again, brings it up with these addresses")
            else:
                self._say("serving; stop with Ctrl-C")
                supervisor.run()
        except KeyboardInterrupt:
            self._say("stopped; the next call goes on from here")
        finally:
            supervisor.stop()

    def _supervisor(self, options: dict[str, Any]) -> Supervisor:
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
        return supervisor

    def _study(self, supervisor: Supervisor, file: Path) -> None:
        self._say("preparing the database and the static files")
        call_command("migrate", interactive=False, verbosity=0)
        static_files.collect()
        connections.close_all()
        supervisor.start()
        if not supervisor.wait_healthy(_START_SECONDS):
            raise CommandError("not all parts of the server came up; the lines above say which")
        self._say(f"server, worker and reaper are up at {supervisor.url}/")
        accounts = make_accounts(Path(settings.CORR_DATA_ROOT))
        try:
            study = run_study(people_of(accounts), file, self._say, alive=supervisor.tick)
        except (StudyError, CorrError) as error:
            raise CommandError(f"the study could not be completed: {error}") from error
        self._report(study, accounts, supervisor.url)

    def _say(self, line: str) -> None:
        self.stdout.write(f"[{time.monotonic() - self._began:6.1f} s] {line}")
        self.stdout.flush()

    def _report(self, study: Study, accounts: list[Account], url: str) -> None:
        write = self.stdout.write
        self._say(
            "the study is complete" if study.new_jobs else "the study was there already; nothing was computed anew"
        )
        write("\nNumbers (and what becomes of each if every spacing were s times as large):")
        for row in study.numbers.values():
            value = one_line(row.value, row.interval, row.unit, row.error)
            write(f"  {meaning(row).title:<52} {value:<38} {effect(row.scale_exponent)}")
        rve = study.numbers["bulk.rve.rve"]
        write(f"\nRepresentative volume? {rve.facts['verdict']}: {rve.facts['reason']}.")
        write("\nAccounts:")
        for account in accounts:
            write(f"  {account.user.get_username():<8} {account.password:<28} {account.role}")
        write(f"\nAddress:    {url}/")
        write(f"Specimen:   {url}{reverse('specimen', args=[study.specimen.pk])}")
        write(f"The tensor: {url}{reverse('property', args=[study.numbers[_TENSOR].pk])}\n")
        self.stdout.flush()
