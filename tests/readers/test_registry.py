from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile

from apps.imaging.readers import ContentMismatchError, TruncatedFileError, UnsupportedFormatError, detect, read

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
CONTENTS = {
    "png": PNG,
    "czi": b"ZISRAWFILE" + b"\0" * 90,
    "h5": b"\x89HDF\r\n\x1a\n" + b"\0" * 90,
    "txt": b"hello world",
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_name_that_promises_tiff_must_hold_tiff(tmp_path, kind):
    (tmp_path / "a.tif").write_bytes(CONTENTS[kind])
    with pytest.raises(ContentMismatchError) as caught:
        read(tmp_path / "a.tif")
    assert "'a.tif' promises TIFF" in caught.value.message
    assert caught.value.code == "content_mismatch"
    assert caught.value.details["promised"] == "TIFF"


@pytest.mark.parametrize("name", ["a.czi", "a.png", "a.zarr.zip", "A.H5"])
def test_tiff_content_under_another_name_is_refused(tmp_path, name):
    tifffile.imwrite(tmp_path / "a", np.zeros((4, 5), "u1"))
    with pytest.raises(ContentMismatchError, match="the content is TIFF"):
        read(tmp_path / "a", name=name)


@pytest.mark.parametrize("name", ["a", "a.dat", "b.TIFF", "c.ome.tif", "scan.001"])
def test_names_that_promise_nothing_else_pass(tmp_path, name):
    tifffile.imwrite(tmp_path / "x", np.zeros((4, 5), "u1"))
    assert detect(tmp_path / "x", name).format == "TIFF"


@pytest.mark.parametrize("kind", ["jpg", "gif", "pdf"])
def test_known_formats_without_a_reader_are_named(tmp_path, kind):
    content = {"jpg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a", "pdf": b"%PDF-1.7"}[kind]
    (tmp_path / f"a.{kind}").write_bytes(content + b"\0" * 90)
    with pytest.raises(UnsupportedFormatError, match=r"readers exist for .*OME-Zarr.*TIFF") as caught:
        read(tmp_path / f"a.{kind}")
    assert caught.value.details["content"] == {"jpg": "JPEG", "gif": "GIF", "pdf": "PDF"}[kind]


def test_unknown_content_is_refused(tmp_path):
    (tmp_path / "notes").write_bytes(CONTENTS["txt"])
    with pytest.raises(UnsupportedFormatError, match="no known format"):
        read(tmp_path / "notes")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.tif").touch()
    with pytest.raises(TruncatedFileError, match="empty"):
        read(tmp_path / "a.tif")


def test_the_highest_rank_reads(tmp_path):
    class Claims:
        def __init__(self, name, rank):
            self.format, self.rank = name, rank

        def claims(self, path, head):
            return self.rank

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), "u1"))
    readers = [Claims("plain", 50), Claims("vendor", 80), Claims("other", 0)]
    assert detect(tmp_path / "a.tif", readers=readers).format == "vendor"


def test_readers_need_no_django():
    code = (
        "import sys; import apps.imaging.readers, analyses.sdk.omezarr; "
        "sys.exit([m for m in sys.modules if m.split('.')[0] in ('django', 'celery', 'rest_framework', 'prov')] or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
