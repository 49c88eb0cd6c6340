"""Damaged files end as an image or a ReaderError, soon, and never as samples made up for bytes that are not there."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tifffile

from apps.imaging.readers import Limits, ReaderError, TruncatedFileError, read

LIMITS = Limits(max_samples=1 << 24, max_segment_bytes=64 << 20, ratio_floor_bytes=64 << 20)
SECONDS = 10.0
KINDS = {
    "stack": {"photometric": "minisblack"},
    "tiles": {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZYX", "unit": "um"}},
    "ome": {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 1.0}, "compression": "lzw"},
}


@pytest.fixture(params=KINDS)
def content(request, tmp_path):
    array = (np.random.default_rng(0).random((3, 40, 50)) * 255).astype("u1")
    tifffile.imwrite(tmp_path / "whole.tif", array, **KINDS[request.param])
    return (tmp_path / "whole.tif").read_bytes(), array


def outcome(path):
    """Decoded images, or the error; anything but a ReaderError is a failure of the test."""
    begun = time.monotonic()
    try:
        found = [image.array[...] for image in read(path, limits=LIMITS)]
    except ReaderError as error:
        found = error
    assert time.monotonic() - begun < SECONDS
    return found


def test_cut_files_are_refused(content, tmp_path):
    whole, array = content
    for cut in np.linspace(1, len(whole) - 1, 20).astype(int):
        (tmp_path / "cut.tif").write_bytes(whole[:cut])
        found = outcome(tmp_path / "cut.tif")
        if not isinstance(found, ReaderError):
            # Some files end in bytes that hold no samples: then the samples must be all there, and right.
            assert np.array_equal(np.concatenate([f.reshape(-1, 40, 50) for f in found]), array), f"cut at {cut}"


def test_a_file_cut_in_its_samples_is_called_truncated(tmp_path):
    array = np.ones((3, 40, 50), "u1")
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", metadata=None)
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:-1000])
    with pytest.raises(TruncatedFileError):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [0xFF, 0x01])
def test_flipped_header_bytes_give_an_image_or_a_reason(content, tmp_path, bits):
    whole, _ = content
    for at in range(min(512, len(whole))):
        damaged = bytearray(whole)
        damaged[at] ^= bits
        (tmp_path / "flipped.tif").write_bytes(damaged)
        outcome(tmp_path / "flipped.tif")


def test_flipped_bytes_in_compressed_tiles_never_escape(tmp_path):
    array = (np.random.default_rng(0).random((60, 70)) * 255).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", array, tile=(32, 32), compression="zlib", metadata=None)
    whole = (tmp_path / "a.tif").read_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(400, len(whole), 100):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "b.tif").write_bytes(damaged)
        outcome(tmp_path / "b.tif")
