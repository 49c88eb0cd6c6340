"""``manage.py worker``: answers doorbells."""

from __future__ import annotations

import os
from typing import Any

from celery import current_app, signals
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from apps.jobs import runner
from apps.jobs.beats import BeatThread


class Command(BaseCommand):
    """Runs a Celery worker.

    Its pool is of threads: each job's work is done in a process of its own, the thread only listens to it, and one
    process to kill, stop or count is simpler than a group whose orphans go on.
    """

    help = "Run a worker: takes jobs as the broker announces them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--concurrency", type=int, default=settings.CORR_WORKER_CONCURRENCY, help="jobs at once")
        parser.add_argument("--loglevel", default="WARNING")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until SIGTERM; running jobs go back to the queue then."""
        beat = BeatThread("worker")

        def ready(**_: Any) -> None:
            beat.start()

        def stopping(**_: Any) -> None:
            runner.shutting_down.set()
            beat.stop()

        signals.worker_ready.connect(ready, weak=False)
        signals.worker_shutting_down.connect(stopping, weak=False)
        current_app.worker_main(
            [
                "--quiet",
                "worker",
                # two workers of one machine and one name would share a mailbox, which RabbitMQ refuses the second
                f"--hostname=worker-{os.getpid()}@%h",
                "--pool=threads",
                f"--concurrency={max(1, int(options['concurrency']))}",
                f"--loglevel={options['loglevel']}",
                "--without-gossip",
                "--without-mingle",
            ]
        )
