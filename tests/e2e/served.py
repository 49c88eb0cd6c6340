"""A server of its own for a test: ``manage.py serve`` on a fresh data root, with the probe kind of job."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

REPO_ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float, what: str = "") -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain{': ' if what else ''}{what}")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """Settings of the database server and broker that this run is about; nothing where it is about neither.

    On a PostgreSQL server the installation gets a database of its own, dropped in the end.
    """
    server, broker = os.environ.get("CORR_DATABASE_URL", ""), os.environ.get("CORR_BROKER_URL", "")
    chosen = {"CORR_BROKER_URL": broker} if broker else {}
    if not server.startswith("postgres"):
        yield chosen
        return
    name = f"corr_e2e_{uuid.uuid4().hex[:12]}"
    split = urllib.parse.urlsplit(server)
    with psycopg.connect(split._replace(path="/postgres").geturl(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield chosen | {"CORR_DATABASE_URL": split._replace(path=f"/{name}").geturl()}
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Served:
    """One installation under test."""

    def __init__(self, data_root: Path, **environment: str) -> None:
        self.data_root = data_root
        self.port = free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CORR_", "PYTEST_"))},
            "CORR_DATA_ROOT": str(data_root),
            "CORR_SECRET_KEY": "tests-only-" + "0123456789abcdef" * 4,
            "CORR_NO_BOOTSTRAP": "1",
            "CORR_LEASE_SECONDS": "3",
            "CORR_REAPER_SECONDS": "0.5",
            "CORR_WORKER_CONCURRENCY": "2",
            "DJANGO_SETTINGS_MODULE": "tests.jobs.probe_settings",
            **environment,
        }
        self._log = (data_root / "serve.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self._driver: subprocess.Popen[str] | None = None

    def start(self, *, wait: bool = True) -> None:
        command = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
        self.process = self.spawn(command)
        if wait:
            self.wait_healthy()

    def spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=REPO_ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    def stop(self) -> None:
        if self._driver is not None:
            self._driver.kill()
            self._driver.wait()
            self._driver = None
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    # ---------------------------------------------------------------------------------------------------- what there is

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return {"code": answer.status, **json.load(answer)}
        except urllib.error.HTTPError as error:
            return {"code": error.code, **json.load(error)}
        except (OSError, ValueError):
            return {"code": 0}

    def wait_healthy(self, seconds: float = START_SECONDS) -> None:
        wait_for(lambda: self.health()["code"] == 200, seconds, f"healthz; {self.log()[-3000:]}")

    def log(self) -> str:
        return (self.data_root / "serve.log").read_text(errors="replace")

    def pid(self, role: str) -> int:
        return int((self.data_root / "run" / f"{role}.pid").read_text())

    def children(self) -> list[int]:
        if self.process is None:
            return []
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def kill(self, role: str, *, group: bool = False) -> int:
        pid = self.pid(role)
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(pid, signal.SIGKILL)
        return pid

    def kill_work(self) -> bool:
        """Kill one job's process; False if none is there."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid("worker")).children():
                child.kill()
                return True
        return False

    # --------------------------------------------------------------------------------------------------------- speaking

    def call(self, name: str, **arguments: Any) -> Any:
        if self._driver is None:
            self._driver = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.driver"],
                cwd=REPO_ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(json.dumps({"call": name, **arguments}) + "\n")
        self._driver.stdin.flush()
        line = self._driver.stdout.readline()
        assert line, "the driver has ended"
        return json.loads(line)

    def submit(self, do: str, **params: Any) -> str:
        return str(self.call("submit", do=do, **params))

    def wait_ended(self, job: str, seconds: float = 90.0) -> dict[str, Any]:
        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.call("job", pk=job)
            return found if found["status"] not in ("queued", "running") else None

        found: dict[str, Any] = wait_for(ended, seconds, f"job {job}: {self.call('job', pk=job)}")
        return found
