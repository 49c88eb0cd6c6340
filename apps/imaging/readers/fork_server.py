"""Loads a script once and carries out each order in a process forked from it, which damaged bytes may end alone.

    python -P fork_server.py SCRIPT

It says ``ready``, then answers orders, one JSON object a line on standard input::

    {"arguments": ["..."], "seconds": 15.0}

with the exit status of the process in which ``main(*arguments)`` of the script was called (negative: the signal that
ended it), or ``null`` if the seconds were over and it was killed.  One order is given at a time.  It ends with its
standard input, and after ``IDLE_SECONDS`` without an order.  Nothing of this program is imported here.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

IDLE_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
_READ = 1 << 16


def main() -> None:
    """Load the script and serve until the orders end."""
    os.putenv("OPENBLAS_NUM_THREADS", "1")  # a fork takes no threads along
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    orders, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # what a native library prints is no answer
        os.dup2(null, standard)
    work = _loaded(sys.argv[1])
    os.write(answers, b"ready\n")
    while order := _next(orders):
        os.write(answers, json.dumps(_done(work, order, orders, answers)).encode() + b"\n")


def _loaded(script: str) -> Callable[..., object]:
    spec = importlib.util.spec_from_file_location("work", script)
    if spec is None or spec.loader is None:
        raise ImportError(script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main: Callable[..., object] = module.main
    return main


def _next(orders: int) -> dict[str, Any] | None:
    """The next order; None at the end of the orders, or if none comes."""
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([orders], [], [], IDLE_SECONDS)
        more = os.read(orders, _READ) if ready else b""
        if not more:
            return None
        line += more
    return dict(json.loads(line))


def _done(work: Callable[..., object], order: dict[str, Any], orders: int, answers: int) -> int | None:
    """Exit status of the order's process; None if it had to be ended."""
    alive, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        _carry_out(work, order["arguments"], (orders, answers, alive))
    os.close(held)
    try:
        # The orders turn readable when whoever gives them is gone.
        ready, _, _ = select.select([alive, orders], [], [], order["seconds"])
    finally:
        os.close(alive)
    if alive not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if alive in ready else None


def _carry_out(work: Callable[..., object], arguments: Sequence[str], not_ours: Sequence[int]) -> None:
    """In the forked process: call, and end without what a Python program does at its end."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in not_ours:
            os.close(descriptor)
        work(*arguments)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
