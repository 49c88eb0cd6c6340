"""The installation that all contract tests look at: made once, committed, put away after the last of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test.utils import override_settings
from rest_framework.test import APIClient

from apps.imaging import chunks
from apps.jobs import dispatch, health
from tests.contract import world as worlds
from tests.contract.matrix import Answer, compute
from tests.contract.refusals import client_of, state


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that write what these tests otherwise compare with."""
    group = parser.getgroup("contract", "what the contract tests compare with")
    group.addoption("--update-permission-matrix", action="store_true", help="write permission_matrix.json and its page")
    group.addoption("--update-query-counts", action="store_true", help="write query_counts.json")
    group.addoption("--update-openapi", action="store_true", help="write docs/reference/openapi.yaml")


def asked(config: pytest.Config, option: str) -> bool:
    """True if an option of this folder was given; it is unknown where pytest was started for all folders."""
    return bool(config.getoption(option, default=False))


@pytest.fixture(scope="package")
def _open_database(
    django_db_setup: None,
    django_db_blocker: Any,
    _ledger_can_be_flushed: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """Let the whole folder use the database, with commits, and leave it as empty as a transactional test does."""
    root = tmp_path_factory.mktemp("data")
    patch = pytest.MonkeyPatch()
    patch.setattr(dispatch, "ring", lambda job_id: True)  # nobody answers here
    patch.setattr(health, "check", lambda: {"web": True})  # other tests stop the parts; this one asks who may look
    fast = override_settings(
        CORR_DATA_ROOT=root,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # nobody guesses at these
    )
    with django_db_blocker.unblock(), fast:
        chunks._entries.cache_clear()
        try:
            yield root
        finally:
            call_command("flush", verbosity=0, interactive=False)
            patch.undo()
            shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="package")
def data_root(_open_database: Path) -> Path:
    """Where the bytes of the world lie."""
    return _open_database


@pytest.fixture(scope="package")
def world(_open_database: Path) -> worlds.World:
    """One of each thing."""
    return worlds.build()


@pytest.fixture(scope="package")
def answers(world: worlds.World) -> list[Answer]:
    """What every role got for every request."""
    return compute(world)


@pytest.fixture(scope="package")
def served(_open_database: Path) -> bytes:
    """The document as the surface gives it."""
    response = APIClient().get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert response.status_code == 200
    return response.content


@pytest.fixture(scope="package")
def document(served: bytes) -> dict[str, Any]:
    return yaml.safe_load(served)


@pytest.fixture
def manager(world) -> APIClient:
    """Manages the project, and is staff: nothing is refused for want of permission."""
    return client_of(world.users["staff_manager"])


@pytest.fixture
def nothing_stored(world) -> Iterator[None]:
    before = state()
    yield
    after = state()
    assert {name: (before[name], after[name]) for name in before if before[name] != after[name]} == {}
