"""``manage.py reaper``: sees to it that every accepted job ends."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseProblem
from django.db import connection

from apps.jobs import reaper
from apps.jobs.beats import BeatThread

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs the reaper."""

    help = "Ring again for jobs that nobody answers, end those that nobody can finish. Several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--once", action="store_true", help="one tick, then end")
        parser.add_argument("--seconds", type=float, default=settings.CORR_REAPER_SECONDS, help="between two ticks")

    def handle(self, *args: Any, **options: Any) -> None:
        """Tick until SIGTERM or SIGINT."""
        if options["once"]:
            done = reaper.reap()
            self.stdout.write(f"rung {len(done.rung)}, buried {len(done.buried)}")
            return
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        beat = BeatThread("reaper")
        beat.start()
        sweeps = reaper.SweepThread()
        sweeps.start()
        while not ended.wait(options["seconds"]):
            self._tick()
        sweeps.stop()
        beat.stop()

    def _tick(self) -> None:
        try:
            reaper.reap()
        except DatabaseProblem as problem:
            logger.warning("the database does not answer the reaper: %s", problem)
            connection.close()
