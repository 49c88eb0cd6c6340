"""A throw-away installation in processes of its own, reached over REST, with handles to kill its parts."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

_USER = "chaos"
_PASSWORD = secrets.token_urlsafe(16)
_AWAY = (OSError, ValueError)


class ChaosError(RuntimeError):
    """The installation did not do what it promises."""


def free_port() -> int:
    """A port on this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until something holds and return it; ChaosError if that takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise ChaosError(f"waited {seconds:.0f} s in vain for {what}")


class Installation:
    """``manage.py serve`` on a data root of its own.

    Parameters
    ----------
    data_root, repository : Path
        An empty folder, and the checkout.
    environment : mapping
        Variables of the processes: what a child inherits, the settings module, and ``CORR_*`` settings.
    """

    def __init__(self, data_root: Path, repository: Path, environment: Mapping[str, str]) -> None:
        self.data_root = data_root
        self._repository = repository
        self._environment = {
            **environment,
            "CORR_DATA_ROOT": str(data_root),
            "CORR_SECRET_KEY": secrets.token_urlsafe(48),
            "CORR_NO_BOOTSTRAP": "1",
            "DJANGO_SUPERUSER_USERNAME": _USER,
            "DJANGO_SUPERUSER_PASSWORD": _PASSWORD,
            "DJANGO_SUPERUSER_EMAIL": "chaos@localhost",
        }
        self.port = free_port()
        self._log: IO[bytes] = (data_root / "serve.log").open("ab")
        self._server: subprocess.Popen[bytes] | None = None
        self._token = ""  # nosec B105

    # --------------------------------------------------------------------------------------------------- life and death

    def start(self) -> None:
        """Migrate, make the account, serve, log in."""
        self._server = subprocess.Popen(
            [sys.executable, "-m", "django", "serve", "--port", str(self.port)],
            cwd=self._repository,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        wait_for(self.is_healthy, 180, "all parts to come up")
        done = self.command("createsuperuser", "--noinput")
        if done.returncode:
            raise ChaosError(f"no account: {done.stderr}")
        self._token = self.call("POST", "auth/token/", {"username": _USER, "password": _PASSWORD})["token"]

    def stop(self) -> None:
        """End the server and its children."""
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            try:
                self._server.wait(30)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._log.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a management command on this installation."""
        return subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=self._repository,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def log(self) -> str:
        """What the processes printed."""
        return (self.data_root / "serve.log").read_text(errors="replace")

    # ---------------------------------------------------------------------------------------------------------- kill -9

    def kill(self, target: str) -> bool:
        """Kill a part with -9: ``child``, ``group``, ``reaper`` or ``web``; False if it was not there to be killed."""
        if target == "child":
            return self._kill_child()
        pid = self._pid("worker" if target == "group" else target)
        if pid is None:
            return False
        try:
            (os.killpg if target == "group" else os.kill)(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _kill_child(self) -> bool:
        worker = self._pid("worker")
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(worker).children() if worker else ():
                child.kill()
                return True
        return False

    def _pid(self, role: str) -> int | None:
        try:
            return int((self.data_root / "run" / f"{role}.pid").read_text())
        except _AWAY:
            return None

    # ------------------------------------------------------------------------------------------------------------- REST

    def is_healthy(self) -> bool:
        """True if all parts are up."""
        if self._server is not None and self._server.poll() is not None:
            raise ChaosError(f"the server ended: {self.log()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except _AWAY:
            return False

    def call(self, method: str, path: str, body: Any = None, *, raw: tuple[bytes, str] | None = None) -> Any:
        """Send one request; ChaosError with the problem document where it is refused."""
        data, media_type = raw or (None if body is None else json.dumps(body).encode(), "application/json")
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/v1/{path}", data=data, method=method)
        request.add_header("Content-Type", media_type)
        if self._token:
            request.add_header("Authorization", f"Token {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ChaosError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def patient_get(self, path: str, seconds: float = 60.0) -> Any:
        """GET, again while the web server is away."""

        def get() -> Any:
            try:
                return self.call("GET", path)
            except _AWAY:
                return None

        return wait_for(get, seconds, f"an answer to GET {path}")

    def upload(self, path: str, name: str, content: bytes) -> Any:
        """POST one file as multipart/form-data."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return self.call("POST", path, raw=(body, f"multipart/form-data; boundary={boundary}"))
