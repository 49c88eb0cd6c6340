"""The child process of one job: started with limits, listened to, stopped with all that it started.

The child leads a session of its own, so that one signal reaches everything in it; the kernel kills it when this process
dies (it asks for that itself, see :mod:`analyses.sdk.child`).
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from analyses.sdk.storable import storable_json
from apps.jobs.models import Job
from apps.jobs.registry import ChildPlan

GRACE_SECONDS = 3.0  # between asking to stop and killing
_PR_SET_DUMPABLE = 4
_READ = 1 << 16
_LONGEST_LINE = 8000
_LOG_LIMIT = 1_000_000  # characters of log an attempt may leave
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class Limits:
    """What one child may use at most."""

    memory_bytes: int
    seconds: float

    @classmethod
    def of(cls, plan: ChildPlan) -> Limits:
        """The plan's wishes, held below the installation's limits."""
        memory, seconds = settings.CORR_JOB_MEMORY_BYTES, settings.CORR_JOB_SECONDS
        return cls(min(plan.memory_bytes or memory, memory), min(plan.seconds or seconds, seconds))


@dataclass(frozen=True)
class Exit:
    """How a child ended: its status as ``subprocess`` has it (negative: a signal), its result file, what it used."""

    status: int
    result: Mapping[str, Any] | None
    cpu_seconds: float
    max_rss_bytes: int

    @property
    def signal_name(self) -> str:
        """Name of the signal that ended it, empty for a plain exit."""
        if self.status >= 0:
            return ""
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"


class _Lines:
    """Bytes of a pipe, cut into lines of bounded length."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._take(line.decode("utf-8", "replace"))
        if len(self._rest) > _LONGEST_LINE:
            self.finish()

    def finish(self) -> None:
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
        self._rest = b""


class ChildProcess:
    """One run of :mod:`analyses.sdk.child` in ``workdir``."""

    def __init__(
        self,
        workdir: Path,
        *,
        on_progress: Callable[[float, str], None],
        on_log: Callable[[str], None],
    ) -> None:
        self.workdir = workdir
        self._on_progress = on_progress
        self._on_log = on_log
        self._logged = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._selector = selectors.DefaultSelector()
        self._exit: Exit | None = None
        self._stop_asked: float | None = None
        self._told: dict[str, Any] | None = None

    # --------------------------------------------------------------------------------------------------------- starting

    def start(self, job: Job, plan: ChildPlan, limits: Limits) -> None:
        """Write the request and start the process.

        Raises
        ------
        OSError
            No room for the request, or no process could be made.
        """
        request = {
            "target": plan.target,
            "request": dict(plan.request),
            "seed": job.seed,
            "threads": plan.threads,
            "memory_bytes": limits.memory_bytes,
            "seconds": limits.seconds,
            "parent": os.getpid(),
        }
        hide_memory()
        scratch = self.workdir / "scratch"
        for folder in (scratch, self.workdir / "staging"):
            folder.mkdir(mode=0o700, exist_ok=True)
        (self.workdir / "request.json").write_text(json.dumps(request, allow_nan=False))
        report, report_end = os.pipe()
        output, output_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "analyses.sdk.child", str(self.workdir), str(report_end)],
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(report_end,),
                cwd=scratch,
                env=_environment(plan.threads, scratch),
                start_new_session=True,
                umask=0o077,
            )
        finally:
            os.close(report_end)
            os.close(output_end)
            self._listen(report, self._take_report)
            self._listen(output, self._take_log)

    def _listen(self, pipe: int, take: Callable[[str], None]) -> None:
        os.set_blocking(pipe, False)
        self._selector.register(pipe, selectors.EVENT_READ, _Lines(take))

    # -------------------------------------------------------------------------------------------------------- listening

    def pump(self, timeout: float) -> None:
        """Read what the child has to say, waiting at most ``timeout`` seconds for it."""
        if not self._selector.get_map():
            time.sleep(min(timeout, 0.02))
            return
        for key, _ in self._selector.select(timeout):
            self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        lines: _Lines = key.data
        with suppress(BlockingIOError):
            data = os.read(key.fd, _READ)
            if data:
                lines.feed(data)
                return
            lines.finish()
            self._selector.unregister(key.fd)
            os.close(key.fd)

    def _take_report(self, line: str) -> None:
        try:
            message = json.loads(line)
            if "r" in message:
                self._told = storable_json(dict(message["r"]))
            elif "l" in message:
                self._take_log(str(message["l"]))
            else:
                self._on_progress(min(1.0, max(0.0, float(message["p"]))), str(message["t"]))
        except (ValueError, TypeError, KeyError):
            self._take_log(line)

    def _take_log(self, line: str) -> None:
        if self._logged >= _LOG_LIMIT:
            return
        self._logged += len(line) + 1
        cut = self._logged >= _LOG_LIMIT
        self._on_log("(the log is longer than an attempt may leave; the rest is dropped)" if cut else line)

    # ----------------------------------------------------------------------------------------------------------- ending

    def poll(self) -> Exit | None:
        """How the child ended; None while it runs."""
        process = self._process
        if self._exit is None and process is not None and _is_over(process.pid):
            self._exit = self._ended(process)
        return self._exit

    def _ended(self, process: subprocess.Popen[bytes]) -> Exit:
        self._signal(signal.SIGKILL)  # whatever else it had started; its own pid is not free before it is reaped
        _, waited, usage = os.wait4(process.pid, 0)
        process.returncode = status = os.waitstatus_to_exitcode(waited)
        self._drain()
        result = self._result() if status == 0 else None
        return Exit(status, result, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def _drain(self) -> None:
        """Read what is left in the pipes; a process that escaped the session may hold them open: do not wait for it."""
        for _ in range(64):
            ready = self._selector.select(0) if self._selector.get_map() else []
            if not ready:
                break
            for key, _ in ready:
                self._read(key)
        for key in list(self._selector.get_map().values()):
            key.data.finish()
            self._selector.unregister(key.fd)
            os.close(key.fd)
        self._selector.close()

    def _result(self) -> Mapping[str, Any] | None:
        try:
            found = json.loads((self.workdir / "result.json").read_text())
        except (OSError, ValueError):
            return self._told
        return storable_json(found) if isinstance(found, dict) else None

    def ask_to_stop(self) -> None:
        """SIGTERM at first; SIGKILL when the grace time has passed.  May be called as often as one likes."""
        now = time.monotonic()
        if self._stop_asked is None:
            self._stop_asked = now
            self._signal(signal.SIGTERM)
        elif now - self._stop_asked > GRACE_SECONDS:
            self._signal(signal.SIGKILL)

    def kill(self) -> None:
        """Kill the child and what it started, and reap it."""
        while self._process is not None and self.poll() is None:
            self._signal(signal.SIGKILL)
            self.pump(0.02)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def hide_memory() -> None:
    """Keep this process's environment and memory from others of its account, such as the children it starts.

    A process that is not dumpable cannot be traced, and its ``/proc/<pid>/environ`` is the superuser's (prctl(2),
    PR_SET_DUMPABLE).  A child is dumpable again by its ``exec``.

    Raises
    ------
    OSError
        The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def _is_over(pid: int) -> bool:
    """True if a child has ended; it stays unreaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _environment(threads: int, scratch: Path) -> dict[str, str]:
    """The child's environment: the way to Python and its libraries, no secrets, no address of a database."""
    found: dict[str, str] = dict(settings.CORR_CHILD_ENVIRONMENT)
    found |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return found | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
