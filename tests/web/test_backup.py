"""Backups: what is refused, and what happens when stores vanish meanwhile.

Under load: ``tests/e2e/test_backup.py``.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analyses.sdk.manifest import build_manifest, hash_file
from apps.core import storage
from apps.web.backup import bundle, database, put_back, take
from apps.web.backup.bundle import BackupError, Bundle, StoredThing


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    settings.CORR_DATA_ROOT = tmp_path / "data"
    settings.CORR_DATA_ROOT.mkdir(exist_ok=True)
    return tmp_path / "data"


def made_store(text: bytes) -> StoredThing:
    """A folder of two files under a final key."""
    key = storage.new_key("zarr")
    path = storage.path(key)
    (path / "c").mkdir(parents=True)
    (path / "c" / "0").write_bytes(text)
    (path / "zarr.json").write_bytes(b"{}")
    manifest = build_manifest(path)
    return StoredThing(key, "zarr", manifest.digest, manifest.size)


def made_file(text: bytes) -> StoredThing:
    key = storage.new_key("file")
    path = storage.path(key)
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    size, digest = hash_file(path)
    return StoredThing(key, "file", f"sha256:{digest}", size)


def snapshots(monkeypatch: pytest.MonkeyPatch, *named: Callable[[], list[StoredThing]]) -> list[int]:
    """Let each snapshot in turn name what its function returns; the list grows with every snapshot taken."""
    count: list[int] = []

    def taken(folder: Path) -> database.Snapshot:
        stores = named[min(len(count), len(named) - 1)]()
        count.append(len(stores))
        path = folder / "database.sqlite3"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 1")
        return database.Snapshot("sqlite", path, tuple(stores), (len(count), "0" * 64), ("core.0001_initial",))

    monkeypatch.setattr(take.database, "take", taken)
    return count


def a_backup(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[Path, list[StoredThing]]:
    stores = [made_store(b"first"), made_file(b"second")]
    snapshots(monkeypatch, lambda: stores)
    target = root.parent / "backup"
    take.take(target, **options)
    return target, stores


class TestTaking:
    def test_stores_are_linked_and_checked(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target, stores = a_backup(root, monkeypatch)
        manifest, listed = bundle.read(target)
        assert sorted(listed, key=str) == sorted(stores, key=str)
        assert (manifest.store_count, manifest.store_bytes) == (2, sum(store.size for store in stores))
        assert (target / stores[1].key).stat().st_ino == storage.path(stores[1].key).stat().st_ino
        assert not manifest.secret
        assert not (target / "secret_key").exists()
        assert target.stat().st_mode & 0o077 == 0

    def test_on_another_file_system_they_are_copied(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any, **options: Any) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(bundle.os, "link", refuse)
        target, stores = a_backup(root, monkeypatch)
        assert bundle.read(target)[0].store_count == 2
        assert (target / stores[1].key).stat().st_ino != storage.path(stores[1].key).stat().st_ino

    def test_the_secret_comes_along_only_where_asked_for(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        target, _ = a_backup(root, monkeypatch, with_secret=True)
        assert (target / "secret_key").read_text() == settings.SECRET_KEY
        assert (target / "secret_key").stat().st_mode & 0o077 == 0
        assert bundle.read(target)[0].secret

    def test_a_store_deleted_meanwhile_is_not_in_the_next_snapshot(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The row goes first, then the bytes: the snapshot that named it is taken again."""
        kept, doomed, taken_back = made_store(b"kept"), made_store(b"doomed"), made_file(b"listed once")

        def first() -> list[StoredThing]:
            storage.discard(storage.path(doomed.key))
            return [kept, doomed, taken_back]

        count = snapshots(monkeypatch, first, lambda: [kept])
        target = root.parent / "backup"
        manifest = take.take(target)
        assert count == [3, 1]
        assert [store.key for store in bundle.read(target)[1]] == [kept.key]
        assert not (target / taken_back.key).exists()
        assert manifest.chain[0] == 2

    def test_a_store_that_is_ready_and_missing_is_named(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kept, lost = made_store(b"kept"), made_file(b"lost")
        storage.path(lost.key).unlink()
        snapshots(monkeypatch, lambda: [kept, lost])
        with pytest.raises(BackupError, match=lost.key):
            take.take(root.parent / "backup")
        assert not (root.parent / "backup" / "backup.json").exists()

    def test_a_damaged_store_is_named_and_no_backup_made(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = made_store(b"good")
        (storage.path(store.key) / "c" / "0").write_bytes(b"evil")
        snapshots(monkeypatch, lambda: [store])
        with pytest.raises(BackupError, match=store.key):
            take.take(root.parent / "backup")
        assert not (root.parent / "backup" / "backup.json").exists()

    @pytest.mark.parametrize("where", ["data/inside", "data", "full", "file"])
    def test_a_target_that_will_not_do_is_refused(self, root: Path, where: str) -> None:
        (root.parent / "full").mkdir()
        (root.parent / "full" / "note").write_text("mine")
        (root.parent / "file").write_text("mine")
        with pytest.raises(CommandError, match=r"data root|not an empty folder"):
            call_command("backup", str(root.parent / where))
        assert not (root / "inside").exists()


class TestReading:
    def test_without_a_manifest_it_is_no_backup(self, root: Path) -> None:
        with pytest.raises(CommandError, match=r"no backup\.json"):
            call_command("restore", str(root.parent))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"format": "corrspace-backup", "version": 2}',
            '{"format": "corrspace-backup", "version": 1}',
        ],
    )
    def test_a_manifest_that_says_nothing_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "backup.json").write_text(text)
        with pytest.raises(BackupError, match=r"backup\.json"):
            bundle.read(tmp_path)

    @pytest.mark.parametrize(
        "damage",
        ["cut", "changed", "missing", "extra", "database", "list", "link"],
    )
    def test_damage_is_found(self, root: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
        monkeypatch.setattr(bundle.os, "link", lambda *args, **options: (_ for _ in ()).throw(OSError(18, "no")))
        target, (folder, file) = a_backup(root, monkeypatch)
        chunk = target / folder.key / "c" / "0"
        harm: dict[str, Callable[[], Any]] = {
            "cut": lambda: os.truncate(target / file.key, 3),
            "changed": lambda: chunk.write_bytes(b"fIrst"),
            "missing": chunk.unlink,
            "extra": lambda: (chunk.parent / "1").write_bytes(b"more"),
            "database": lambda: (target / "database.sqlite3").write_bytes(b"SQLite"),
            "list": lambda: (target / "stores.json").write_text("[]"),
            "link": lambda: (chunk.parent / "1").symlink_to("/etc/hostname"),
        }
        harm[damage]()
        with pytest.raises(BackupError, match="damaged"):
            bundle.read(target)

    def test_a_key_outside_of_the_data_root_is_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target, _ = a_backup(root, monkeypatch)
        listed = json.loads((target / "stores.json").read_text())
        listed[0]["key"] = "../../outside"
        (target / "stores.json").write_text(json.dumps(listed))
        manifest = json.loads((target / "backup.json").read_text())
        manifest["files"]["stores.json"] = bundle.entry(target / "stores.json")
        (target / "backup.json").write_text(json.dumps(manifest))
        with pytest.raises(BackupError, match="no key of a store"):
            bundle.read(target)


@pytest.mark.django_db
class TestRestoring:
    def manifest(self, **changed: Any) -> Bundle:
        values = {
            "engine": database.connection.vendor,
            "made_at": "2026-01-01T00:00:00+00:00",
            "files": {},
            "store_count": 0,
            "store_bytes": 0,
            "chain": [0, ""],
            "migrations": [],
            "secret": False,
        }
        return Bundle(**{**values, **changed})

    def test_another_kind_of_database_is_refused(self, root: Path) -> None:
        other = {"sqlite": "postgresql", "postgresql": "sqlite"}[database.connection.vendor]
        with pytest.raises(BackupError, match=f"the backup is of {other}"):
            put_back._check_target(self.manifest(engine=other))

    def test_a_backup_of_a_newer_program_is_refused(self, root: Path) -> None:
        with pytest.raises(BackupError, match=r"newer program, which knows core\.9999_future"):
            put_back._check_target(self.manifest(migrations=["core.9999_future"]))

    def test_a_database_with_tables_is_refused(self, root: Path) -> None:
        with pytest.raises(BackupError, match="not empty"):
            put_back._check_target(self.manifest())

    def test_a_data_root_with_bytes_is_refused(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(put_back.database, "is_empty", lambda: True)
        put_back._check_target(self.manifest())
        store = made_file(b"somebody's")
        with pytest.raises(BackupError, match=store.key):
            put_back._check_target(self.manifest())


@pytest.mark.django_db
def test_without_pg_dump_the_backup_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(database.shutil, "which", lambda name: None)
    with pytest.raises(BackupError, match="pg_dump is not installed"):
        database._take_postgres(tmp_path / "database.pgdump")
