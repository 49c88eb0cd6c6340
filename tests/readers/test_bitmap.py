"""BMP and PNG: what is stored is what is read, a side-car calibrates them, and damage has a reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from apps.imaging.readers import ReaderError, TooLargeError, read
from tests.readers.sem_files import JEOL, only, outcome, samples


def save(path, image, **options):
    image.save(path, **options)
    return path


def test_a_bitmap_without_a_side_car_is_uncalibrated(tmp_path):
    array = samples()
    for name in ("a.bmp", "a.png"):
        image = only(save(tmp_path / name, Image.fromarray(array), dpi=(300, 300)))
        assert (image.name, image.axes, image.shape) == ("a", ("z", "y", "x"), (1, 12, 16))
        assert not image.calibrated
        assert image.spacing_source is None
        assert image.modality == ""
        assert np.array_equal(image.array[0], array)


@pytest.mark.parametrize("name", ["a.bmp", "a.png"])
def test_a_side_car_calibrates_a_bitmap(tmp_path, name):
    (tmp_path / "a.txt").write_text(JEOL)
    save(tmp_path / name, Image.fromarray(samples((1024, 1280))))
    image = only(tmp_path / name, beside={"A.TXT": tmp_path / "a.txt"})
    assert image.spacing_um["x"] == pytest.approx(100 / 101)
    assert (image.side_cars, image.specimen_area) == (("A.TXT",), (0, 960, 0, 1280))
    assert image.channels[0].detector == "SEI"


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "RGBX"])
@pytest.mark.parametrize("columns", [1, 7, 8, 31])
def test_bmp_of_all_kinds_decodes_as_pillow_does(tmp_path, mode, columns):
    picture = Image.fromarray(samples((9, columns, 3)))
    picture = picture.convert("RGB" if mode == "RGBX" else mode)
    save(tmp_path / "a.bmp", picture)
    with Image.open(tmp_path / "a.bmp") as opened:
        wanted = np.asarray(opened.convert("RGB"))
    image = only(tmp_path / "a.bmp")
    found = image.array[...]
    shown = np.moveaxis(found[:, 0], 0, -1) if image.axes[0] == "c" else np.repeat(found[0][..., None], 3, axis=-1)
    assert np.array_equal(shown, wanted)
    assert np.array_equal(image.array[..., 2:5, :], found[..., 2:5, :])
    assert np.array_equal(image.array[..., 3, 0], found[..., 3, 0])


def test_bmp_that_is_stored_top_down_or_with_masks(tmp_path):
    array = samples((3, 4, 4))
    header = np.array([40], "<u4").tobytes() + np.array([4, -3], "<i4").tobytes() + np.array([1, 32], "<u2").tobytes()
    header += np.array([3, 0, 0, 0, 0, 0], "<u4").tobytes() + np.array([0xFF, 0xFF00, 0xFF0000], "<u4").tobytes()
    offset = np.array([0, 0, 14 + len(header)], "<u4").tobytes()
    (tmp_path / "a.bmp").write_bytes(b"BM" + offset + header + array.tobytes())
    image = only(tmp_path / "a.bmp")
    assert np.array_equal(image.array[:, 0], np.moveaxis(array, -1, 0)[:3])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
def test_png_of_all_kinds_decodes_as_announced(tmp_path, mode):
    array = samples((9, 7)).astype("u2") * 200 if mode == "I;16" else samples((9, 7))
    picture = Image.fromarray(array) if mode == "I;16" else Image.fromarray(array).convert(mode)
    save(tmp_path / "a.png", picture)
    image = only(tmp_path / "a.png")
    found = image.array[...]
    assert found.shape == image.shape
    assert found.dtype == image.dtype == np.dtype("<u2" if mode == "I;16" else "u1")
    if mode in ("L", "I;16"):
        assert np.array_equal(found[0], array)
    assert len(image.channels) == {"LA": 2, "RGB": 3, "P": 3, "RGBA": 4}.get(mode, 0)


def test_transparency_of_a_png_is_a_channel(tmp_path):
    save(tmp_path / "a.png", Image.fromarray(samples()), transparency=3)
    assert only(tmp_path / "a.png").array[...].shape == (2, 1, 12, 16)


@pytest.mark.parametrize("name", ["a.bmp", "a.png"])
def test_cut_and_flipped_bitmaps_are_an_image_or_a_reason(tmp_path, name):
    whole = save(tmp_path / name, Image.fromarray(samples())).read_bytes()
    for cut in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:cut])
        outcome(tmp_path / name)
    for at in range(min(len(whole), 200)):
        for bits in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[at] ^= bits
            (tmp_path / name).write_bytes(damaged)
            outcome(tmp_path / name)


def test_bitmaps_that_announce_more_than_they_hold_are_refused_unread(tmp_path):
    content = bytearray(save(tmp_path / "a.bmp", Image.fromarray(samples())).read_bytes())
    content[18:22] = (1 << 20).to_bytes(4, "little")
    (tmp_path / "a.bmp").write_bytes(content)
    with pytest.raises(ReaderError, match="samples lie from"):
        read(tmp_path / "a.bmp")
    buffer = io.BytesIO()
    Image.new("L", (20_000, 20_000)).save(buffer, "PNG")
    (tmp_path / "b.png").write_bytes(buffer.getvalue())
    with pytest.raises(TooLargeError, match="announces"):
        read(tmp_path / "b.png")


def test_a_png_that_stops_before_its_end_is_called_truncated(tmp_path):
    whole = save(tmp_path / "a.png", Image.fromarray(samples())).read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-12])
    with pytest.raises(ReaderError) as caught:
        read(tmp_path / "a.png")
    assert caught.value.code == "truncated_file"
