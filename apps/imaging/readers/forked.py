"""Functions of a script, each call in a process of its own that finds the script's libraries already loaded.

A library that trusts what a file says of itself can run in circles or die on damaged bytes, so it gets a process that
may be ended.  Loading the library takes far longer than the call; ``fork_server`` does it once.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import IO, cast

_SERVER = Path(__file__).with_name("fork_server.py")
_LOADING_SECONDS = 120.0
_GRACE_SECONDS = 30.0  # beyond an order's own seconds: a server that is starved of the processor


class Forked:
    """``main`` of a script, called in processes of their own; calls of several threads run beside each other."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._idle: dict[int, list[_Server]] = {}  # by process: a fork of this one has to start its own
        atexit.register(self.end)

    def call(self, *arguments: str, seconds: float) -> int | None:
        """Exit status of a process that called ``main(*arguments)``; None if ``seconds`` were over before it ended.

        A negative status is the signal that ended it.

        Raises
        ------
        OSError
            No process can be started, or it ended before it could be used.
        """
        idle = self._idle.setdefault(os.getpid(), [])
        while True:
            reused = bool(idle)
            server = idle.pop() if reused else _Server(self._script)
            try:
                status = server.ask(arguments, seconds)
            except OSError:
                server.end()
                if not reused:
                    raise
                continue  # it had ended for want of orders
            except BaseException:
                server.end()
                raise
            idle.append(server)
            return status

    def end(self) -> None:
        """End the processes that wait for calls."""
        idle = self._idle.pop(os.getpid(), [])
        while idle:
            idle.pop().end()


class _Server:
    """One running ``fork_server``."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_SERVER), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._orders, self._answers = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        try:
            self._answer(_LOADING_SECONDS)
        except BaseException:
            self.end()
            raise

    def ask(self, arguments: tuple[str, ...], seconds: float) -> int | None:
        order = json.dumps({"arguments": arguments, "seconds": seconds})
        self._orders.write(order.encode() + b"\n")
        status: int | None = json.loads(self._answer(seconds + _GRACE_SECONDS))
        return status

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self._answers.close()

    def _answer(self, seconds: float) -> bytes:
        poll = select.poll()  # knows descriptors above 1023, which a busy server has
        poll.register(self._answers, select.POLLIN)
        line = self._answers.readline() if poll.poll(1000 * seconds) else b""
        if not line.endswith(b"\n"):
            raise OSError(f"{self._script.name} ended or does not answer")
        return line
