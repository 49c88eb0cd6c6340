"""Spectrum images as stored: both directions exact, described, summed, bounded in files and memory."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import zarr

from analyses.sdk import omezarr_layout, omezarr_spectrum
from analyses.sdk.omezarr import (
    StagedArray,
    open_store,
    plan_levels,
    read_sum_spectrum,
    sum_image_path,
    validate_group,
    verify_store,
    write_image,
)
from analyses.sdk.values import ImageValue, SignalAxis

AXES = ("e", "z", "y", "x")
SPACING = {"y": 0.5, "x": 0.25}


def energy(size: int) -> SignalAxis:
    return SignalAxis("energy", size, -0.1, 0.01, "keV")


def counts(shape: tuple[int, ...], dtype: str = "u2", seed: int = 0) -> Any:
    return np.random.default_rng(seed).poisson(3.0, shape).astype(dtype)


def write(path: Any, cube: Any, axes: Any = AXES, **options: Any) -> Any:
    signal = options.pop("signal", [energy(cube.shape[axes.index("e")])])
    return write_image(path, cube, axes=axes, spacing_um=SPACING, kind="spectrum", signal=signal, **options)


CASES = {
    "odd": (AXES, (130, 1, 37, 45), "u2"),
    "a volume": (AXES, (70, 3, 5, 6), "u1"),
    "in time": (("t", *AXES), (2, 66, 2, 34, 33), "u4"),
    "one place": (AXES, (4096, 1, 1, 1), "f8"),
    "differences": (AXES, (20, 1, 40, 9), "i2"),
    "floats": (AXES, (64, 1, 33, 70), "f4"),
    "wide counts": (AXES, (9, 1, 8, 8), "u8"),
}


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_cube_and_sums_are_exact(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, case: str, sharded: bool) -> None:
    if sharded:
        monkeypatch.setattr(omezarr_layout, "MAX_FILES_PER_LEVEL", 1)
    axes, shape, dtype = CASES[case]
    cube = counts(shape, dtype)
    info = write(tmp_path / "s.zarr", cube, axes)
    assert verify_store(tmp_path / "s.zarr", info.manifest) == []
    assert np.array_equal(open_store(tmp_path / "s.zarr").level(0)[...], cube)
    assert np.array_equal(zarr.open_group(str(tmp_path / "s.zarr"), mode="r")["0"][...], cube)
    places = tuple(n for n, axis in enumerate(axes) if axis != "e")
    wide = cube.astype("f8") if cube.dtype.kind == "f" else cube.astype(object)
    assert np.allclose(read_sum_spectrum(tmp_path / "s.zarr"), wide.sum(axis=places).astype("f8"), rtol=1e-14)
    image = open_store(sum_image_path(tmp_path / "s.zarr")).level(0)[...]
    assert np.allclose(image, wide.sum(axis=axes.index("e")).astype("f8"), rtol=1e-14)
    if cube.dtype.kind != "f":
        assert int(image.astype(object).sum()) == int(wide.sum()), "not one count is lost"


def test_sums_belong_to_the_digest(tmp_path: Any) -> None:
    info = write(tmp_path / "s.zarr", counts((8, 1, 4, 4)))
    paths = {entry.path for entry in info.manifest.entries}
    assert {"sum_spectrum/c/0", "sum_spectrum/zarr.json", "sum/zarr.json", "sum/0/zarr.json"} <= paths
    target = tmp_path / "s.zarr" / "sum_spectrum" / "c" / "0"
    target.write_bytes(bytes(len(target.read_bytes())))
    assert [finding.split()[1] for finding in verify_store(tmp_path / "s.zarr", info.manifest)] == ["sum_spectrum/c/0"]


def test_sum_image_is_an_image_of_its_own_with_levels(tmp_path: Any) -> None:
    write(tmp_path / "s.zarr", counts((3, 1, 300, 20)), name="map")
    summed = open_store(sum_image_path(tmp_path / "s.zarr"))
    assert (summed.kind, summed.axes, len(summed.levels)) == ("intensity", ("z", "y", "x"), 2)
    assert summed.spacing_um == {"z": None, "y": 0.5, "x": 0.25}


def test_metadata_pass_schema_and_models(tmp_path: Any) -> None:
    write(tmp_path / "s.zarr", counts((2, 8, 1, 4, 4)), ("t", *AXES), name="map")
    store = open_store(tmp_path / "s.zarr")
    verdict = validate_group(store.attributes, "0.5")
    assert (verdict.errors, verdict.warnings) == ((), ())
    ome_zarr_models.open_ome_zarr(zarr.open_group(str(tmp_path / "s.zarr"), mode="r"), version="0.5")
    axis = store.attributes["ome"]["multiscales"][0]["axes"][1]
    assert axis == {"name": "e", "type": "energy", "unit": "kiloelectronvolt"}
    assert (store.levels[0].scale[1], store.levels[0].translation[1]) == (0.01, -0.1)


@pytest.mark.parametrize("trusted", [True, False])
def test_signal_axes_come_back_as_they_went(tmp_path: Any, trusted: bool) -> None:
    pattern = (SignalAxis("scattering y", 5, -2.0, 0.8, "1/nm"), SignalAxis("scattering x", 4, 2.0, -0.8, "1/nm"))
    write(tmp_path / "a.zarr", counts((20, 1, 4, 4)), signal=pattern)
    write(tmp_path / "b.zarr", counts((20, 1, 4, 4)))
    found = open_store(tmp_path / "a.zarr", trusted=trusted)
    assert (found.signal, found.kind) == (pattern, "spectrum")
    assert open_store(tmp_path / "b.zarr", trusted=trusted).signal == (energy(20),)


def test_an_axis_of_another_program_is_read_from_scale_and_unit(tmp_path: Any) -> None:
    write(tmp_path / "s.zarr", counts((20, 1, 4, 4)))
    path = tmp_path / "s.zarr" / "zarr.json"
    group = json.loads(path.read_text())
    del group["attributes"]["corrspace"]
    path.write_text(json.dumps(group))
    assert open_store(tmp_path / "s.zarr", trusted=False).signal == (energy(20),)
    del group["attributes"]["ome"]["multiscales"][0]["axes"][0]["unit"]
    path.write_text(json.dumps(group))
    assert open_store(tmp_path / "s.zarr", trusted=False).signal == (SignalAxis("channel", 20, 0.0, 1.0, "1"),)


@pytest.mark.parametrize(
    "said",
    [
        None,
        7,
        [],
        [{"name": "energy"}],
        [{"name": "energy", "size": 21, "offset": 0, "step": 1, "unit": "keV"}],
        [{"name": "energy", "size": True, "offset": 0, "step": 1, "unit": "keV"}],
        [{"name": "energy", "size": 20, "offset": "NaN", "step": 1, "unit": "keV"}],
        [{"name": "energy", "size": 20, "offset": 0, "step": 0, "unit": "keV"}],
        [{"name": 3, "size": 20, "offset": 0, "step": 1, "unit": "keV"}],
    ],
)
def test_a_signal_that_does_not_fit_is_not_believed(tmp_path: Any, said: Any) -> None:
    write(tmp_path / "s.zarr", counts((20, 1, 4, 4)))
    path = tmp_path / "s.zarr" / "zarr.json"
    group = json.loads(path.read_text())
    group["attributes"]["corrspace"]["signal"] = said
    path.write_text(json.dumps(group))
    assert open_store(tmp_path / "s.zarr", trusted=False).signal == (energy(20),), "as scale and unit say"


@pytest.mark.parametrize(
    ("axes", "shape", "kind", "signal", "said"),
    [
        (("c", *AXES), (2, 4, 1, 2, 2), "spectrum", [energy(4)], "no channels"),
        (AXES, (4, 1, 2, 2), "intensity", [energy(4)], "spectrum goes with the axis e"),
        (("c", "z", "y", "x"), (4, 1, 2, 2), "spectrum", [energy(4)], "spectrum goes with the axis e"),
        (AXES, (4, 1, 2, 2), "spectrum", [], "0 signal axes"),
        (AXES, (4, 1, 2, 2), "spectrum", [energy(5)], "the axis e has 4 samples"),
        (AXES, (4, 1, 2, 2), "spectrum", [SignalAxis("energy", 4, 0.0, float("nan"), "keV")], "must be finite"),
        (AXES, (4, 1, 2, 2), "spectrum", [SignalAxis("energy", 4, 0.0, 0.0, "keV")], "must not be 0"),
        (("z", "y", "x"), (4, 2, 2), "intensity", [energy(4)], "no axis e"),
    ],
)
def test_what_no_spectrum_image_can_be_is_refused_and_leaves_nothing(
    tmp_path: Any, axes: Any, shape: Any, kind: Any, signal: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        write_image(tmp_path / "s.zarr", counts(shape), axes=axes, spacing_um={}, kind=kind, signal=signal)
    assert not (tmp_path / "s.zarr").exists()


def test_a_spectrum_image_is_not_staged_in_pieces(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="written whole"):
        StagedArray.create(tmp_path / "s.zarr", shape=(4, 1, 2, 2), dtype="u2", axes=AXES, kind="spectrum")


@pytest.mark.parametrize(
    ("shape", "itemsize"),
    [((2048, 1, 512, 512), 2), ((4096, 1, 2048, 2048), 4), ((65536, 1, 256, 256), 4), ((2048, 64, 128, 128), 2)],
)
def test_large_cubes_have_few_files_one_level_and_whole_spectra_in_each(shape: Any, itemsize: int) -> None:
    (level,) = plan_levels(AXES, shape, itemsize)
    files = int(np.prod(level.grid))
    assert files <= 4096
    assert level.grid[0] == 1
    assert np.prod(level.file_shape) * itemsize <= omezarr_layout.SLAB_BYTES
    assert level.chunks[0] < shape[0]
    assert np.prod(level.chunks) <= 1 << 17


class Endless:
    """A cube that exists only where it is read; remembers the largest piece asked for and counts reads of a place."""

    dtype = np.dtype("u2")

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.largest, self.samples = shape, 0, 0

    def __getitem__(self, key: Any) -> Any:
        y, x = key[-2:]
        piece = np.ones((self.shape[0], y.stop - y.start, x.stop - x.start), "u2")
        self.largest, self.samples = max(self.largest, piece.nbytes), self.samples + piece.size
        return piece


def test_memory_does_not_grow_with_the_number_of_places(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omezarr_layout, "SLAB_BYTES", 1 << 20)
    monkeypatch.setattr(omezarr_spectrum, "SLAB_BYTES", 1 << 20)
    monkeypatch.setattr(omezarr_layout, "MAX_FILES_PER_LEVEL", 10)
    source = Endless((512, 1, 128, 256))
    tracemalloc.start()
    write(tmp_path / "s.zarr", source, threads=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert source.largest <= 1 << 20
    assert source.samples == np.prod(source.shape), "every sample is read once"
    assert peak < 12 << 20, f"{peak} bytes for a cube of {2 * np.prod(source.shape)}"
    assert read_sum_spectrum(tmp_path / "s.zarr").tolist() == [128 * 256] * 512


def test_a_stop_in_the_middle_leaves_nothing(tmp_path: Any) -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s.zarr", counts((20, 1, 40, 40)), progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_values_carry_the_signal_between_channels_and_places() -> None:
    cube = counts((4, 1, 2, 2))
    value = ImageValue("i", "spectrum", cube, AXES, SPACING, signal=(energy(4),))
    assert value.signal[0].unit == "keV"
    with pytest.raises(ValueError, match="in the order"):
        ImageValue("i", "spectrum", cube, ("z", "e", "y", "x"), SPACING)
