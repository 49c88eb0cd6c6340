"""The process in which one job's work is done: limits first, then the work, then one result file.

Started as ``python -P -m analyses.sdk.child <work folder> <report fd>`` with ``request.json`` in the work folder::

    {"target": "package.module:function", "request": {...}, "seed": 0, "threads": 1, "memory_bytes": 17179869184,
     "seconds": 3600.0, "parent": 4711}

The target is called as ``target(request, ctx)`` and returns something JSON can hold, which goes to ``result.json``::

    {"outcome": "succeeded", "value": {...}, "sealed": {"labels": "sha256:..."}}
    {"outcome": "failed", "code": "no_contrast", "message": "...", "facts": {...}}
    {"outcome": "cancelled"}
    {"outcome": "errored", "code": "out_of_memory", "message": "..."}

Progress and log lines go to the report pipe, one JSON object a line: ``{"p": 0.5, "t": "text"}`` and ``{"l": "text"}``;
a result that could not be written to its file as ``{"r": {...}}``.
Nothing here knows Django or the database.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import importlib
import json
import math
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from analyses.sdk.failures import Cancelled, PluginError
from analyses.sdk.failures import ChildFailure as ChildFailure

if TYPE_CHECKING:
    import numpy as np

_PR_SET_PDEATHSIG = 1
_MIN_INTERVAL = 0.1  # seconds between two progress reports
_MAX_TEXT = 4000


class ChildContext:
    """What a target may do besides computing.

    Attributes
    ----------
    staging : Path
        Every folder ``staging/<name>`` that exists when the target returns becomes a store.
    scratch : Path
        Temporary files; the working directory; removed with the process.
    seed : int
        Seed of all randomness.
    threads : int
        Threads the work may use.
    """

    def __init__(self, work: Path, report_fd: int, request: Mapping[str, Any]) -> None:
        self.staging = work / "staging"
        self.scratch = work / "scratch"
        self.seed = int(request["seed"])
        self.threads = int(request["threads"])
        self.sealed: dict[str, str] = {}
        self._rng: np.random.Generator | None = None
        self._report_fd = report_fd
        self._lock = threading.Lock()
        self._reported_at = -math.inf
        self._cancelled = threading.Event()

    @property
    def rng(self) -> np.random.Generator:
        """The generator seeded by the job."""
        if self._rng is None:  # by name: work that draws nothing does not wait for numpy
            self._rng = importlib.import_module("numpy.random").default_rng(self.seed)
        return self._rng

    def progress(self, fraction: float, text: str = "") -> None:
        """Report how much is done, 0 to 1; reports that come too fast are dropped, the last one (1.0) is not."""
        now = time.monotonic()
        if now - self._reported_at < _MIN_INTERVAL and fraction < 1.0:
            return
        self._reported_at = now
        done = min(1.0, max(0.0, float(fraction))) if math.isfinite(fraction) else 0.0
        self._report({"p": done, "t": str(text)[:500]})

    def log(self, text: str) -> None:
        """Write one entry to the job's log; a longer text is cut after 4000 characters."""
        self._report({"l": str(text)[:_MAX_TEXT]})

    def check_cancelled(self) -> None:
        """Raise :class:`~analyses.sdk.contract.Cancelled` if the job is to stop."""
        if self._cancelled.is_set():
            raise Cancelled

    def seal(self, name: str, digest: str) -> None:
        """Say which manifest digest the store ``name`` must have; the parent refuses it if its bytes give another."""
        self.sealed[name] = digest

    def request_cancel(self) -> None:
        """Make the next :meth:`check_cancelled` raise."""
        self._cancelled.set()

    def report_result(self, result: Mapping[str, Any]) -> None:
        """Tell the parent a result that could not be written to a file."""
        self._report({"r": result})

    def _report(self, message: Mapping[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._report_fd, line) :]
        except OSError:  # the parent is gone or does not listen any more; the work itself is not wrong
            return


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies, and die now if it did already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # died between fork and prctl
        os._exit(1)


def set_limits(memory_bytes: int, seconds: float) -> None:
    """Limit address space, processor time (a second guard besides the parent's clock) and core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    if seconds < float(2**31):
        cpu = math.ceil(seconds * (os.cpu_count() or 1)) + 60
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))


def resolve(target: str) -> Any:
    """The function named ``package.module:function``."""
    module, _, name = target.partition(":")
    found = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{target} is not callable")
    return found


def _failure(error: BaseException) -> dict[str, Any]:
    """How an exception that ended the target is told to the parent."""
    if isinstance(error, Cancelled):
        return {"outcome": "cancelled"}
    if isinstance(error, ChildFailure):
        return {"outcome": "failed", "code": error.code, "message": error.message, "facts": error.facts}
    if isinstance(error, PluginError):
        facts = ", ".join(f"{key} = {value}" for key, value in error.facts.items())
        return {"outcome": "failed", "code": error.name, "message": facts, "facts": error.facts}
    if isinstance(error, MemoryError):
        return {"outcome": "errored", "code": "out_of_memory", "message": "the work needed more memory than its limit"}
    if _says_full(error):
        return {"outcome": "errored", "code": "storage_full", "message": "the server's disk is full"}
    return {"outcome": "errored", "code": "exception", "message": f"{type(error).__name__}: {error}"[:_MAX_TEXT]}


def _says_full(error: BaseException | None) -> bool:
    """True if the error, or what led to it, is "no space left on device", also as text of a compiled library."""
    for _ in range(10):
        if error is None:
            return False
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _json(value: Any) -> str:
    """Canonical enough for a file between two processes; a value that JSON cannot hold is a bug of the target."""
    return json.dumps(value, allow_nan=False)


def _write_result(work: Path, result: Mapping[str, Any], ctx: ChildContext) -> None:
    try:
        text = _json(result)
    except (TypeError, ValueError) as error:
        text = _json({"outcome": "errored", "code": "exception", "message": f"the result is not JSON: {error}"})
    partial = work / "result.json.part"
    try:
        partial.write_text(text)
        partial.rename(work / "result.json")
    except OSError as error:  # on a full disk there is no room for a result either: it is told, not written
        ctx.report_result(result if result["outcome"] != "succeeded" else _failure(error))


def run(work: Path, report_fd: int) -> int:
    """Do what the request says and leave a result; the exit status is 0 whenever a result was written."""
    request = json.loads((work / "request.json").read_text())
    die_with_parent(int(request["parent"]))
    set_limits(int(request["memory_bytes"]), float(request["seconds"]))
    ctx = ChildContext(work, report_fd, request)

    def on_terminate(signum: int, frame: FrameType | None) -> None:
        ctx.request_cancel()

    signal.signal(signal.SIGTERM, on_terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    try:
        value = resolve(request["target"])(request["request"], ctx)
        result = {"outcome": "succeeded", "value": value, "sealed": ctx.sealed}
    except Exception as error:  # noqa: BLE001 - whatever the work raises is told to the parent, nothing may pass
        result = _failure(error)
        if result["outcome"] == "errored":
            ctx.log("".join(traceback.format_exception(error))[-_MAX_TEXT:])
    _write_result(work, result, ctx)
    return 0


if __name__ == "__main__":
    # By its real name: a target that imports this module must find the same exception classes that are caught here.
    sys.exit(importlib.import_module("analyses.sdk.child").run(Path(sys.argv[1]), int(sys.argv[2])))
