"""One attempt at one job: claim, prepare, child process, publish, end.

Nothing here holds a transaction while the work is done.  Every way out clears what the attempt left in staging before
the row is ended, so that a full disk has room for the row.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError

from analyses.sdk.storable import storable_json, storable_text
from apps.core import storage
from apps.core.errors import CorrError
from apps.jobs import endings, environment, kernel, publishing, registry
from apps.jobs.endings import Ending
from apps.jobs.keeper import Keeper
from apps.jobs.kernel import LeaseLostError
from apps.jobs.models import Job
from apps.jobs.process import ChildProcess, Exit, Limits
from apps.jobs.registry import ChildPlan, ChildResult, Claim, JobFailure

logger = logging.getLogger(__name__)
T = TypeVar("T")
Status = Job.Status
_PUMP_SECONDS = 0.05
_MAX_MESSAGE = 8000

shutting_down = threading.Event()
"""Set when this worker is asked to end: running jobs go back to the queue."""


class _Over(Exception):  # noqa: N818 - a way to end, not an error
    """The work ends here, this way."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.exit_code or ending.status)
        self.ending = ending


class _GiveBack(Exception):  # noqa: N818 - a way to end, not an error
    """The job goes back to the queue: not its own fault that it was not finished."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def execute(job_id: uuid.UUID) -> str:
    """Answer a doorbell.

    Returns
    -------
    str
        How the attempt ended: a final status, ``lost``, ``stopping`` or ``killed`` (back in the queue); empty if the
        job was not to be had.
    """
    if shutting_down.is_set():
        return ""
    claim = kernel.claim(job_id, kernel.worker_name())
    if claim is None:
        bury(job_id)
        return ""
    return _Attempt(claim).run()


def bury(job_id: uuid.UUID) -> bool:
    """End a job whose attempts are used up; False if it is not such a job."""
    message = f"{settings.CORR_MAX_ATTEMPTS} workers were lost while they ran this job; it is not tried again"
    ending = Ending(Status.ERRORED, kernel.WORKER_LOST, message)
    return endings.end_without_result(kernel.exhausted(job_id), job_id, ending)


class _Attempt:
    """State of one attempt."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.keeper = Keeper(claim)
        self.timings: dict[str, float] = {}
        self.environment: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.workdir: Path | None = None

    def run(self) -> str:
        """Work, and end the job one way or another; ``lost`` if the claim went void on the way."""
        self.keeper.start()
        try:
            return self._run()
        except LeaseLostError as lost:
            logger.warning("job %s: %s", self.claim.job_id, lost)
            return "lost"
        except (OperationalError, InterfaceError) as problem:
            # the database is away for longer than a lease: whoever finds the lease expired tries again
            logger.warning("job %s: the database went away: %s", self.claim.job_id, problem)
            return "lost"
        finally:
            self.keeper.stop()
            self._clear()

    def _run(self) -> str:
        try:
            with self._named():
                self._work()
            return str(Status.SUCCEEDED)
        except _Over as over:
            self._end(over.ending)
            return str(over.ending.status)
        except _GiveBack as back:
            return self._give_back(back.outcome)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Give every way in which work can go wrong the name of an ending."""
        try:
            yield
        except (_Over, _GiveBack, LeaseLostError):
            raise
        except JobFailure as failure:
            raise _Over(Ending(Status.FAILED, failure.code, failure.message, failure.facts)) from failure
        except publishing.BadOutputError as bad:
            raise _Over(Ending(Status.ERRORED, "bad_output", str(bad))) from bad
        except Exception as error:
            raise self._unexpected(error) from error

    def _unexpected(self, error: Exception) -> Exception:
        if storage.is_full(error):
            return _Over(Ending(Status.ERRORED, "storage_full", "the server's disk is full; nothing was published"))
        if isinstance(error, CorrError):
            return _Over(Ending(Status.FAILED, error.code, error.message, error.details))
        if isinstance(error, OperationalError | InterfaceError):
            return LeaseLostError(f"the database did not answer for a whole lease: {error}")
        logger.error("job %s: internal error", self.claim.job_id, exc_info=error)
        message = f"{type(error).__name__} in the server; its log says more under this job's id"
        return _Over(Ending(Status.ERRORED, "internal_error", message))

    # --------------------------------------------------------------------------------------------------------- the work

    def _work(self) -> None:
        began = time.monotonic()
        job = self._retrying(lambda: Job.objects.select_related("created_by", "project").get(pk=self.claim.job_id))
        if job.started_at is not None:
            self.timings["queued"] = max(0.0, (job.started_at - job.created_at).total_seconds())
        if job.cancel_requested:
            raise _Over(Ending(Status.CANCELLED))
        handler = registry.handler_of(job.kind)
        workdir = self.workdir = storage.staging_dir(job.pk, self.claim.attempt)
        plan = self._retrying(lambda: handler.prepare(job, workdir))
        began = self._clock("prepare", began)
        left = self._compute(job, plan, workdir)
        began = self._clock("run", began)
        self._publish(plan, left, workdir, began)

    def _clock(self, phase: str, began: float) -> float:
        now = time.monotonic()
        self.timings[phase] = now - began
        return now

    def _retrying(self, work: Callable[[], T]) -> T:
        return kernel.persistently(work, until=self.keeper.deadline)

    def _compute(self, job: Job, plan: ChildPlan, workdir: Path) -> Exit:
        limits = Limits.of(plan)
        self.environment = environment.capture(threads=plan.threads, memory_bytes=limits.memory_bytes)
        child = ChildProcess(workdir, on_progress=self.keeper.note_progress, on_log=self.keeper.note_log)
        try:
            child.start(job, plan, limits)
            left = self._attend(child, time.monotonic() + limits.seconds)
        finally:
            child.kill()
        self.timings["cpu"] = left.cpu_seconds
        self.facts["max_rss_bytes"] = left.max_rss_bytes
        return _judge(left, limits)

    def _attend(self, child: ChildProcess, overdue: float) -> Exit:
        """Listen until the child has ended, and see to it that it ends when it must."""
        late = False
        while (left := child.poll()) is None:
            child.pump(_PUMP_SECONDS)
            if self.keeper.lost.is_set():
                raise LeaseLostError(f"attempt {self.claim.attempt} of job {self.claim.job_id} has lost its lease")
            if shutting_down.is_set():
                raise _GiveBack("stopping")
            late = late or time.monotonic() > overdue
            if late or self.keeper.cancel.is_set():
                child.ask_to_stop()
        if self.keeper.cancel.is_set():
            raise _Over(Ending(Status.CANCELLED))
        if late:
            raise _Over(Ending(Status.ERRORED, "time_limit", "the work took longer than its time limit"))
        return left

    def _publish(self, plan: ChildPlan, left: Exit, workdir: Path, began: float) -> None:
        said = left.result or {}
        candidates = publishing.examine(workdir, said.get("sealed", {}), most=plan.stores)
        if self.keeper.cancel.is_set():
            raise _Over(Ending(Status.CANCELLED))
        stores = publishing.publish(self.claim, candidates, retrying=self._retrying)
        self.keeper.stop()  # on SQLite its writes would wait for the last transaction, which is this attempt's own
        result = ChildResult(said.get("value") or {}, stores, self.facts)
        self._last_words(lambda: endings.finish_succeeded(self.claim, result, self._success(began)))

    def _success(self, began: float) -> Ending:
        self._clock("publish", began)
        return Ending(Status.SUCCEEDED, facts=self.facts, timings=self.timings, environment=self.environment)

    # ---------------------------------------------------------------------------------------------------------- the end

    def _last_words(self, work: Callable[[], object]) -> None:
        """Write the ending with a fresh lease before it, so that waiting for the database is not what voids it."""
        self._retrying(self.keeper.renew)
        self._retrying(work)

    def _end(self, ending: Ending) -> None:
        self._clear()
        self.keeper.stop()
        full = Ending(
            ending.status,
            storable_text(ending.exit_code),
            storable_text(ending.message, _MAX_MESSAGE),
            storable_json({**self.facts, **ending.facts}),
            self.timings,
            self.environment,
        )
        self._last_words(lambda: endings.finish_without_result(self.claim, full))

    def _give_back(self, outcome: str) -> str:
        if outcome == "killed" and self.claim.attempt >= settings.CORR_MAX_ATTEMPTS:
            message = f"the process was killed from outside in each of {self.claim.attempt} attempts"
            self._end(Ending(Status.ERRORED, kernel.WORKER_LOST, message))
            return str(Status.ERRORED)
        self._clear()
        self.keeper.note_log(f"attempt {self.claim.attempt} ended ({outcome}); the job is back in the queue")
        self.keeper.stop()
        self._last_words(lambda: kernel.release(self.claim, outcome=outcome))
        return outcome

    def _clear(self) -> None:
        """Remove what is left unpublished; what cannot be removed now is the sweeper's."""
        if self.workdir is None:
            return
        try:
            publishing.discard(self.claim, self.workdir)
        except (OSError, OperationalError, InterfaceError) as problem:
            logger.warning("job %s: staging is left to the sweeper: %s", self.claim.job_id, problem)


