from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest

from analyses.sdk.manifest import Manifest, build_manifest, fsync_tree, verify_store
from analyses.sdk.omezarr import write_image


@pytest.fixture
def stored(tmp_path):
    array = np.arange(70 * 40 * 300, dtype="u2").reshape(70, 40, 300)
    return write_image(tmp_path / "s.zarr", array, axes="zyx", spacing_um={"x": 1.0})


def test_hashes_taken_while_writing_are_those_of_the_files(stored):
    assert stored.manifest == build_manifest(stored.path)
    assert stored.size == sum(p.stat().st_size for p in stored.path.rglob("*") if p.is_file())
    for entry in stored.manifest.entries:
        assert entry.sha256 == hashlib.sha256((stored.path / entry.path).read_bytes()).hexdigest()


def test_the_digest_is_that_of_sorted_canonical_json(stored):
    listed = stored.manifest.as_json()
    assert [item["path"] for item in listed] == sorted(item["path"] for item in listed)
    canonical = json.dumps(listed, sort_keys=True, separators=(",", ":")).encode()
    assert stored.digest == "sha256:" + hashlib.sha256(canonical).hexdigest()
    assert Manifest.from_json(stored.manifest.to_bytes()) == stored.manifest
    assert Manifest.from_json(reversed(listed)).digest == stored.digest


def test_an_untouched_store_has_no_findings(stored):
    assert verify_store(stored.path, stored.manifest) == []
    assert verify_store(stored.path, stored.manifest.as_json()) == []


@pytest.mark.parametrize("where", [0, -1, 1000])
def test_one_flipped_bit_is_found(stored, where):
    path = stored.path / "0" / "c" / "0" / "0" / "2"
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    (finding,) = verify_store(stored.path, stored.manifest)
    assert finding.startswith("changed: 0/c/0/0/2 ")


def test_missing_and_extra_and_cut_files_are_found(stored):
    (stored.path / "zarr.json").unlink()
    (stored.path / "0" / "c" / "stray").write_text("x")
    os.truncate(stored.path / "1" / "zarr.json", 5)
    found = verify_store(stored.path, stored.manifest)
    assert [f.split(" has ")[0] for f in found] == ["missing: zarr.json", "extra: 0/c/stray", "changed: 1/zarr.json"]


def test_a_store_that_is_gone_misses_everything(stored, tmp_path):
    findings = verify_store(tmp_path / "nowhere", stored.manifest)
    assert len(findings) == len(stored.manifest.entries)


def test_links_are_refused(stored, tmp_path):
    (tmp_path / "outside").write_text("x")
    (stored.path / "0" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="symbolic link"):
        verify_store(stored.path, stored.manifest)


def test_a_path_twice_is_refused(stored):
    listed = stored.manifest.as_json()
    with pytest.raises(ValueError, match="twice"):
        Manifest.from_json([*listed, listed[0]])


def test_every_file_and_folder_is_synced(stored, monkeypatch):
    synced, opened, real_open = [], {}, os.open

    def note_open(path, *args, **kwargs):
        handle = real_open(path, *args, **kwargs)
        opened[handle] = str(path)
        return handle

    monkeypatch.setattr(os, "open", note_open)
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(opened[handle]))
    fsync_tree(stored.path)
    everything = {str(p) for p in stored.path.rglob("*")} | {str(stored.path)}
    assert set(synced) == everything
    assert synced[-1] == str(stored.path)
