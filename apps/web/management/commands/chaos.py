"""``manage.py chaos``: kills a throw-away installation at random instants; see ``apps.web.chaos``."""

from __future__ import annotations

import secrets
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from psycopg import sql

from apps.web.chaos import report
from apps.web.chaos.installation import ChaosError, Installation
from apps.web.chaos.rounds import Chaos


class Command(BaseCommand):
    """Starts ``serve`` on a data root of its own; the installation this command belongs to is not touched."""

    help = "Kill worker child, worker group, reaper and web at random instants; every job must end with one result."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--rounds", type=int, default=10, help="kills of each part in each kind of job")
        parser.add_argument("--seed", type=int, default=None, help="repeats the choices of a run; printed")
        parser.add_argument("--database-url", default="", help="a PostgreSQL server; a database is made and dropped")
        parser.add_argument("--broker-url", default="", help="a broker (default: the embedded one)")
        parser.add_argument("--lease-seconds", type=float, default=3.0)
        parser.add_argument("--report", default="", help="folder of the report (default: benchmarks/results)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, report, and fail if anything was lost, torn or left."""
        seed = options["seed"] if options["seed"] is not None else secrets.randbelow(2**31)
        self._say(f"seed {seed}")
        folder = Path(options["report"] or Path(settings.REPO_ROOT) / "benchmarks" / "results")
        setup = f"{_scheme(options['broker_url'], 'embedded')} + {_scheme(options['database_url'], 'sqlite')}"
        with _database(options["database_url"]) as url, tempfile.TemporaryDirectory(prefix="corr-chaos-") as root:
            environment = {
                **settings.CORR_CHILD_ENVIRONMENT,
                "DJANGO_SETTINGS_MODULE": str(settings.SETTINGS_MODULE),
                "CORR_DATABASE_URL": url,
                "CORR_BROKER_URL": options["broker_url"],
                "CORR_LEASE_SECONDS": str(options["lease_seconds"]),
                "CORR_REAPER_SECONDS": "0.5",
            }
            installation = Installation(Path(root), Path(settings.REPO_ROOT), environment)
            chaos = Chaos(installation, seed=seed, setup=setup, say=self._say)
            try:
                installation.start()
                outcome = chaos.run(options["rounds"])
            except ChaosError as error:
                raise CommandError(f"{error}\n{installation.log()[-4000:]}") from error
            finally:
                installation.stop()
        self._say(f"report: {report.write(folder, outcome)}")
        if outcome.failed or not outcome.sound:
            raise CommandError(f"{len(outcome.failed)} jobs without exactly one result; fsck: {outcome.findings}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _scheme(url: str, otherwise: str) -> str:
    names = {"amqp": "RabbitMQ", "redis": "Redis", "postgres": "PostgreSQL", "postgresql": "PostgreSQL"}
    scheme = urllib.parse.urlsplit(url).scheme
    return names.get(scheme, scheme) or otherwise


@contextmanager
def _database(server: str) -> Iterator[str]:
    """A fresh database on a PostgreSQL server, dropped in the end; the empty address (SQLite) as it is."""
    if not server:
        yield ""
        return
    name = f"corr_chaos_{secrets.token_hex(6)}"
    split = urllib.parse.urlsplit(server)
    maintenance = split._replace(path="/postgres").geturl()
    with psycopg.connect(maintenance, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield split._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(maintenance, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
