"""The thread that keeps a claim alive while the work goes on, and the only one that writes the row meanwhile.

It runs in the worker's own process, which computes nothing itself, so no library can hold its interpreter; it prolongs
the lease, relays progress and log, and learns of a cancel request.  It never decides: it raises flags.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time

from django.conf import settings
from django.db import Error as DatabaseProblem
from django.db import connection, connections

from analyses.sdk.storable import storable_text
from apps.jobs import kernel
from apps.jobs.models import Job, JobLogLine
from apps.jobs.registry import Claim

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.25
_PROGRESS_SECONDS = 0.5


class Keeper(threading.Thread):
    """Keeps one claim.

    Attributes
    ----------
    lost : Event
        The claim is void, or must be taken for void: the database could not be reached for a whole lease, or the thread
        itself came to grief.
    cancel : Event
        Somebody asked for the job to be cancelled.
    """

    def __init__(self, claim: Claim) -> None:
        super().__init__(name=f"keeper-{claim.job_id}", daemon=True)
        self.claim = claim
        self.lost = threading.Event()
        self.cancel = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._progress: tuple[float, str] | None = None
        self._lines: list[tuple[dt.datetime, str]] = []
        now = time.monotonic()
        self._lease = float(settings.CORR_LEASE_SECONDS)
        self._deadline = now + self._lease
        self._beat_at = now
        self._moved_at = 0.0

    # ------------------------------------------------------------------------------------------ from the working thread

    def deadline(self) -> float:
        """Monotonic time until which the claim certainly holds, as far as this process knows."""
        return self._deadline

    def note_progress(self, fraction: float, text: str) -> None:
        """Have the progress written soon."""
        with self._lock:
            self._progress = (fraction, storable_text(text))

    def note_log(self, text: str) -> None:
        """Have a log line written soon."""
        with self._lock:
            self._lines.append((dt.datetime.now(dt.UTC), storable_text(text)))

    def renew(self) -> None:
        """Prolong the lease from the working thread, when this one has been stopped.

        Raises
        ------
        LeaseLostError
            The claim is void.
        """
        self._beat(time.monotonic(), None)
        if self.lost.is_set():
            raise kernel.LeaseLostError(f"attempt {self.claim.attempt} of job {self.claim.job_id} has lost its lease")

    def stop(self) -> None:
        """End the thread, with a last turn so that no line is left behind."""
        self._ended.set()
        if self.is_alive():
            self.join()

    # ---------------------------------------------------------------------------------------------------- in the thread

    def run(self) -> None:
        """Take turns until stopped."""
        try:
            while not self._ended.wait(POLL_SECONDS):
                self._safely()
            self._safely()
        except Exception:  # a keeper that ended unseen would leave its job to itself
            logger.exception("job %s: its keeper ended", self.claim.job_id)
            self.lost.set()
        finally:
            connections.close_all()

    def _safely(self) -> None:
        try:
            self._turn()
        except DatabaseProblem as problem:
            logger.warning("job %s: the database does not answer its keeper: %s", self.claim.job_id, problem)
            if not connection.in_atomic_block:
                connection.close()
        if time.monotonic() > self._deadline:
            self.lost.set()

    def _turn(self) -> None:
        now = time.monotonic()
        due = now - self._beat_at >= self._lease / 3
        with self._lock:
            progress = self._progress if now - self._moved_at >= _PROGRESS_SECONDS else None
        if due or progress is not None:
            self._beat(now, progress)
        if not self.lost.is_set():
            self._write_lines()
            self._look()

    def _beat(self, now: float, progress: tuple[float, str] | None) -> None:
        fraction, text = progress or (None, "")
        if not kernel.heartbeat(self.claim, progress=fraction, text=text):
            self.lost.set()
            return
        # counted from before the call: the database's clock started the new lease later than that, never earlier
        self._beat_at, self._deadline = now, now + self._lease
        if progress is not None:
            self._moved_at = now
            with self._lock:
                if self._progress == progress:
                    self._progress = None

    def _write_lines(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            JobLogLine.objects.bulk_create(
                JobLogLine(job_id=self.claim.job_id, attempt=self.claim.attempt, at=at, text=text) for at, text in lines
            )
        except DatabaseProblem:
            with self._lock:
                self._lines = lines + self._lines
            raise

    def _look(self) -> None:
        asked = Job.objects.filter(pk=self.claim.job_id).values_list("cancel_requested", flat=True).first()
        if asked:
            self.cancel.set()
