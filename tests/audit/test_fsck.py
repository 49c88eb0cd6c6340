"""fsck: a clean study has no finding; each thing that went wrong has one that names it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.audit import fsck
from apps.catalog.models import Specimen
from apps.core import storage
from apps.core.models import Store
from apps.imaging.models import SourceFile
from apps.projects.models import ProjectUserPermission
from tests.study import Study

pytestmark = pytest.mark.django_db


def findings() -> list[str]:
    return list(fsck.find())


def test_a_study_is_clean(study: Study) -> None:
    assert findings() == []
    out = io.StringIO()
    call_command("fsck", stdout=out)
    assert out.getvalue() == "0 findings\n"


def _flip(path: Path) -> Callable[[], None]:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    def mend() -> None:
        path.write_bytes(data)

    return mend


def test_a_flipped_byte_of_a_chunk_is_named(study: Study) -> None:
    chunk = next(p for p in sorted(storage.path(study.image.store.key).rglob("c/**/*")) if p.is_file())
    mend = _flip(chunk)
    try:
        (finding,) = findings()
    finally:
        mend()
    assert str(study.image.store_id) in finding
    assert "changed" in finding


def test_a_flipped_byte_of_a_source_file_is_named(study: Study) -> None:
    store = SourceFile.objects.get(acquisition=study.acquisition).store
    mend = _flip(storage.path(store.key))
    try:
        (finding,) = findings()
        assert list(fsck.find(deep=False)) == []
    finally:
        mend()
    assert f"store {store.pk}" in finding


def test_a_row_past_the_services_is_named(study: Study) -> None:
    specimen = Specimen.objects.create(project=study.project, name="smuggled", created_by=study.maker)
    assert findings() == [f"specimen {specimen.pk} is not recorded in the ledger"]


def test_a_permission_without_membership_is_named(study: Study) -> None:
    row = ProjectUserPermission.objects.filter(user=study.viewer).get()
    row.user = study.outsider
    row.save()
    found = findings()
    assert any(f"permission without membership: user {study.outsider.pk}" in line for line in found)
    assert any(f"permission missing: user {study.viewer.pk}" in line for line in found)


def test_a_folder_that_no_row_names_is_found(study: Study) -> None:
    stray = storage.path(storage.new_key("zarr"))
    stray.mkdir(parents=True)
    try:
        (finding,) = findings()
    finally:
        stray.rmdir()
    assert "no row names it" in finding


def test_the_exit_code_is_1_when_something_is_wrong(study: Study) -> None:
    Store.objects.filter(pk=study.image.store_id).update(digest="sha256:" + 64 * "0")
    with pytest.raises(SystemExit) as caught:
        call_command("fsck", stdout=io.StringIO())
    assert caught.value.code == 1
