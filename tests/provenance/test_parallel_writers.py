"""Writers in processes of their own give one chain without gap or fork, on both databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

ACTS = 24


@pytest.fixture
def postgres_database(postgres_url):
    """URL of a new database, dropped afterwards."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_database(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.sqlite3'}"


def start(module: str, url: str, *arguments: str) -> subprocess.Popen[str]:
    env = os.environ | {
        "LEDGER_DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.provenance.ledger_settings",
    }
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.provenance.{module}", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def write_in_parallel(url: str, writers: int) -> dict:
    finish(start("writer_process", url, "-", "0"))
    running = [start("writer_process", url, str(number), str(ACTS)) for number in range(writers)]
    for process in running:
        finish(process)
    return json.loads(finish(start("inspect_process", url)))


def check(said: dict, writers: int) -> None:
    kept = ACTS - ACTS // 4
    assert said["findings"] == []
    assert said["missing_triggers"] == []
    assert said["seqs"] == list(range(1, writers * kept + 1))
    previous = "0" * 64
    for prev_hash, own in said["links"]:
        assert prev_hash == previous
        previous = own
    written = sorted((image["corr:writer"], image["corr:turn"]) for image in said["images"])
    assert written == [(number, turn) for number in range(writers) for turn in range(ACTS) if turn % 4 != 3]
    assert (said["accounts"], said["named"], said["software"]) == (kept, 1, kept)
    assert said["derivations"] == writers * kept


@pytest.mark.postgres
def test_eight_writers_on_postgresql(postgres_database):
    check(write_in_parallel(postgres_database, 8), 8)


def test_four_writers_on_sqlite(sqlite_database):
    check(write_in_parallel(sqlite_database, 4), 4)
