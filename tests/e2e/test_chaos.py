"""``manage.py chaos`` for one round: every part killed once in an ingest and once in an analysis, then fsck."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


def test_every_job_ends_with_one_result(tmp_path: Path) -> None:
    """On the database server and the broker that this run of the tests is about; the seed is in the output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CORR_", "PYTEST_"))}
    servers = {"--database-url": "CORR_DATABASE_URL", "--broker-url": "CORR_BROKER_URL"}
    options = [part for name, variable in servers.items() for part in (name, os.environ.get(variable, ""))]
    done = subprocess.run(
        [sys.executable, "manage.py", "chaos", "--rounds", "1", "--report", str(tmp_path), *options],
        cwd=Path(__file__).parents[2],
        env={**environment, "CORR_NO_BOOTSTRAP": "1", "CORR_DATA_ROOT": str(tmp_path / "unused")},
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = json.loads((tmp_path / "chaos.json").read_text()).values()
    assert len(outcome["cases"]) == 8
    assert all(case["status"] == "succeeded" and case["attempts"] <= 3 for case in outcome["cases"])
    assert sum(case["hit"] for case in outcome["cases"]) >= 6
    assert outcome["findings"] == "0 findings"
    assert str(outcome["seed"]) in (tmp_path / "chaos.md").read_text()
