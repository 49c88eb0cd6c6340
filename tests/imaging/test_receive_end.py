"""The end of a large upload: the disk is slow, the sweeper is near, and a right may be gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apps.core import clock, storage
from apps.core.errors import NotFoundError, PermissionRefusedError, RetryLaterError
from apps.core.models import Store
from apps.imaging.models import Acquisition, SourceFile
from apps.imaging.services import receive, receive_files
from apps.projects.models import Membership, User
from apps.projects.services import remove_member, set_member

pytestmark = pytest.mark.django_db
Check = Callable[[], None]


def test_the_lease_covers_the_time_that_the_disk_may_take(
    ada: User, acquisition: Acquisition, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(receive, "_SLOWEST_DISK", 1)
    left: list[timedelta] = []

    def publish(staged: Path, key: str) -> Path:
        lease = Store.objects.get(key=key).lease_until
        assert lease is not None
        left.append(lease - clock.now())
        Store.objects.update(lease_until=clock.DbNow(1))  # each file takes nearly all of its time
        return real(staged, key)

    real = storage.publish_file
    monkeypatch.setattr(storage, "publish_file", publish)
    sizes = (500, 900)
    rows = receive_files(
        actor=ada, acquisition=acquisition, files=[(f"{n}.tif", "", [bytes([n % 256]) * n]) for n in sizes]
    )
    assert [row.size for row in rows] == list(sizes)
    for size, lease in zip(sizes, left, strict=True):
        assert size < lease.total_seconds() <= size + settings.CORR_LEASE_SECONDS


def test_bytes_are_synced_while_they_come(ada: User, acquisition: Acquisition, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    monkeypatch.setattr(receive, "_SYNC_BYTES", 2000)
    monkeypatch.setattr(os, "fdatasync", lambda handle: lengths.append(os.fstat(handle).st_size))
    receive_files(actor=ada, acquisition=acquisition, files=[("a.tif", "", [b"x" * 1000] * 5)])
    assert lengths == [2000, 4000]


@pytest.mark.parametrize("when", ["before a byte", "at the end"])
def test_swept_staging_asks_for_patience(
    ada: User, acquisition: Acquisition, monkeypatch: pytest.MonkeyPatch, nothing_left: Check, when: str
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("swept")

    if when == "at the end":
        monkeypatch.setattr(storage, "publish_file", gone)
    else:
        monkeypatch.setattr("apps.imaging.services.receive.Path.open", gone)
    with pytest.raises(RetryLaterError, match="send it again"):
        receive_files(actor=ada, acquisition=acquisition, files=[("a.tif", "", [b"x"])])
    monkeypatch.undo()
    assert not SourceFile.objects.exists()


@pytest.mark.parametrize(("change", "refusal"), [("demoted", PermissionRefusedError), ("removed", NotFoundError)])
def test_a_right_that_was_lost_meanwhile_stores_nothing(
    ada: User, viewer: User, acquisition: Acquisition, nothing_left: Check, change: str, refusal: type[Exception]
) -> None:
    set_member(actor=ada, project=acquisition.project, username="vera", role="contributor")

    def pieces() -> Iterator[bytes]:
        yield b"one"
        if change == "demoted":
            set_member(actor=ada, project=acquisition.project, username="vera", role="viewer")
        else:
            membership = Membership.objects.get(user=viewer, project=acquisition.project)
            remove_member(actor=ada, membership=membership)
        yield b"two"

    with pytest.raises(refusal):
        receive_files(actor=viewer, acquisition=acquisition, files=[("a.tif", "", pieces())])
    assert not SourceFile.objects.exists()
    nothing_left()
