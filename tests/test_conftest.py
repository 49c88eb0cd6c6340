"""The run's own ground: a data root apart from anyone's data, servers that answer, and no silent skip."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings

from tests import environment

REPO_ROOT = Path(__file__).resolve().parent.parent


def test_data_root_is_of_this_run_and_short_enough_for_a_socket() -> None:
    root = Path(settings.CORR_DATA_ROOT)
    assert root.is_relative_to(Path(tempfile.gettempdir()).resolve())
    assert not root.is_relative_to(REPO_ROOT)
    assert len(f"{root}/run/broker.sock".encode()) < 108


@pytest.mark.postgres
def test_postgres_answers(postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        assert connection.info.server_version >= 150000


@pytest.mark.broker
def test_rabbitmq_and_redis_are_found(rabbitmq_url: str, redis_url: str) -> None:
    assert rabbitmq_url.startswith("amqp")
    assert redis_url.startswith("redis")


def _run_pytest(tmp_path: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_planted.py").write_text(body)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "tests.environment", "-p", "no:django", "-p",
         "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path), *options],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        "import pytest\n\ndef test_ok(): pass\n\n@pytest.mark.skip(reason='no lens')\ndef test_s(): pass\n",
        "import pytest\n\ndef test_s(): pytest.skip('no lens')\n\ndef test_ok(): pass\n",
    ],
)
def test_no_skips_fails_the_run_and_names_the_test(tmp_path: Path, body: str) -> None:
    assert _run_pytest(tmp_path, body).returncode == 0
    strict = _run_pytest(tmp_path, body, "--no-skips")
    assert strict.returncode == 1
    assert "test_planted.py::test_s" in strict.stdout
    assert "no lens" in strict.stdout


def test_no_skips_passes_a_full_run(tmp_path: Path) -> None:
    done = _run_pytest(tmp_path, "def test_ok(): pass\n", "--no-skips")
    assert done.returncode == 0, done.stdout


def test_on_servers_leaves_out_what_asks_for_none(tmp_path: Path) -> None:
    body = (
        "import pytest\n\n@pytest.fixture\ndef db(): pass\n\n@pytest.fixture\ndef row(db): pass\n\n"
        "def test_sum(): pass\n\ndef test_row(row): pass\n\n@pytest.mark.broker\ndef test_job(): pass\n"
    )
    done = _run_pytest(tmp_path, body, "--on-servers", "-v")
    ran = {name for name in ("test_sum", "test_row", "test_job") if f"::{name} PASSED" in done.stdout}
    assert ran == {"test_row", "test_job"}
    assert "1 deselected" in done.stdout


def test_what_takes_minutes_is_handed_out_first() -> None:
    nodes = ["tests/a/test_a.py::test_1", "tests/b/test_b.py::test_1", "tests/b/test_b.py::test_2"]
    nodes += ["tests/contract/test_c.py::test_1", "tests/web/test_demo.py::test_1", "tests/e2e/test_e.py::test_1"]
    items = [SimpleNamespace(nodeid=node) for node in nodes]
    environment.put_long_ones_first(items)
    assert [item.nodeid for item in items] == [nodes[4], nodes[5], nodes[3], nodes[1], nodes[2], nodes[0]]
