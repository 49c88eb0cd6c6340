"""Stores as written: samples on every level, metadata, places, failures."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import ome_zarr_models
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyses.sdk import omezarr_cascade, omezarr_layout, spatial
from analyses.sdk.omezarr import (
    StagedArray,
    StoreError,
    finish_pyramid,
    open_store,
    validate_group,
    verify_store,
    write_image,
)
from analyses.sdk.omezarr_layout import plan_levels
from analyses.sdk.pyramid import reduce_block
from analyses.sdk.values import Channel, LazyArray, WritableArray

CALIBRATED = {"z": 2.0, "y": 0.5, "x": 0.25}
CASES = {
    "plane, odd": (("z", "y", "x"), (1, 701, 333), "u2"),
    "volume, odd": (("z", "y", "x"), (65, 131, 300), "u1"),
    "flat stack": (("z", "y", "x"), (3, 40, 600), "i2"),
    "colours": (("c", "z", "y", "x"), (3, 1, 600, 100), "u1"),
    "time and channels": (("t", "c", "z", "y", "x"), (2, 2, 70, 30, 270), "f4"),
    "time": (("t", "z", "y", "x"), (3, 1, 9, 520), "i4"),
    "one sample": (("z", "y", "x"), (1, 1, 1), "f8"),
    "line": (("z", "y", "x"), (1, 1, 1100), "i8"),
}


def samples(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * 200).astype(dtype)


def expected_levels(array, levels, method):
    found = [array]
    for low, high in pairwise(levels):
        factors = [b // a for a, b in zip(low.factors, high.factors, strict=True)]
        found.append(reduce_block(found[-1], factors, method))
    return found


def assert_samples(path, array, levels, method="mean"):
    group = zarr.open_group(str(path), mode="r")
    for level, expected in zip(levels, expected_levels(array, levels, method), strict=True):
        assert np.array_equal(group[level.path][...], expected), f"level {level.path} read by zarr-python"
    store = open_store(path)
    for number, expected in enumerate(expected_levels(array, levels, method)):
        assert np.array_equal(store.level(number)[...], expected), f"level {number} read by tensorstore"


@pytest.mark.parametrize("case", CASES)
def test_every_level_holds_the_exact_means(tmp_path, case):
    axes, shape, dtype = CASES[case]
    array = samples(shape, dtype)
    info = write_image(tmp_path / "s.zarr", array, axes=axes, spacing_um=CALIBRATED)
    assert max(info.levels[-1].shape[-3:]) <= 256
    assert_samples(tmp_path / "s.zarr", array, info.levels)


@pytest.mark.parametrize("case", CASES)
def test_metadata_pass_the_schemas_and_the_models(tmp_path, case):
    axes, shape, dtype = CASES[case]
    write_image(tmp_path / "s.zarr", samples(shape, dtype), axes=axes, spacing_um={"x": 0.5}, name="a plane")
    verdict = validate_group(open_store(tmp_path / "s.zarr").attributes, "0.5")
    assert verdict.errors == ()
    assert verdict.warnings == ()
    ome_zarr_models.open_ome_zarr(zarr.open_group(str(tmp_path / "s.zarr"), mode="r"), version="0.5")


def test_labels_keep_their_values_and_are_marked(tmp_path):
    array = np.random.default_rng(1).choice([0, 7, 9, 40000], (70, 90, 300)).astype("u2")
    info = write_image(tmp_path / "s.zarr", array, axes="zyx", spacing_um=CALIBRATED, kind="labels")
    assert_samples(tmp_path / "s.zarr", array, info.levels, "mode")
    store = open_store(tmp_path / "s.zarr")
    assert store.kind == "labels"
    assert "image-label" in store.attributes["ome"]
    assert validate_group(store.attributes, "0.5").valid
    ome_zarr_models.open_ome_zarr(zarr.open_group(str(tmp_path / "s.zarr"), mode="r"), version="0.5")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 90), st.integers(1, 90)),
    kind=st.sampled_from(["intensity", "labels"]),
    dtype=st.sampled_from(["u1", ">i2", "u4"]),
)
def test_slabs_shards_and_levels_fit_together_for_any_shape(tmp_path_factory, monkeypatch, shape, kind, dtype):
    """Small chunks, so that small arrays have many slabs, shards with a remainder and five levels."""
    monkeypatch.setattr(omezarr_layout, "COARSEST", 3)
    monkeypatch.setattr(omezarr_layout, "CHUNKS_3D", ((4, 4, 4), (2, 4, 8)))
    monkeypatch.setattr(omezarr_layout, "CHUNK_2D", 8)
    monkeypatch.setattr(omezarr_layout, "MAX_FILES_PER_LEVEL", 30)
    monkeypatch.setattr(omezarr_layout, "SLAB_BYTES", 20_000)
    monkeypatch.setattr(omezarr_layout, "SHARD_3D", (1, 2, 4))
    array = samples(shape, dtype, seed=5)
    path = tmp_path_factory.mktemp("any") / "s.zarr"
    info = write_image(path, array, axes="zyx", spacing_um={}, kind=kind)
    assert_samples(path, array, info.levels, "mode" if kind == "labels" else "mean")
    assert verify_store(path, info.manifest) == []


def test_shards_bound_the_number_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(omezarr_layout, "MAX_FILES_PER_LEVEL", 3)
    array = samples((130, 200, 260), "u2")
    info = write_image(tmp_path / "s.zarr", array, axes="zyx", spacing_um=CALIBRATED)
    first = info.levels[0]
    assert first.shards == (64, 256, 320)
    assert first.grid == (3, 1, 1)
    assert_samples(tmp_path / "s.zarr", array, info.levels)


def test_large_images_are_sharded_and_their_planes_bound_the_slab():
    (first, *_) = plan_levels("zyx", (1024, 1024, 1024), 2)
    assert first.chunks == (64, 64, 64)
    assert first.shards == (64, 512, 512)
    assert plan_levels("zyx", (400, 2048, 2048), 2)[0].chunks[0] == 16
    mosaic = plan_levels("zyx", (1, 16384, 16384), 2)[0]
    assert mosaic.chunks == (1, 512, 512)
    assert mosaic.shards == (1, 1024, 4096)


def test_slabs_beyond_the_budget_lie_in_a_file_that_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(omezarr_cascade, "SPILL_BYTES", 1000)
    monkeypatch.setattr(omezarr_cascade, "DOUBLE_BUFFER_BYTES", 1000)
    monkeypatch.setattr(omezarr_cascade, "PIECE_BYTES", 1000)
    array = samples((2, 2, 66, 70, 300), "u2")
    info = write_image(tmp_path / "s.zarr", array, axes="tczyx", spacing_um=CALIBRATED)
    assert_samples(tmp_path / "s.zarr", array, info.levels)
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]


class Recorder:
    """A lazy source that notes what is read."""

    chunks = (1, 300, 300)

    def __init__(self, array):
        self.array, self.reads = array, np.zeros(array.shape, "u1")
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        self.reads[key] += 1
        return self.array[key]


@pytest.mark.parametrize("shape", [(150, 60, 60), (1, 1500, 40)])
def test_each_sample_of_the_source_is_read_once(tmp_path, shape):
    source = Recorder(samples(shape, "u2"))
    assert isinstance(source, LazyArray)
    write_image(tmp_path / "s.zarr", source, axes="zyx", spacing_um={})
    assert (source.reads == 1).all()


@pytest.mark.parametrize("shape", [(1, 1024, 1024), (512, 300, 40), (9, 700, 1025)])
def test_one_bright_voxel_lies_on_the_same_point_on_every_level(tmp_path, shape):
    """A block of 2^n samples lit at the coarsest level's size: its centre of mass is one point in micrometres."""
    levels = plan_levels("zyx", shape, 4)
    factors = levels[-1].factors
    block = [slice(f, 2 * f) if n >= 2 * f else slice(0, f) for n, f in zip(shape, factors, strict=True)]
    array = np.zeros(shape, "f4")
    array[tuple(block)] = 1.0
    write_image(tmp_path / "s.zarr", array, axes="zyx", spacing_um=CALIBRATED)
    store, places = open_store(tmp_path / "s.zarr"), []
    for number, level in enumerate(store.levels):
        data = store.level(number)[...]
        centre = [(np.indices(data.shape)[axis] * data).sum() / data.sum() for axis in (2, 1, 0)]
        places.append(spatial.apply(spatial.from_scale_translation(level.scale[::-1], level.translation[::-1]), centre))
    np.testing.assert_allclose(places, np.broadcast_to(places[0], (len(places), 3)), atol=1e-9)
    base = spatial.apply(spatial.index_to_physical(CALIBRATED), [np.mean([b.start, b.stop - 1]) for b in block[::-1]])
    np.testing.assert_allclose(places[0], base, atol=1e-9)


