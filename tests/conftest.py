"""Fixtures that every folder of tests may use: where the shared data lies, and which servers answer here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import kombu
import psycopg
import pytest
import redis
from django.test import override_settings

from apps.jobs.keeper import Keeper
from apps.provenance.testing import flushing_allowed

REPO_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _ledger_can_be_flushed() -> Iterator[None]:
    """Let the flush after a transactional test pass the ledger's triggers; everything else still meets them."""
    with flushing_allowed():
        yield


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """Hash passwords of test accounts fast: nobody guesses at these, and every test makes some."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture
def no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a job run inside the transaction of a test: the keeper's own connection cannot see its row there."""
    monkeypatch.setattr(Keeper, "_turn", lambda self: None)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The checkout."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real instrument files and conformance cases, beside the checkout or where CORR_SHARED_DATA says."""
    path = Path(os.environ.get("CORR_SHARED_DATA", REPO_ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"shared data: {path} does not exist; CORR_SHARED_DATA names another place")
    return path


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a PostgreSQL server where databases may be made."""
    url = os.environ.get("CORR_TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        pytest.skip(f"PostgreSQL: no answer from {url} ({error}); CORR_TEST_POSTGRES_URL names another server")
    return url


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """URL of a RabbitMQ server."""
    url = os.environ.get("CORR_TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
    try:
        with kombu.Connection(url, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except (OSError, kombu.exceptions.OperationalError) as error:
        pytest.skip(f"RabbitMQ: no answer from {url} ({error}); CORR_TEST_RABBITMQ_URL names another server")
    return url


@pytest.fixture(scope="session")
def redis_url() -> str:
    """URL of a Redis database that tests may empty; number 9, so that nobody's default is touched."""
    url = os.environ.get("CORR_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except redis.RedisError as error:
        pytest.skip(f"Redis: no answer from {url} ({error}); CORR_TEST_REDIS_URL names another server")
    return url
