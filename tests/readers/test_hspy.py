"""HyperSpy: which axes are places, which are the signal, and in which units."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from apps.imaging.readers import MetadataError, UnsafePathError, UnsupportedFormatError, read
from tests.readers import expected
from tests.readers.damage import Damage, Reader, damaged


@pytest.fixture
def folder(shared_data):
    return shared_data / "microscopy" / "hspy"


@pytest.fixture
def made(folder, tmp_path):
    """A file with real counts under other axes: ``(name, units, scale, navigate)`` of each."""

    def make(shape, axes, signal_type="", **attributes):
        with h5py.File(folder / "EDS_SEM_TM002.hspy") as real:
            counts = np.resize(real["Experiments/EDS SEM Spectrum/data"][:], shape)
        path = tmp_path / "a.hspy"
        with h5py.File(path, "w") as root:
            root.attrs.update(file_format="HyperSpy", file_format_version="3.3")
            group = root.create_group("Experiments/it")
            group["data"] = counts
            for at, (name, units, scale, navigate) in enumerate(axes):
                said = {"name": name, "units": units, "scale": scale, "offset": 0.0, "navigate": navigate}
                group.create_group(f"axis-{at}").attrs.update(said | {"size": shape[at]} | attributes)
            group.create_group("metadata/Signal").attrs["signal_type"] = signal_type
        return path, counts

    return make


@pytest.mark.parametrize("name", ["EDS_SEM_TM002.hspy", "4d_stem.hspy"])
def test_all_expected_values_and_samples_come_out(shared_data, name):
    [entry] = [e for e in expected.entries(shared_data / "microscopy") if e.file == f"hspy/{name}"]
    images = expected.load(shared_data / "microscopy", entry)
    assert expected.wrong_values(images, entry) == []
    assert expected.missing_arrays(images, entry) == []


def test_only_the_scanned_axes_of_a_diffraction_set_are_places(folder):
    [image] = read(folder / "4d_stem.hspy")
    assert image.kind == "spectrum"
    assert image.axes == ("e", "z", "y", "x")
    assert image.shape == (2000, 1, 20, 20)
    assert image.spacing_um == {"z": None, "y": 0.0005, "x": 0.0005}
    assert [(a.name, a.size, a.step, a.unit) for a in image.signal] == [
        ("ky", 50, 2.0, "1/nm"),
        ("kx", 40, 2.0, "1/nm"),
    ]
    assert image.modality == "stem"
    assert image.name == "4d_stem"


def test_the_flattened_signal_is_in_c_order_wherever_it_is_cut(folder):
    [image] = read(folder / "4d_stem.hspy")
    with h5py.File(folder / "4d_stem.hspy", locking=False) as root:
        stored = root["Experiments/__unnamed__/data"][:]
    assert np.array_equal(image.array[77:131, 0, 3:5, 7], stored[3:5, 7].reshape(2, -1)[:, 77:131].T)
    assert np.array_equal(image.array[3 * 40 + 11, 0], stored[:, :, 3, 11])


def test_a_point_spectrum_has_one_place_and_no_spacing(folder):
    [image] = read(folder / "EDS_SEM_TM002.hspy")
    assert image.shape == (1024, 1, 1, 1)
    assert image.kind == "spectrum"
    assert image.modality == "eds"
    [energy] = image.signal
    assert (energy.name, energy.offset, energy.step, energy.unit) == ("energy", -0.1, 0.01, "keV")
    assert image.facts["instrument"]["value"] == "Nvision40 Carl Zeiss"
    assert image.facts["live_time"]["value"] == 19.997292
    assert image.facts["azimuth_angle"]["value"] == 0
    assert "beam_current" not in image.facts  # 0.0 in the file


def test_units_of_the_axes_may_differ(made):
    path, counts = made((4, 5, 8), [("y", "Å", 2.0, True), ("x", "nm", 1.0, True), ("E", "eV", 5.0, False)], "EDS_TEM")
    [image] = read(path)
    assert image.spacing_um == {"z": None, "y": 0.0002, "x": 0.001}
    assert image.signal[0].unit == "keV"
    assert image.signal[0].step == 0.005
    assert np.array_equal(image.array[:, 0], np.moveaxis(counts, -1, 0))


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_scale_that_is_no_distance_is_absent(made, scale):
    path, _ = made((4, 5, 8), [("y", "nm", scale, True), ("x", "nm", 1.0, True), ("E", "keV", 0.01, False)], "EDS_SEM")
    [image] = read(path)
    assert image.spacing_um == {"z": None, "y": None, "x": 0.001}
    assert not image.calibrated


def test_a_picture_has_no_signal_axis_and_a_series_has_times(made):
    path, counts = made((3, 4, 5), [("time", "s", 1.0, True), ("y", "um", 0.5, False), ("x", "um", 0.5, False)])
    [image] = read(path)
    assert image.kind == "intensity"
    assert image.axes == ("t", "z", "y", "x")
    assert image.signal == ()
    assert np.array_equal(image.array[:, 0], counts)


def test_losses_of_energy_keep_their_unit(made):
    path, _ = made((4, 8), [("x", "nm", 1.0, True), ("Energy loss", "eV", 0.5, False)], "EELS")
    [image] = read(path)
    assert image.axes == ("e", "z", "y", "x")
    assert image.shape == (8, 1, 1, 4)
    assert (image.signal[0].name, image.signal[0].step, image.signal[0].unit) == ("energy_loss", 0.5, "eV")


def test_a_signal_that_is_not_evenly_spaced_is_refused(made):
    path, _ = made((4, 8), [("x", "nm", 1.0, True), ("E", "eV", 0.5, False)], "EELS", _type="DataAxis")
    with pytest.raises(UnsupportedFormatError, match="not evenly spaced"):
        read(path)


def test_more_places_than_an_image_has_are_refused(made):
    path, _ = made((2, 2, 2, 2, 2), [(n, "nm", 1.0, True) for n in "abcd"] + [("e", "eV", 1.0, False)])
    with h5py.File(path, "r+") as root:
        group = root["Experiments/it"]
        del group["data"]
        group["data"] = np.zeros((2,) * 6)
        group.create_group("axis-5").attrs.update(name="f", units="eV", scale=1.0, size=2, navigate=False)
        group["axis-4"].attrs.update(units="nm", navigate=True)
    with pytest.raises(UnsupportedFormatError, match="axes of places"):
        read(path)


def test_an_axis_at_odds_with_the_data_is_refused(made):
    path, _ = made((4, 8), [("x", "nm", 1.0, True), ("E", "eV", 0.5, False)], size=5)
    with pytest.raises(MetadataError, match="states 5 samples"):
        read(path)


def test_a_link_out_of_the_file_is_refused(made, tmp_path):
    path, _ = made((4, 8), [("x", "nm", 1.0, True), ("E", "eV", 0.5, False)])
    with h5py.File(path, "r+") as root:
        root["Experiments/it/metadata/out"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(UnsafePathError):
        read(path)


def test_a_signal_of_ragged_objects_is_refused(made):
    path, _ = made((4, 8), [("x", "nm", 1.0, True), ("E", "eV", 0.5, False)])
    with h5py.File(path, "r+") as root:
        del root["Experiments/it/data"]
        root["Experiments/it"].create_dataset("data", (4, 8), h5py.vlen_dtype("f8"))
    with pytest.raises(UnsupportedFormatError, match="numbers"):
        read(path)


def test_an_attribute_of_the_root_on_which_the_library_dies_is_a_refusal(folder, tmp_path):
    """Found by the damage run: the address of the texts of the root, flipped, led libhdf5 out of its memory."""
    path = shutil.copyfile(folder / "EDS_SEM_TM002.hspy", tmp_path / "a.hspy")
    with Reader() as reader, damaged(path, Damage("flip", 857)):
        ended = reader.read(path, {}, Damage("flip", 857))
    assert (ended.outcome, "died on it" in ended.detail) == ("refused", True)