def test_level_metadata_agree_with_the_level_matrices(tmp_path):
    info = write_image(tmp_path / "s.zarr", samples((9, 1100, 530), "u1"), axes="zyx", spacing_um=CALIBRATED)
    for level, stored in zip(info.levels, open_store(tmp_path / "s.zarr").levels, strict=True):
        chain = [spatial.level_to_base(level.factors[::-1]), spatial.index_to_physical(CALIBRATED)]
        direct = spatial.from_scale_translation(stored.scale[::-1], stored.translation[::-1])
        np.testing.assert_allclose(direct, spatial.compose(chain), rtol=1e-15)


def test_an_unknown_spacing_has_no_unit_and_stays_unknown(tmp_path):
    write_image(tmp_path / "s.zarr", samples((4, 5, 6), "u1"), axes="zyx", spacing_um={"z": None, "y": 0.5, "x": 0.5})
    store = open_store(tmp_path / "s.zarr")
    assert store.spacing_um == {"z": None, "y": 0.5, "x": 0.5}
    axes = store.attributes["ome"]["multiscales"][0]["axes"]
    assert [axis.get("unit") for axis in axes] == [None, "micrometer", "micrometer"]
    assert store.attributes["corrspace"]["calibrated"] is False
    assert store.levels[0].scale == (1.0, 0.5, 0.5)


