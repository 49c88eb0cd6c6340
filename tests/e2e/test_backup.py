"""``backup`` beside a server at work, killed half-way, and ``restore`` into an empty installation.

It runs on the database server that this run of the tests is about.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.served import REPO_ROOT, Served, services, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]


def run(server: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of an installation, served or not."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=REPO_ROOT, env=server.environment, capture_output=True, text=True, check=False)


def manage(server: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(server, "manage.py", *arguments)


def lineages(server: Served, numbers: list[str]) -> dict[str, str]:
    done = run(server, "-m", "tests.e2e.backup_load", "lineage", *numbers)
    assert done.returncode == 0, done.stderr
    return {found["id"]: found["lineage"] for found in map(json.loads, done.stdout.splitlines())}


def jobs(server: Served) -> dict[str, list[Any]]:
    done = run(server, "-m", "tests.e2e.backup_load", "jobs")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def written(folder: Path) -> list[Path]:
    """Bytes of stores below a data root."""
    return [path for kind in ("stores", "files") for path in (folder / kind).rglob("*") if path.is_file()]


class Writer:
    """A process that makes numbers until it is stopped."""

    def __init__(self, server: Served) -> None:
        self._out = server.data_root / "numbers"
        with self._out.open("wb") as out, (server.data_root / "writer.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.e2e.backup_load", "write"]
            self._process = subprocess.Popen(command, cwd=REPO_ROOT, env=server.environment, stdout=out, stderr=log)

    @property
    def numbers(self) -> list[str]:
        return [line for line in self._out.read_text().splitlines() if len(line) == 36]

    @property
    def works(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Taken:
    """A backup taken under load, and what was true when it was."""

    live: Served
    backup: Path
    numbers: list[str]
    before: dict[str, str]
    sleeper: str
    killed: list[Path] = field(default_factory=list)


def _begun(target: Path, sign: str, process: subprocess.Popen[bytes]) -> bool:
    return any(target.glob(sign)) or process.poll() is not None


def _kill_half_way(server: Served, folder: Path) -> list[Path]:
    """Backups killed as soon as their database was there, and while stores were being taken."""
    killed = []
    for number, sign in enumerate(("database.*", "stores/*/*")):
        target = folder / f"killed-{number}"
        process = server.spawn([sys.executable, "manage.py", "backup", str(target)])
        wait_for(partial(_begun, target, sign, process), 400, f"{sign} in {target}")
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if not (target / "backup.json").exists():
            killed.append(target)
    return killed


@pytest.fixture(scope="module")
def taken() -> Iterator[Taken]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corr-e2e-", ignore_cleanup_errors=True)))
        (root / "live").mkdir()
        live = Served(root / "live", **stack.enter_context(services()))
        stack.callback(live.stop)
        live.start(wait=False)
        live.wait_healthy(400)
        writer = Writer(live)
        stack.callback(writer.stop)
        wait_for(lambda: len(writer.numbers) >= 4 or not writer.works, 400, "numbers")
        assert writer.works, (root / "live" / "writer.log").read_text()
        killed = _kill_half_way(live, root)
        sleeper = run(live, "-m", "tests.e2e.backup_load", "sleep", "3000").stdout.strip()
        numbers = writer.numbers
        before = lineages(live, numbers)
        done = manage(live, "backup", str(root / "backup"))
        assert done.returncode == 0, done.stderr
        assert jobs(live)[sleeper][0] == "running"
        now = len(writer.numbers)
        wait_for(lambda: len(writer.numbers) > now, 400, "the writer goes on")
        assert writer.works
        writer.stop()
        yield Taken(live, root / "backup", numbers, before, sleeper, killed)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Served]:
    """An installation that was never used."""
    root = Path(tempfile.mkdtemp(prefix="corr-e2e-"))
    with services() as environment:
        server = Served(root, **environment)
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(root, ignore_errors=True)


def test_what_was_backed_up_under_load_comes_back_whole(taken: Taken, empty: Served) -> None:
    done = manage(empty, "restore", str(taken.backup))
    assert done.returncode == 0, done.stdout + done.stderr
    checked = manage(empty, "fsck")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.strip() == "0 findings"
    assert lineages(empty, taken.numbers) == taken.before
    chain = json.loads((taken.backup / "backup.json").read_text())["chain"]
    assert f"chain at {chain[0]}," in done.stdout

    restored = jobs(empty)
    assert restored[taken.sleeper] == ["running", 1]
    empty.start(wait=False)
    empty.wait_healthy(400)
    wait_for(lambda: jobs(empty)[taken.sleeper] == ["running", 2], 400, "the long job is taken up again")
    assert run(empty, "-m", "tests.e2e.backup_load", "cancel", taken.sleeper).returncode == 0
    active = {"queued", "running"}
    wait_for(lambda: not active & {status for status, _ in jobs(empty).values()}, 400, "every job ends")
    assert {pk for pk, (status, _) in jobs(empty).items() if status != "succeeded"} == {taken.sleeper}
    assert manage(empty, "restore", str(taken.backup)).returncode != 0  # while it is served
    assert manage(empty, "sweep").returncode == 0
    checked = manage(empty, "fsck")
    assert checked.returncode == 0, checked.stdout


def test_a_backup_killed_half_way_is_refused(taken: Taken, empty: Served) -> None:
    assert taken.killed, "every backup was faster than its killer"
    for target in taken.killed:
        done = manage(empty, "restore", str(target))
        assert done.returncode != 0
        assert "no backup.json" in done.stderr
    assert written(empty.data_root) == []


def test_a_restore_wants_an_empty_installation(taken: Taken, empty: Served) -> None:
    assert manage(empty, "migrate", "--verbosity", "0").returncode == 0
    done = manage(empty, "restore", str(taken.backup))
    assert done.returncode != 0
    assert "database is not empty" in done.stderr
    assert written(empty.data_root) == []
    assert manage(empty, "fsck").stdout.strip() == "0 findings"


def test_a_changed_byte_is_found_before_anything_is_written(taken: Taken, empty: Served, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(taken.backup, copy)
    chunks = [path for path in (copy / "stores").rglob("*") if path.is_file() and "c" in path.parts]
    victim = max(chunks, key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    done = manage(empty, "restore", str(copy))
    assert done.returncode != 0
    assert next(part for part in victim.parts if part.endswith(".zarr")) in done.stderr
    assert written(empty.data_root) == []


def test_a_restore_killed_half_way_is_taken_up_again(taken: Taken, empty: Served) -> None:
    process = empty.spawn([sys.executable, "manage.py", "restore", str(taken.backup)])
    wait_for(lambda: written(empty.data_root) or process.poll() is not None, 400, "bytes of stores")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = manage(empty, "restore", str(taken.backup))
    if "was never used" not in done.stderr:  # else it had ended before it was killed
        assert done.returncode == 0, done.stdout + done.stderr
    assert manage(empty, "fsck").stdout.strip() == "0 findings"
    assert lineages(empty, taken.numbers) == taken.before