def _judge(left: Exit, limits: Limits) -> Exit:
    """Return the exit of a child that succeeded; raise what any other means."""
    said = left.result
    if said is None:
        raise _crash(left, limits)
    outcome = said.get("outcome")
    if outcome == "succeeded":
        return left
    if outcome == "failed":
        raise JobFailure(str(said["code"]), str(said["message"]), said["facts"])
    if outcome == "errored":
        facts = {"memory_bytes": limits.memory_bytes} if said["code"] == "out_of_memory" else {}
        raise _Over(Ending(Status.ERRORED, str(said["code"]), str(said["message"]), facts))
    raise _Over(Ending(Status.ERRORED, "crashed", f"the work ended as {outcome!r} although nobody asked it to"))


def _crash(left: Exit, limits: Limits) -> Exception:
    name = left.signal_name
    if name in ("SIGKILL", "SIGTERM"):
        # not sent by the attempt: an administrator, or the kernel short of memory.  The same as a worker lost.
        return _GiveBack("killed")
    if name == "SIGXCPU":
        return _Over(Ending(Status.ERRORED, "time_limit", "the work used more processor time than its limit"))
    if name:
        facts = {"signal": name, "memory_bytes": limits.memory_bytes}
        return _Over(Ending(Status.ERRORED, "crashed", f"the process crashed ({name})", facts))
    facts = {"status": left.status}
    return _Over(Ending(Status.ERRORED, "crashed", f"the process ended with status {left.status} and no result", facts))