def test_what_was_said_comes_back(tmp_path):
    channels = (Channel("SE", "Everhart-Thornley"), Channel("BSE", unit="1"))
    write_image(
        tmp_path / "s.zarr",
        samples((2, 1, 9, 9), "u2"),
        axes="czyx",
        spacing_um=CALIBRATED,
        channels=channels,
        name="polished",
        unit="1",
    )
    store = open_store(tmp_path / "s.zarr")
    assert store.channels == channels
    assert (store.name, store.axes, store.kind, store.dtype) == (
        "polished",
        ("c", "z", "y", "x"),
        "intensity",
        np.dtype("<u2"),
    )
    assert store.attributes["corrspace"]["calibrated"] is True


def test_equal_samples_give_an_equal_digest_whatever_the_threads(tmp_path):
    array = samples((130, 140, 150), "u2")
    made = [write_image(tmp_path / f"{n}.zarr", array, axes="zyx", spacing_um={}, threads=n) for n in (1, 3)]
    assert made[0].digest == made[1].digest


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"axes": ("y", "x")}, "axes"),
        ({"axes": ("z", "x", "y")}, "axes"),
        ({"axes": ("c", "z", "y", "x")}, "shape"),
        ({"spacing_um": {"x": float("nan")}}, "spacing_um"),
        ({"spacing_um": {"x": 0.0}}, "spacing_um"),
        ({"spacing_um": {"t": 1.0}}, "spacing_um"),
        ({"kind": "photo"}, "kind"),
        ({"channels": (Channel("a"), Channel("b"))}, "channels"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path, change, field):
    arguments = {"axes": ("z", "y", "x"), "spacing_um": {}} | change
    with pytest.raises(ValueError, match=field):
        write_image(tmp_path / "s.zarr", samples((2, 3, 4), "u1"), **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("dtype", "kind"), [("c8", "intensity"), (bool, "intensity"), ("f4", "labels")])
def test_sample_types_that_do_not_fit_are_refused(tmp_path, dtype, kind):
    with pytest.raises(ValueError, match="dtype"):
        write_image(tmp_path / "s.zarr", np.zeros((2, 2, 2), dtype), axes="zyx", spacing_um={}, kind=kind)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_fails_half_way_leaves_nothing(tmp_path):
    class Failing(Recorder):
        def __getitem__(self, key):
            if key[0].start >= 64:
                raise OSError("the cable was pulled")
            return super().__getitem__(key)

    with pytest.raises(OSError, match="cable"):
        write_image(tmp_path / "s.zarr", Failing(samples((130, 20, 20), "u1")), axes="zyx", spacing_um={})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, position, block):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("analyses.sdk.omezarr_encode.FileEncoder.write", full)
    with pytest.raises(OSError, match="No space"):
        write_image(tmp_path / "s.zarr", samples((10, 20, 20), "u1"), axes="zyx", spacing_um={})
    assert list(tmp_path.iterdir()) == []


def test_progress_reaches_one_and_may_stop_the_writing(tmp_path):
    seen = []
    write_image(tmp_path / "a.zarr", samples((200, 20, 20), "u1"), axes="zyx", spacing_um={}, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) == 4

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "b.zarr", samples((200, 20, 20), "u1"), axes="zyx", spacing_um={}, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_an_existing_folder_is_never_written_over(tmp_path):
    (tmp_path / "s.zarr").mkdir()
    (tmp_path / "s.zarr" / "kept").write_text("x")
    with pytest.raises(FileExistsError):
        write_image(tmp_path / "s.zarr", samples((2, 2, 2), "u1"), axes="zyx", spacing_um={})
    assert (tmp_path / "s.zarr" / "kept").read_text() == "x"


