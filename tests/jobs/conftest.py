"""A project with a contributor, the probe kind, and a lease short enough to see it run out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.core import storage
from apps.jobs import dispatch, runner
from apps.jobs.models import Job
from apps.jobs.services import create_job
from apps.projects.models import Project, User
from apps.projects.services import create_project, create_user
from apps.provenance import record
from apps.provenance.testing import flushing_allowed
from tests.jobs import handlers


@pytest.fixture(scope="session", autouse=True)
def _ledger_can_be_flushed() -> Iterator[None]:
    with flushing_allowed():
        yield


@pytest.fixture(autouse=True)
def _probe_kind() -> None:
    handlers.register()


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, settings: Any) -> Iterator[Path]:
    root = tmp_path / "data"
    root.mkdir()
    settings.CORR_DATA_ROOT = root
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Ids of the jobs that were rung for; no broker is asked."""
    ids: list[Any] = []
    monkeypatch.setattr(dispatch, "ring", lambda job_id: ids.append(job_id) or True)
    return ids


@pytest.fixture(autouse=True)
def _not_stopping() -> Iterator[None]:
    yield
    runner.shutting_down.clear()


@pytest.fixture
def user(transactional_db: None) -> User:
    return create_user(username="ada", password="a-long-enough-word")


@pytest.fixture
def project(user: User) -> Project:
    return create_project(actor=user, name="fibres")


@pytest.fixture
def make_job(user: User, project: Project) -> Callable[..., Job]:
    def make(do: str = "nothing", *, content_key: str = "", seed: int = 0, **params: Any) -> Job:
        with record.act("job.submit", actor=user, project=project.pk) as act:
            return create_job(
                actor=user,
                project=project,
                kind=handlers.KIND,
                params={"do": do, **params},
                inputs={},
                seed=seed,
                content_key=content_key,
                act=act,
            )

    return make


@pytest.fixture
def nothing_left(data_root: Path) -> Callable[[], None]:
    """Say that no staging and no bytes without a row are there."""

    def check() -> None:
        assert list(storage.job_folders()) == []
        assert list(storage.upload_folders()) == []
        assert list(storage.final_keys()) == []

    return check
