"""Stores of others: made here by zarr-python and ome-zarr-py, spoilt here by hand."""

from __future__ import annotations

import json
import shutil
import zipfile

import numpy as np
import pytest
import zarr
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_image as foreign_write

from analyses.sdk.omezarr import write_image
from apps.imaging.readers import (
    ContentMismatchError,
    Limits,
    MetadataError,
    ReaderError,
    TooLargeError,
    UnsafePathError,
    UnsupportedFormatError,
    read,
)
from tests.sdk.ngff import cases

FORMATS = {"0.4": (2, FormatV04()), "0.5": (3, FormatV05())}


def samples(shape, dtype="u2"):
    return (np.random.default_rng(0).random(shape) * 200).astype(dtype)


def make(path, array, axes, version="0.5", unit="micrometer", scale=None):
    """A store written by hand with zarr-python: one level, free choice of what it says."""
    zarr_format, _ = FORMATS[version]
    group = zarr.create_group(str(path), zarr_format=zarr_format)
    names = {"dimension_names": list(axes)} if version == "0.5" else {}
    group.create_array("s0", data=array, chunks=tuple(min(16, n) for n in array.shape), **names)
    types = {"t": "time", "c": "channel"}
    listed = [
        {"name": a, "type": types.get(a, "space")} | ({"unit": unit} if a in "zyx" and unit else {}) for a in axes
    ]
    transformation = {"type": "scale", "scale": scale or [0.5] * len(axes)}
    multiscale = {
        "axes": listed,
        "datasets": [{"path": "s0", "coordinateTransformations": [transformation]}],
        "version": "0.4",
    }
    attributes = {"multiscales": [multiscale]}
    if version == "0.5":
        del multiscale["version"]
        attributes = {"ome": {"version": "0.5", **attributes}}
    group.attrs.update(attributes)
    return path


def edit(path, change):
    file = path / ("zarr.json" if (path / "zarr.json").exists() else ".zattrs")
    content = json.loads(file.read_text())
    attributes = content["attributes"]["ome"] if "attributes" in content else content
    change(attributes["multiscales"][0])
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize(
    ("axes", "shape", "read_shape"),
    [("yx", (30, 40), (1, 30, 40)), ("zyx", (5, 30, 40), (5, 30, 40)), ("cyx", (2, 30, 40), (2, 1, 30, 40)),
     ("tczyx", (2, 3, 4, 30, 40), (2, 3, 4, 30, 40)), ("tyx", (3, 30, 40), (3, 1, 30, 40))],
)  # fmt: skip
def test_axes_and_samples(tmp_path, version, axes, shape, read_shape):
    array = samples(shape)
    (image,) = read(make(tmp_path / "a.zarr", array, axes, version))
    assert image.shape == read_shape
    assert np.array_equal(image.array[...], array.reshape(read_shape))
    assert np.array_equal(image.array[..., 3:9, 5:30], array.reshape(read_shape)[..., 3:9, 5:30])
    assert np.array_equal(
        image.array[(0,) * (len(read_shape) - 2)], array.reshape(read_shape)[(0,) * (len(read_shape) - 2)]
    )
    assert image.facts["ome_zarr_version"]["value"] == version
    assert image.spacing_um["x"] == 0.5
    assert image.spacing_um["z"] == (0.5 if "z" in axes else None)
    json.dumps(image.header, allow_nan=False)