# ------------------------------------------------------------------------------------------------------ staged outputs
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["intensity", "labels"])
def test_a_staged_store_equals_a_streamed_one(tmp_path, case, kind):
    axes, shape, dtype = CASES[case]
    if kind == "labels" and dtype.startswith("f"):
        dtype = "u4"
    array = samples(shape, dtype)
    staged = StagedArray.create(tmp_path / "a.zarr", shape=shape, dtype=dtype, axes=axes, kind=kind)
    staged[...] = array
    one = finish_pyramid(tmp_path / "a.zarr", spacing_um=CALIBRATED, kind=kind)
    two = write_image(tmp_path / "b.zarr", array, axes=axes, spacing_um=CALIBRATED, kind=kind)
    assert one.digest == two.digest
    assert verify_store(tmp_path / "a.zarr", one.manifest) == []


def test_a_staged_array_is_written_by_its_chunks_and_read_back(tmp_path):
    array = samples((70, 90, 300), "u2")
    staged: WritableArray = StagedArray.create(
        tmp_path / "s.zarr", shape=array.shape, dtype="u2", axes=("z", "y", "x"), chunks=(7, 90, 100)
    )
    assert staged.chunks == (7, 90, 100)
    for z in range(0, 70, 7):
        staged[z : z + 7] = array[z : z + 7]
    assert np.array_equal(staged[3:9, 5], array[3:9, 5])
    assert np.array_equal(StagedArray.open(tmp_path / "s.zarr")[...], array)
    info = finish_pyramid(tmp_path / "s.zarr", spacing_um={}, kind="intensity")
    assert_samples(tmp_path / "s.zarr", array, info.levels)


def test_a_chunk_that_was_never_written_is_refused(tmp_path):
    staged = StagedArray.create(tmp_path / "s.zarr", shape=(130, 60, 60), dtype="u1", axes="zyx")
    staged[:64] = 1
    with pytest.raises(ValueError, match="1 of 3 chunks"):
        finish_pyramid(tmp_path / "s.zarr", spacing_um={}, kind="intensity")


def test_a_staged_array_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="chunks"):
        StagedArray.create(tmp_path / "s", shape=(2, 2, 2), dtype="u1", axes="zyx", chunks=(2, 2))
    with pytest.raises(ValueError, match="no staged level"):
        finish_pyramid(tmp_path / "s", spacing_um={}, kind="intensity")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- reading
def test_a_lost_chunk_of_ours_is_never_read_as_zeros(tmp_path):
    info = write_image(tmp_path / "s.zarr", samples((70, 30, 30), "u1"), axes="zyx", spacing_um={})
    (tmp_path / "s.zarr" / "0" / "c" / "1" / "0" / "0").unlink()
    assert verify_store(tmp_path / "s.zarr", info.manifest) == ["missing: 0/c/1/0/0"]
    store = open_store(tmp_path / "s.zarr")
    assert store.missing_files() == 1
    assert store.level(0)[:60].shape == (60, 30, 30)
    with pytest.raises(ValueError, match="missing"):
        store.level(0)[60:]


def test_levels_outside_the_store_are_refused(tmp_path):
    write_image(tmp_path / "s.zarr", samples((2, 2, 2), "u1"), axes="zyx", spacing_um={})
    store = open_store(tmp_path / "s.zarr")
    assert len(store.levels) == 1
    with pytest.raises(IndexError, match="0 to 0"):
        store.level(1)


@pytest.mark.parametrize("key", ["../other/0", "/etc", "a/../../b", "..", "", "a\\b", 5, None])
def test_a_key_that_leads_out_of_the_store_is_refused(tmp_path, key):
    write_image(tmp_path / "s.zarr", samples((2, 2, 2), "u1"), axes="zyx", spacing_um={})
    file = tmp_path / "s.zarr" / "zarr.json"
    content = json.loads(file.read_text())
    content["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = key
    file.write_text(json.dumps(content))
    with pytest.raises(StoreError):
        open_store(tmp_path / "s.zarr")
    assert not validate_group(content["attributes"], "0.5").valid


@pytest.mark.parametrize("content", ["", "[]", "{", '{"node_type": "group"}', '{"node_type": "array"}', "[" * 100_000])
def test_broken_group_files_are_refused(tmp_path, content):
    (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(StoreError):
        open_store(tmp_path)
