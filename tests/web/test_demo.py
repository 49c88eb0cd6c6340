"""The demo as a newcomer runs it: real processes, real jobs, a data root of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="corr-demo-"))  # short: the broker's socket lies below it
    yield path
    shutil.rmtree(path, ignore_errors=True)


def demo(root: Path, repo_root: Path) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name not in ("CORR_DATABASE_URL", "CORR_BROKER_URL")}
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", "--no-serve", "--port", str(port)],
        cwd=repo_root,
        env=kept | {"CORR_DATA_ROOT": str(root), "CORR_NO_BOOTSTRAP": "1"},
        capture_output=True,
        text=True,
        timeout=420,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo_computes_the_study_once_and_finds_it_again(root: Path, repo_root: Path) -> None:
    first = demo(root, repo_root)
    assert "the study is complete" in first
    tensor = re.search(r"The tensor: (\S+/numbers/[0-9a-f-]{36}/)", first)
    assert tensor
    assert re.search(r"Mean diameter +4\.\d+ µm +× s", first)
    assert re.search(r"Effective thermal conductivity +diagonal [\d., ]+ W/\(m·K\) +unchanged", first)
    assert "Representative volume? not an RVE" in first
    again = demo(root, repo_root)
    assert "nothing was computed anew" in again
    path = tensor[1].split("/numbers/")[1]
    assert path in again
    accounts = re.findall(r"^  (demo|viewer|auditor|admin) +(\S+)", again, re.MULTILINE)
    assert accounts == re.findall(r"^  (demo|viewer|auditor|admin) +(\S+)", first, re.MULTILINE)
    assert len(accounts) == 4
    assert stat.S_IMODE((root / "demo-accounts.json").stat().st_mode) == 0o600
    assert not list((root / "run").glob("*.pid"))
