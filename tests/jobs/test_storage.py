"""Keys, staging and publishing on disk; what the sweeper takes and what it leaves; a full disk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import storage
from apps.core.clock import DbNow
from apps.core.models import Store
from apps.jobs import kernel, runner
from apps.jobs.models import Job
from apps.jobs.sweep import sweep_storage
from apps.provenance.models import Event

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Job]


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../x", "stores/../../x", "stores/./x", "stores//x", "stores/x/", "a\\b", "a\0b", ".", ".."],
)
def test_keys_that_lead_elsewhere_are_refused(key: str) -> None:
    with pytest.raises(storage.BadKeyError):
        storage.path(key)


@given(st.text(max_size=40))
def test_every_accepted_key_lies_below_the_root(key: str) -> None:
    try:
        found = storage.path(key)
    except storage.BadKeyError:
        return
    assert Path(os.path.normpath(found)).is_relative_to(storage.root())


def test_new_keys_are_keys_and_never_the_same() -> None:
    keys = [storage.new_key(kind) for kind in ("zarr", "file") for _ in range(50)]
    assert len(set(keys)) == 100
    assert all(storage.is_final_key(key) and storage.path(key).is_relative_to(storage.root()) for key in keys)


def staged_folder() -> Path:
    folder = storage.staging_dir(uuid.uuid4(), 1) / "staging" / "out"
    folder.mkdir(parents=True)
    (folder / "zarr.json").write_text("{}")
    return folder


def test_publishing_moves_and_never_replaces() -> None:
    key = storage.new_key("zarr")
    final = storage.publish_dir(staged_folder(), key)
    assert (final / "zarr.json").read_text() == "{}"
    second = staged_folder()
    with pytest.raises(FileExistsError):
        storage.publish_dir(second, key)
    assert second.is_dir()
    with pytest.raises(storage.BadKeyError):
        storage.publish_dir(second, "elsewhere/x")
    file = storage.upload_dir(uuid.uuid4()) / "bytes"
    file.write_bytes(b"abc")
    assert storage.publish_file(file, storage.new_key("file")).read_bytes() == b"abc"


def test_full_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = staged_folder()
    monkeypatch.setattr(storage, "fsync_tree", full)
    with pytest.raises(storage.StorageFullError) as refused:
        storage.publish_dir(folder, storage.new_key("zarr"))
    assert (refused.value.status, refused.value.code) == (507, "storage_full")
    assert folder.is_dir()
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = OSError(errno.EDQUOT, "quota")
    assert storage.is_full(wrapped)
    assert not storage.is_full(OSError(errno.EACCES, "no"))


def test_discard_stays_below_the_root(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for target in (outside, storage.root(), storage.root() / ".." / "outside"):
        with pytest.raises(storage.BadKeyError):
            storage.discard(target)
    link = storage.root() / "link"
    link.symlink_to(outside)
    storage.discard(link)
    storage.discard(storage.root() / "absent")
    assert outside.is_dir()


# --------------------------------------------------------------------------------------------------------------- sweep


def staged_store(**columns: Any) -> Store:
    key = storage.new_key("zarr")
    final = storage.path(key)
    final.mkdir(parents=True)
    (final / "zarr.json").write_text("{}")
    return Store.objects.create(kind="zarr", key=key, **columns)


def test_the_sweeper_takes_the_dead_and_leaves_the_living(make_job: Make) -> None:
    live, dead, over = make_job(), make_job(), make_job()
    for job in (live, dead, over):
        kernel.claim(job.pk, "w")
    Job.objects.filter(pk=dead.pk).update(lease_until=DbNow(-1))
    Job.objects.filter(pk=over.pk).update(status="cancelled", lease_until=None, finished_at=DbNow())
    kept = [
        staged_store(job_id=live.pk, attempt=1),
        staged_store(lease_until="2999-01-01T00:00:00Z"),
        staged_store(job_id=dead.pk, attempt=1, state="ready", digest="sha256:0", manifest="[]", size_bytes=2),
    ]
    gone = [
        staged_store(job_id=dead.pk, attempt=1),
        staged_store(job_id=over.pk, attempt=1),
        staged_store(job_id=live.pk, attempt=2),
        staged_store(job_id=uuid.uuid4(), attempt=1),
        staged_store(lease_until="1999-01-01T00:00:00Z"),
    ]
    orphan = storage.path(storage.new_key("file"))
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"x")
    live_folder, dead_folder = storage.staging_dir(live.pk, 1), storage.staging_dir(dead.pk, 1)
    (storage.staging_root() / "jobs" / "strange").mkdir()
    uploads = [storage.upload_dir(kept[1].pk), storage.upload_dir(gone[4].pk), storage.upload_dir(uuid.uuid4())]
    swept = sweep_storage()
    assert sorted(swept.rows) == sorted(store.key for store in gone)
    assert swept.orphans == [str(orphan.relative_to(storage.root()))]
    assert len(swept.staging) == 4
    assert set(Store.objects.all()) == set(kept)
    assert all(storage.path(store.key).is_dir() for store in kept)
    assert not any(storage.path(store.key).exists() for store in gone)
    assert (live_folder.is_dir(), dead_folder.exists(), orphan.exists()) == (True, False, False)
    assert [folder.exists() for folder in uploads] == [True, False, False]
    assert len(sweep_storage()) == 0


# ----------------------------------------------------------------------------------------------------------- full disk


@pytest.fixture
def small_disk(tmp_path: Path, settings: Any) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"full disk: a tmpfs cannot be mounted here ({done.stderr.strip()})")
    settings.CORR_DATA_ROOT = mount
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("do", ["fill", "store"])
def test_a_full_disk_fails_the_job_and_leaves_nothing(make_job: Make, small_disk: Path, do: str) -> None:
    job = make_job(do, request={"files": 40, "bytes": 10**6})
    before = Event.objects.count()
    runner.execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.exit_code) == ("errored", "storage_full"), job.message
    assert not Store.objects.exists()
    assert list(storage.final_keys()) == []
    assert list(storage.job_folders()) == []
    assert Event.objects.count() == before + 1
    assert shutil.disk_usage(small_disk).used < 10**5
    assert len(sweep_storage()) == 0


def test_a_disk_full_before_the_start_fails_the_job(make_job: Make, small_disk: Path) -> None:
    with (small_disk / "filler").open("wb") as filler:
        try:
            while True:
                filler.write(bytes(2**16))
        except OSError:
            pass
    job = make_job("nothing")
    runner.execute(job.pk)
    job.refresh_from_db()
    assert (job.status, job.exit_code) == ("errored", "storage_full"), job.message
    (small_disk / "filler").unlink()
    again = make_job("store")
    assert runner.execute(again.pk) == "succeeded"
