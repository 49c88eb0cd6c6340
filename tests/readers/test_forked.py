"""Calls in processes of their own: how each ends, that none harms the next, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from apps.imaging.readers import fork_server, forked
from apps.imaging.readers.forked import Forked

SCRIPT = """
import os, sys, time
from pathlib import Path

LOADED = os.getpid()


def main(act, *rest):
    if act == "write":
        print("noise", flush=True)
        Path(rest[0]).write_text(f"{LOADED} {os.getpid()}")
    elif act == "exit":
        sys.exit(3)
    elif act == "raise":
        raise ValueError(act)
    elif act == "die":
        os.kill(os.getpid(), 11)
    elif act == "hang":
        while True:
            time.sleep(60)
    elif act == "meet":
        Path(rest[0]).touch()
        while not Path(rest[1]).exists():
            time.sleep(0.01)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def running(script):
    found = Forked(script)
    yield found
    found.end()


def pids(running, tmp_path) -> tuple[int, int]:
    """The process that loaded the script, and the one of a call."""
    assert running.call("write", str(tmp_path / "pids"), seconds=60) == 0
    loaded, called = map(int, (tmp_path / "pids").read_text().split())
    return loaded, called


def test_each_call_has_a_process_of_its_own_and_the_script_is_loaded_once(running, tmp_path):
    (loaded, first), (same, second) = pids(running, tmp_path), pids(running, tmp_path)
    assert loaded == same
    assert len({os.getpid(), loaded, first, second}) == 4


@pytest.mark.parametrize(
    ("act", "status"), [("die", -signal.SIGSEGV), ("raise", 1), ("exit", 1), ("hang", None)], ids=str
)
def test_a_call_that_fails_says_how_and_the_next_one_finds_the_same_server(running, tmp_path, act, status):
    loaded, _ = pids(running, tmp_path)
    assert running.call(act, seconds=0.5 if act == "hang" else 60) == status
    assert pids(running, tmp_path)[0] == loaded


def test_calls_of_two_threads_run_beside_each_other(running, tmp_path):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    ended = []
    threads = [
        threading.Thread(target=lambda pair=pair: ended.append(running.call("meet", *pair, seconds=60)))
        for pair in [(one, two), (two, one)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [0, 0]


def test_a_server_that_ended_while_it_waited_is_started_anew(running, tmp_path):
    loaded, _ = pids(running, tmp_path)
    os.kill(loaded, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(loaded)] if psutil.pid_exists(loaded) else [], timeout=10)
    assert pids(running, tmp_path)[0] != loaded


def test_a_script_that_cannot_be_loaded_is_an_error_and_leaves_no_process(tmp_path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    before = psutil.Process().children()
    with pytest.raises(OSError, match="ended or does not answer"):
        Forked(tmp_path / "broken.py").call(seconds=5)
    assert psutil.Process().children() == before


def test_a_server_without_orders_ends(script, tmp_path, monkeypatch):
    server = tmp_path / "server.py"
    source = Path(fork_server.__file__).read_text()
    server.write_text(source.replace(f"IDLE_SECONDS = {fork_server.IDLE_SECONDS}", "IDLE_SECONDS = 0.1"))
    monkeypatch.setattr(forked, "_SERVER", server)
    running = Forked(script)
    loaded, _ = pids(running, tmp_path)
    process = psutil.Process(loaded)
    assert process.wait(timeout=30) == 0
    assert pids(running, tmp_path)[0] != loaded
    running.end()


def test_a_caller_that_is_killed_takes_its_server_and_the_call_along(script, tmp_path):
    source = (
        "from apps.imaging.readers.forked import Forked; from pathlib import Path;"
        f"f = Forked(Path({str(script)!r})); f.call('write', {str(tmp_path / 'pids')!r}, seconds=60);"
        "print('begun', flush=True); f.call('hang', seconds=600)"
    )
    caller = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    assert caller.stdout.readline() == b"begun\n"
    server = psutil.Process(int((tmp_path / "pids").read_text().split()[0]))
    while not server.children():
        pass
    left = [server, *server.children()]
    caller.kill()
    caller.wait()
    caller.stdout.close()
    _, alive = psutil.wait_procs(left, timeout=30)
    assert alive == []
