"""Real TIFF files of the shared data: samples, shapes and lengths as their ``expected.json`` says."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from apps.imaging.readers import read

FILES = [
    "xct/fibers_150x150x150.tif",
    "xct/cement_128x128x128.tif",
    "xct/100_fiberform.tif",
    "fib-sem/NMC_lr_input.tif",
    "lm-timeseries/WoundHealing_01.tif",
    "lm-timeseries/WoundHealing_02.tif",
    "lm-timeseries/WoundHealing_03.tif",
    "pair-concrete-xray-neutron/concrete_x-ray-bin16.tif",
    "pair-concrete-xray-neutron/concrete_neutron-bin16.tif",
    "czi/FOV7_HV110_P0500510000.ome.tiff",
]
# Calibrated by the header of their vendor; ``test_sem_real_files.py`` has all they say.
VENDOR = [
    "sem-zeiss/test_tiff_Zeiss_SEM_512pix.tif",
    "sem-fei/FEI-Helios-Ebeam-16bits.tif",
    "sem-fei/quanta_image.tif",
    "sem-tescan/tescan-pfib_dataZeroed.tif",
    "sem-zeiss/orion-zeiss_dataZeroed.tif",
    "fib-sem/SEM_Image-SliceImage-001.tif",
]


def load(folder, name):
    (expected,) = [item for item in json.loads((folder / "expected.json").read_text()) if item["file"] == name]
    (image,) = read(folder / name)
    return image, expected


def assert_samples(image, expected):
    (listed,) = expected["arrays"]
    data = np.ascontiguousarray(image.array[...])
    assert data.dtype.name == listed["dtype"]
    assert float(data.sum(dtype="i8" if data.dtype.kind == "i" else None)) == listed["sum"]
    if len(listed["shape"]) == 3 and image.axes[0] == "c":
        data = np.moveaxis(data[:, 0], 0, -1)
    assert [n for n in data.shape if n > 1] == listed["shape"]
    assert hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest() == listed["sha256"]


@pytest.mark.parametrize("name", FILES)
def test_samples_and_lengths(microscopy, name):
    image, expected = load(microscopy, name)
    assert_samples(image, expected)
    size = expected["expect"]["pixel_m"]
    found = [image.spacing_um[axis] for axis in "yx"]
    assert found == ([None, None] if size is None else pytest.approx([length * 1e6 for length in size]))
    assert image.spacing_um["z"] is None
    assert image.calibrated is (size is not None)


@pytest.mark.parametrize("name", VENDOR)
def test_samples_of_vendor_files_are_read_and_the_vendor_s_length_is_taken(microscopy, name):
    image, expected = load(microscopy, name)
    assert_samples(image, expected)
    assert image.calibrated
    wanted = [length * 1e6 for length in expected["expect"]["pixel_m"]]
    assert [image.spacing_um[axis] for axis in "yx"] == pytest.approx(wanted)


def test_without_its_side_car_a_jeol_image_has_samples_and_no_length(microscopy):
    image, expected = load(microscopy, "sem-jeol/2020-08-31/image000.tif")
    assert_samples(image, expected)
    assert not image.calibrated


def test_a_resolution_in_inches_is_no_calibration(microscopy):
    image, _ = load(microscopy, "xct/100_fiberform.tif")
    assert image.header["tags"]["282 XResolution"] == [100000000, 1000000]
    assert image.header["imagej"]["unit"] == "inch"
    assert image.spacing_um == {"z": None, "y": None, "x": None}
