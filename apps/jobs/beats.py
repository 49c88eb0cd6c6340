"""Signs of life of workers and reapers, so that any web process can say whether the installation works."""

from __future__ import annotations

import logging
import os
import socket
import threading

from django.db import Error as DatabaseProblem
from django.db import connection, connections

from apps.core.clock import DbNow
from apps.jobs.models import ServiceBeat

logger = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
_FRESH_SECONDS = 3 * BEAT_SECONDS
_FORGET_SECONDS = 3600.0
ROLES = ("worker", "reaper")


def beat(role: str) -> None:
    """Say that this process is alive in a role."""
    ServiceBeat.objects.update_or_create(
        role=role, host=socket.gethostname(), pid=os.getpid(), defaults={"seen_at": DbNow()}
    )
    ServiceBeat.objects.filter(seen_at__lt=DbNow(-_FORGET_SECONDS)).delete()


def is_alive(role: str) -> bool:
    """True if some process in the role gave a sign of life lately, and still exists where it runs on this host."""
    host = socket.gethostname()
    rows = ServiceBeat.objects.filter(role=role, seen_at__gte=DbNow(-_FRESH_SECONDS)).values_list("host", "pid")
    return any(where != host or _runs(pid) for where, pid in rows)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class BeatThread(threading.Thread):
    """Beats for a role until told to stop."""

    def __init__(self, role: str) -> None:
        super().__init__(name=f"beat-{role}", daemon=True)
        self._role = role
        self._ended = threading.Event()

    def run(self) -> None:
        """Beat at once and then every few seconds; a database that does not answer is asked again."""
        try:
            while True:
                try:
                    beat(self._role)
                except DatabaseProblem as problem:
                    logger.warning("no sign of life written: %s", problem)
                    connection.close()
                if self._ended.wait(BEAT_SECONDS):
                    return
        finally:
            connections.close_all()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
