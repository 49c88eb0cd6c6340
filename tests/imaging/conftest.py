"""A project with a specimen, a client for each role, small files, and nobody who rings."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from apps.catalog.models import Specimen
from apps.catalog.services import create_specimen
from apps.core import storage
from apps.core.models import Store
from apps.imaging import chunks
from apps.imaging.models import Acquisition, Image
from apps.imaging.services import create_acquisition, receive_files, start_ingest
from apps.jobs import dispatch, runner
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.projects.services import create_project, create_user, set_member
from apps.provenance.testing import flushing_allowed

TIFF = "image/tiff"


@pytest.fixture(scope="session", autouse=True)
def _ledger_can_be_flushed() -> Iterator[None]:
    with flushing_allowed():
        yield


@pytest.fixture(autouse=True)
def data_root(tmp_path: Path, settings: Any) -> Iterator[Path]:
    root = tmp_path / "data"
    root.mkdir()
    settings.CORR_DATA_ROOT = root
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # nobody guesses at these
    chunks._entries.cache_clear()
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Ids of the jobs that were rung for; no broker is asked."""
    ids: list[Any] = []
    monkeypatch.setattr(dispatch, "ring", lambda job_id: ids.append(job_id) or True)
    return ids


@pytest.fixture
def ada(db: None) -> User:
    return create_user(username="ada", password="a-long-enough-word")


@pytest.fixture
def outsider(db: None) -> User:
    return create_user(username="olga", password="a-long-enough-word")


@pytest.fixture
def project(ada: User) -> Project:
    return create_project(actor=ada, name="fibres")


@pytest.fixture
def viewer(ada: User, project: Project) -> User:
    user = create_user(username="vera", password="a-long-enough-word")
    set_member(actor=ada, project=project, username="vera", role="viewer")
    return user


@pytest.fixture
def specimen(ada: User, project: Project) -> Specimen:
    return create_specimen(actor=ada, project=project, name="panel 7")


@pytest.fixture
def acquisition(ada: User, project: Project, specimen: Specimen) -> Acquisition:
    return create_acquisition(actor=ada, project=project, specimen=specimen, modality="xrm")


def client_of(user: User | None) -> APIClient:
    client = APIClient()
    if user is not None:
        client.force_authenticate(user)
    return client


@pytest.fixture
def client(ada: User) -> APIClient:
    return client_of(ada)


def tiff_bytes(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def ramp(shape: tuple[int, ...] = (6, 40, 50), dtype: str = "uint16") -> Any:
    """Samples that are all different where the type allows, so that a shift of one shows."""
    return (np.arange(np.prod(shape)) % np.iinfo(dtype).max).astype(dtype).reshape(shape)


def calibrated_tiff(array: Any) -> bytes:
    """An ImageJ stack with 0.5 um along x and y and 2 um along z."""
    return tiff_bytes(array, imagej=True, resolution=(2.0, 2.0), metadata={"spacing": 2.0, "unit": "um", "axes": "ZYX"})


def upload(client: APIClient, acquisition: Acquisition, *files: tuple[str, bytes], **extra: Any) -> Any:
    parts = [SimpleUploadedFile(name, data, TIFF) for name, data in files]
    return client.post(f"/api/v1/acquisitions/{acquisition.pk}/files/", {"file": parts, **extra}, format="multipart")


@pytest.fixture
def ingested(transactional_db: None, ada: User) -> Callable[..., Job]:
    """Receive files into an acquisition and run its ingest for real."""

    def run(acquisition: Acquisition, *files: tuple[str, bytes], overrides: Any = None) -> Job:
        receive_files(actor=ada, acquisition=acquisition, files=[(name, TIFF, [data]) for name, data in files])
        job = start_ingest(actor=ada, acquisition=acquisition, overrides=overrides)
        runner.execute(job.pk)
        job.refresh_from_db()
        return job

    return run


@pytest.fixture
def image(acquisition: Acquisition, ingested: Callable[..., Job]) -> Image:
    job = ingested(acquisition, ("fibres.tif", calibrated_tiff(ramp())))
    assert job.status == "succeeded", job.message
    return Image.objects.select_related("store").get(acquisition=acquisition)


@pytest.fixture
def nothing_left() -> Callable[[], None]:
    """Say that no staging, no row of one and no bytes without a row are there."""

    def check() -> None:
        assert list(storage.job_folders()) == []
        assert list(storage.upload_folders()) == []
        assert not Store.objects.filter(state=Store.State.STAGED).exists()
        known = set(Store.objects.values_list("key", flat=True))
        assert set(storage.final_keys()) == known

    return check
