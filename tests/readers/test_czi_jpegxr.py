"""JPEG XR in a CZI: tiles come out as packed, and a header that contradicts its tile never reaches the codec."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from apps.imaging.readers import MetadataError, read
from tests.readers.test_czi import directory_of, write


@pytest.fixture
def packed(tmp_path):
    """A CZI whose tile is packed by JPEG XR, its samples, and where the packed bytes begin."""
    samples = (np.add.outer(np.arange(160), np.arange(170)) % 250).astype("u1")
    write(tmp_path / "plain.czi", [(samples[..., None], {}, (0, 0), 0)])
    content = bytearray((tmp_path / "plain.czi").read_bytes())
    encoded = imagecodecs.jpegxr_encode(samples, level=1.0)
    entry = directory_of(tmp_path / "plain.czi") + 32 + 128
    position = struct.unpack_from("<q", content, entry + 6)[0]
    for base in (entry, position + 32 + 16):
        struct.pack_into("<i", content, base + 18, 4)
    xml = struct.unpack_from("<i", content, position + 32)[0]
    begin = position + 32 + max(256, 48 + 20 * struct.unpack_from("<i", content, entry + 28)[0]) + xml
    content[begin : begin + len(encoded)] = encoded
    struct.pack_into("<q", content, position + 40, len(encoded))
    (tmp_path / "packed.czi").write_bytes(content)
    return tmp_path / "packed.czi", samples, begin


def test_tiles_packed_by_jpeg_xr(packed):
    path, samples, _ = packed
    (image,) = read(path)
    assert np.array_equal(image.array[0], samples)
    assert image.header["compressions"] == {"JPEG XR": 1}


def test_headers_of_jpeg_xr_that_disagree_with_the_tile_never_reach_the_codec(packed, tmp_path):
    path, _, begin = packed
    content = bytearray(path.read_bytes())
    stream = content.index(b"WMPHOTO", begin)
    for at in [*range(begin, begin + 8), *range(stream, stream + 9), *range(stream + 11, stream + 16)]:
        if at - begin == 3:  # the version of the container
            continue
        content[at] ^= 0xFF
        (tmp_path / "b.czi").write_bytes(content)
        with pytest.raises(MetadataError, match="JPEG XR"):
            read(tmp_path / "b.czi")
        content[at] ^= 0xFF
