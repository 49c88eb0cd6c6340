"""A short, seeded run of the fuzzer over each of our parsers; ``python -m benchmarks.fuzz.run`` is the long one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.readers.fuzz import TARGETS

RUNS = 1500


@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_make_a_parser_crash(target, shared_data, repo_root):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris: not installed; requirements-extras.lock has it")
    command = [sys.executable, "-m", "tests.readers.fuzz", target, "--runs", str(RUNS), "--shared", str(shared_data)]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, errors="replace", timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr
