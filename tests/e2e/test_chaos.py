"""``manage.py chaos`` for one round: every part killed once in an ingest and once in an analysis, then fsck."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.broker, pytest.mark.timeout(1200)]


def run(folder: Path, *options: str) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CORR_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "manage.py", "chaos", "--rounds", "1", "--report", str(folder), *options],
        cwd=Path(__file__).parents[2],
        env={**environment, "CORR_NO_BOOTSTRAP": "1", "CORR_DATA_ROOT": str(folder / "unused")},
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome,) = json.loads((folder / "chaos.json").read_text()).values()
    assert len(outcome["cases"]) == 8
    assert all(case["status"] == "succeeded" and case["attempts"] <= 3 for case in outcome["cases"])
    assert sum(case["hit"] for case in outcome["cases"]) >= 6
    assert outcome["findings"] == "0 findings"
    assert str(outcome["seed"]) in (folder / "chaos.md").read_text()
    return dict(outcome)


def test_embedded_broker_and_sqlite(tmp_path: Path) -> None:
    assert run(tmp_path)["setup"] == "embedded + sqlite"


@pytest.mark.postgres
def test_rabbitmq_and_postgresql(tmp_path: Path, postgres_url: str, rabbitmq_url: str) -> None:
    found = run(tmp_path, "--database-url", postgres_url, "--broker-url", rabbitmq_url)
    assert found["setup"] == "RabbitMQ + PostgreSQL"