@pytest.mark.parametrize("version", FORMATS)
def test_a_store_of_ome_zarr_py(tmp_path, version):
    zarr_format, writer_format = FORMATS[version]
    array = samples((4, 60, 70))
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=zarr_format)
    spacing, units = {"z": 2.0, "y": 65.0, "x": 65.0}, dict.fromkeys("zyx", "nanometer")
    foreign_write(array, group, axes="zyx", fmt=writer_format, scale_factors=[], scale=spacing, axes_units=units)
    (image,) = read(tmp_path / "a.zarr")
    assert np.array_equal(image.array[...], array)
    assert image.spacing_um == pytest.approx({"z": 0.002, "y": 0.065, "x": 0.065})


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("nanometer", 1e-3),
        ("millimeter", 1e3),
        ("angstrom", 1e-4),
        ("meter", 1e6),
        ("micrometer", 1.0),
        (None, None),
        ("pixel", None),
    ],
)
def test_units_become_micrometres_and_no_unit_is_no_length(tmp_path, unit, um):
    (image,) = read(make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx", unit=unit, scale=[3.0, 2.0, 1.0]))
    expected = {"z": None, "y": None, "x": None} if um is None else {"z": 3 * um, "y": 2 * um, "x": um}
    assert image.spacing_um == pytest.approx(expected)
    assert image.calibrated is (um is not None)


def test_scales_of_dataset_and_image_multiply(tmp_path):
    path = make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx", scale=[1.0, 2.0, 2.0])
    edit(path, lambda m: m.update(coordinateTransformations=[{"type": "scale", "scale": [10.0, 0.5, 1.0]}]))
    assert read(path)[0].spacing_um == {"z": 10.0, "y": 1.0, "x": 2.0}


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_a_scale_that_is_no_length_is_absent(tmp_path, bad):
    (image,) = read(make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx", scale=[bad, 2.0, 2.0]))
    assert image.spacing_um == {"z": None, "y": 2.0, "x": 2.0}
    assert image.facts["metadata_warnings"]["value"]


@pytest.mark.parametrize("dtype", [">u2", "i1", "f4", "?"])
def test_types(tmp_path, dtype):
    array = samples((3, 8, 9), "u1").astype(dtype)
    (image,) = read(make(tmp_path / "a.zarr", array, "zyx", "0.4"))
    assert image.dtype == (np.dtype("u1") if dtype == "?" else np.dtype(dtype).newbyteorder("<"))
    assert np.array_equal(image.array[...], array.astype(image.dtype))


def test_complex_samples_are_refused(tmp_path):
    with pytest.raises(UnsupportedFormatError, match="complex64"):
        read(make(tmp_path / "a.zarr", samples((3, 8, 9), "c8"), "zyx"))


def test_a_zip_of_a_store(tmp_path):
    array = samples((70, 30, 40))
    write_image(
        tmp_path / "inner" / "a.zarr", array, axes="zyx", spacing_um={"z": 1.0, "y": 2.0, "x": 3.0}, kind="labels"
    )
    for root in (tmp_path / "inner", tmp_path / "inner" / "a.zarr"):
        file = shutil.make_archive(str(tmp_path / "sent"), "zip", root)
        (image,) = read(tmp_path / "sent.zip", name="sent.zarr.zip")
        assert file.endswith("sent.zip")
        assert np.array_equal(image.array[...], array)
        assert image.spacing_um == {"z": 1.0, "y": 2.0, "x": 3.0}
        assert image.kind == "labels"


@pytest.mark.parametrize("key", ["../secret", "/etc/passwd", "s0/../../secret", "..\\secret"])
@pytest.mark.parametrize("version", FORMATS)
def test_keys_that_lead_out_of_the_store_are_refused(tmp_path, key, version):
    make(tmp_path / "secret", samples((3, 8, 9)), "zyx", version)
    path = make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx", version)
    edit(path, lambda m: m["datasets"][0].update(path=key))
    with pytest.raises(UnsafePathError) as caught:
        read(path)
    assert key in caught.value.message or repr(key)[1:-1] in caught.value.message


@pytest.mark.parametrize("what", ["s0", "s0/zarr.json", "s0/c"])
def test_links_are_refused(tmp_path, what):
    path = make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx")
    (path / what).rename(tmp_path / "elsewhere")
    (path / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePathError, match="symbolic link"):
        read(path)


@pytest.mark.parametrize("member", ["../a.zarr/zarr.json", "/abs/zarr.json", "a/../../zarr.json"])
def test_zip_members_that_land_elsewhere_are_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("zarr.json", "{}")
        archive.writestr(member, "{}")
    with pytest.raises(UnsafePathError):
        read(tmp_path / "a.zip")


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("zarr.json")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafePathError, match="link"):
        read(tmp_path / "a.zip")


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", b" " * 5_000_000)
    with pytest.raises(TooLargeError):
        read(tmp_path / "a.zip", limits=Limits(ratio_floor_bytes=1_000_000))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_cut_zip_is_refused(tmp_path, cut):
    make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx")
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a.zarr")
    content = (tmp_path / "b.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(ReaderError):
        read(tmp_path / "b.zip")


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(MetadataError, match="no zarr group"):
        read(tmp_path / "a.zarr")
    (tmp_path / "b.tif").mkdir()
    with pytest.raises(ContentMismatchError):
        read(tmp_path / "b.tif")


@pytest.mark.parametrize(
    "broken", [lambda m: m.pop("axes"), lambda m: m.update(datasets=[]), lambda m: m.update(axes=1)]
)
@pytest.mark.parametrize("version", FORMATS)
def test_invalid_metadata_are_refused_with_their_place(tmp_path, version, broken):
    path = make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx", version)
    edit(path, broken)
    with pytest.raises(MetadataError, match=r"multiscales.*") as caught:
        read(path)
    assert caught.value.details["errors"]


@pytest.mark.parametrize("version", FORMATS)
def test_chunks_that_a_store_leaves_out_are_told(tmp_path, version):
    array = samples((40, 40, 9))
    array[:16, :16] = 0
    path = make(tmp_path / "a.zarr", array, "zyx", version)
    (image,) = read(path)
    assert np.array_equal(image.array[...], array)
    assert image.facts["chunks_not_stored"]["value"] == 1
    shutil.make_archive(str(tmp_path / "b"), "zip", path)
    assert read(tmp_path / "b.zip")[0].facts["chunks_not_stored"]["value"] == 1


def test_axes_that_are_not_ours_are_refused(tmp_path):
    path = make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx")
    edit(path, lambda m: [axis.update(name=name) for axis, name in zip(m["axes"], "abc", strict=True)])
    with pytest.raises(UnsupportedFormatError, match="axes"):
        read(path)


@pytest.mark.parametrize("change", [{"shape": [1 << 20] * 3}, {"shape": [0, 8, 9]}])
def test_announced_shapes_are_checked_before_anything_is_decoded(tmp_path, change):
    path = make(tmp_path / "a.zarr", samples((3, 8, 9)), "zyx")
    content = json.loads((path / "s0" / "zarr.json").read_text())
    (path / "s0" / "zarr.json").write_text(json.dumps(content | change))
    with pytest.raises((TooLargeError, MetadataError)):
        read(path)


def test_a_chunk_that_does_not_decode_is_refused(tmp_path):
    array = samples((3, 8, 9))
    path = make(tmp_path / "a.zarr", array, "zyx")
    (chunk,) = [p for p in (path / "s0" / "c").rglob("*") if p.is_file()]
    chunk.write_bytes(b"not a chunk")
    (image,) = read(path)
    with pytest.raises(MetadataError, match="decode"):
        image.array[...]


@pytest.mark.parametrize("case", [c for c in cases() if not c["schema"].startswith("strict_")], ids=lambda c: c["id"])
def test_the_published_cases_get_their_verdict_from_the_reader(tmp_path, case):
    """Metadata alone: an invalid case is refused for its metadata, a valid one at most for what it does not hold."""
    if case["version"] == "0.5":
        (tmp_path / "zarr.json").write_text(
            json.dumps({"zarr_format": 3, "node_type": "group", "attributes": case["data"]})
        )
    else:
        (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
        (tmp_path / ".zattrs").write_text(json.dumps(case["data"]))
    with pytest.raises(ReaderError) as caught:
        read(tmp_path)
    assert ("is no valid OME-Zarr" in caught.value.message) is not case["expected"]
