"""Frames arise by themselves: the place of an image on its stage, from real files through the ingest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyses.sdk.spatial import apply
from apps.imaging.models import Image
from apps.imaging.services import calibrate_image, create_acquisition, receive_files, start_ingest
from apps.provenance.models import Edge
from apps.spatial.models import Mount, Transform
from apps.spatial.services import accept_transform, withdraw_transform
from apps.spatial.targeting_origin import origins_of
from tests.factories import InstrumentFactory, MountFactory
from tests.imaging.conftest import client_of, ramp, tiff_bytes
from tests.readers.sem_files import FEI, fei_with, fibics, samples, write
from tests.study import run_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_keeper")]

SENSES = {"x": 1, "y": -1, "z": 1}
LEVEL = {"Stage": {**FEI["Stage"], "StageT": "0"}, "EBeam": {**FEI["EBeam"], "ScanRotation": "0"}}


@pytest.fixture
def microscopy(shared_data: Path) -> Path:
    found = shared_data / "microscopy"
    if not found.is_dir():
        pytest.skip(f"shared data: {found} does not exist")
    return found


@pytest.fixture
def mount(specimen: Any) -> Callable[..., Mount]:
    """A mount of the specimen on an instrument whose stage is recorded."""

    def make(modality: str = "sem", **facts: Any) -> Mount:
        return MountFactory(
            specimen=specimen, instrument=InstrumentFactory(modality=modality, stage_axes=SENSES | facts)
        )

    return make


@pytest.fixture
def brought(ada: Any, project: Any, specimen: Any) -> Callable[..., list[Image]]:
    """Files through the ingest, in a mount; the images that came of them."""

    def bring(on: Mount | None, *paths: Path, modality: str = "sem", overrides: Any = None, **more: Any) -> list[Image]:
        acquisition = create_acquisition(
            actor=ada, project=project, specimen=specimen, modality=modality, mount=on, **more
        )
        files = [(path.name, "application/octet-stream", [path.read_bytes()]) for path in paths]
        receive_files(actor=ada, acquisition=acquisition, files=files)
        run_job(start_ingest(actor=ada, acquisition=acquisition, overrides=overrides))
        return list(Image.objects.filter(acquisition=acquisition).order_by("created_at", "id"))

    return bring


def said(image: Image) -> dict[str, Any]:
    return image.facts["stage_placement"]


def stage_transform(image: Image) -> Transform:
    return Transform.objects.get(source=image.calibrated_frame or image.frame, method="stage")


@pytest.mark.parametrize(
    ("files", "centre", "reading"),
    [
        # the data bar is cut off: 442 of 471, 960 of 1024, 600 of 640, 1280 of 1578
        (
            ["sem-jeol/2020-08-31/image000.tif", "sem-jeol/2020-08-31/image000.txt"],
            (639.5, 479.5),
            (30652.5, -2613.5, 10546.5),
        ),
        (["sem-fei/FEI-Helios-Ebeam-16bits.tif"], (255.5, 220.5), (25.76, -194.177, 7965.0)),
        (["sem-zeiss/test_tiff_Zeiss_SEM_512pix.tif"], (255.5, 191.5), (62996.1, 65316.8, 44678.0)),
        (["sem-tescan/tescan-pfib_dataZeroed.tif"], (639.5, 639.5), (4072.93, 16073.298, 6311.907)),
        (["czi/Al2O3_SE_020_sp.czi"], (1023.5, 767.5), (48471.0, 49975.0, 36978.0)),
    ],
    ids=["jeol", "fei", "zeiss", "tescan", "czi"],
)
def test_the_middle_of_the_specimen_lies_where_the_file_says(microscopy, mount, brought, files, centre, reading):
    on = mount(image_shift_x=1, image_shift_y=1)
    (image,) = brought(on, *(microscopy / file for file in files))
    transform = stage_transform(image)
    assert (transform.status, transform.kind, transform.target_id) == ("candidate", "rigid", on.frame_id)
    steps = np.array([image.spacing["x"]["value"], image.spacing["y"]["value"]])
    shift = [image.facts.get(f"image_shift_{axis}", {}).get("value", 0.0) for axis in "xy"]
    place = apply(np.reshape(transform.matrix, (4, 4)), [[*(centre * steps), 0.0]])[0]
    assert place == pytest.approx([reading[0] + shift[0], -reading[1] + shift[1], reading[2]], abs=1e-6)
    assert transform.facts["stage"]["errors"]["u_x_um"] == 25
    assert said(image)["transform"] == str(transform.pk)
    assert [state.pk for state in transform.valid_states.all()] == [image.state_id]


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("sem-fei/FEI-Helios-navcam.tif", "no_scale", "no scale"),
        ("sem-fei/quanta_image.tif", "tilted", "tilted by 0.6964 degrees"),
        ("fib-sem/SEM_Image-SliceImage-001.tif", "tilted", "tilted by 19.3 degrees"),
        ("txrm/txrm_test_chip_tomo.txrm", "tilt_unknown", "tilt_min_deg"),
        ("eds-velox/fei_emd_image.emd", "rotation_unknown", "rotation_min_deg"),
        ("xct/cement_128x128x128.tif", "no_position", "neither the file"),
    ],
)
def test_what_is_not_known_is_a_hint_and_no_transform(microscopy, mount, brought, ada, file, code, words):
    image = brought(mount(), microscopy / file)[0]
    hint = said(image)
    if code == "tilt_unknown":  # a series of angles has no one place, whatever the tilt
        code, words = "several_places", "several angles"
    assert (hint["code"], hint["transform"]) == (code, None)
    assert words in hint["value"]
    assert not Transform.objects.filter(method="stage").exists()
    told = client_of(ada).get(f"/api/v1/images/{image.pk}/").json()
    assert told["stage"] == {"transform": None, "mount": hint["mount"], "code": code, "reason": hint["value"]}


def test_a_tilted_stage_is_accounted_for_where_it_is_recorded(microscopy, mount, brought):
    (image,) = brought(
        mount(tilt=1, tilt_axis="x"), microscopy / "fib-sem/SEM_Image-SliceImage-001.tif", modality="fib_sem"
    )
    transform = stage_transform(image)
    assert transform.kind == "affine"
    stretch = np.linalg.norm(np.reshape(transform.matrix, (4, 4))[:3, 1])
    assert stretch == pytest.approx(1 / np.cos(np.radians(19.300140624761294)))
    # its beam shift of 7.4 um has no recorded sense
    assert transform.facts["stage"]["errors"]["u_x_um"] == pytest.approx(np.hypot(25, np.hypot(0.00453441, 7.39361)))


def test_velox_on_a_stage_that_does_not_turn_needs_the_sense_of_its_scan(microscopy, mount, brought):
    fixed = {"rotation_min_deg": 0, "rotation_max_deg": 0}
    file = microscopy / "eds-velox/fei_emd_image.emd"
    (image,) = brought(mount("stem", **fixed), file, modality="stem")
    assert said(image)["code"] == "scan_rotation"
    (image,) = brought(mount("stem", scan_rotation=1, **fixed), file, modality="stem")
    matrix = np.reshape(stage_transform(image).matrix, (4, 4))
    assert np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])) == pytest.approx(95.0)


def test_scenes_lie_where_their_centres_are(microscopy, mount, brought):
    """Light microscopy: neither rotation nor tilt, no height; three places of one acquisition."""
    images = brought(mount("light"), microscopy / "czi/S3_1Pos_2Mosaic_T1_Z1_CH1.czi", modality="light")
    for image in images:
        x, y = image.facts["scene_center"]["value"]
        middle = (np.array(image.shape[:-3:-1]) - 1) / 2 * 1.6
        transform = stage_transform(image)
        assert apply(np.reshape(transform.matrix, (4, 4)), [[*middle, 0.0]])[0] == pytest.approx([x, -y, 0])
        assert transform.facts["stage"]["errors"]["u_z_um"] == 1000


def test_a_fibics_file_brings_its_own_map(tmp_path, mount, brought):
    # U = (0.3, 0.4) and V = (0.4, -0.3) in readings: the y of this stage falls, so rows run up and columns up too
    scan = "<Ux>0.3</Ux><Uy>0.4</Uy><Vx>-0.4</Vx><Vy>0.3</Vy><ScanRot>53.13</ScanRot>"
    stage = "<Stage><X>100</X><Y>200</Y><Z>50</Z><Rot>5</Rot><Tilt>0</Tilt></Stage>"
    path = write(tmp_path / "a.tif", [{51023: fibics(scan, more=stage)}])
    (image,) = brought(mount(), path)
    matrix = np.reshape(stage_transform(image).matrix, (4, 4))
    assert apply(matrix, [[7.5 * 0.5, 5.5 * 0.5, 0]])[0] == pytest.approx([100, -200, 50])
    assert apply(matrix, [[8.5 * 0.5, 5.5 * 0.5, 0]])[0] == pytest.approx([100.3, -200.4, 50])
    assert apply(matrix, [[7.5 * 0.5, 6.5 * 0.5, 0]])[0] == pytest.approx([99.6, -200.3, 50])


def test_unknown_senses_give_the_words_that_targeting_gives(tmp_path, specimen, brought):
    on = MountFactory(specimen=specimen)
    (image,) = brought(on, write(tmp_path / "a.tif", [{34682: fei_with(**LEVEL)}]))
    assert said(image)["code"] == "stage_sense_unknown"
    assert "record stage_axes.x, stage_axes.y, stage_axes.z" in said(image)["value"]


def test_a_position_without_a_mount_is_a_hint_and_no_position_without_one_is_nothing(tmp_path, brought):
    (image,) = brought(None, write(tmp_path / "a.tif", [{34682: fei_with(**LEVEL)}]))
    assert (said(image)["code"], said(image)["mount"]) == ("no_mount", None)
    plain = tmp_path / "b.tif"
    plain.write_bytes(tiff_bytes(ramp((12, 12))))
    (image,) = brought(None, plain)
    assert "stage_placement" not in image.facts


def test_what_was_typed_stands_in_for_what_the_file_lacks(tmp_path, mount, brought):
    plain = tmp_path / "b.tif"
    plain.write_bytes(tiff_bytes(samples()))
    typed = {"x": 10.0, "y": 20.0, "z": 30.0, "rotation": 0.0, "tilt": 0.0}
    scale = {"spacing_um": {"x": 2.0, "y": 2.0}, "spacing_u_um": 0.01}
    (image,) = brought(mount(), plain, position=typed, overrides=scale)
    transform = stage_transform(image)
    assert transform.facts["stage"]["reading_from"] == "user"
    assert apply(np.reshape(transform.matrix, (4, 4)), [[15.0, 11.0, 0.0]])[0] == pytest.approx([10, -20, 30])


def test_a_frame_holds_at_the_pose_of_its_first_image_until_that_is_withdrawn(tmp_path, mount, brought, ada):
    on = mount()
    first = write(tmp_path / "a.tif", [{34682: fei_with(**LEVEL)}])
    turned = {**LEVEL, "Stage": {**LEVEL["Stage"], "StageR": "2"}}
    second = write(tmp_path / "b.tif", [{34682: fei_with(**turned)}], arrays=[samples(seed=9)])
    (image,) = brought(on, first)
    (other,) = brought(on, second)
    assert said(other)["code"] == "other_pose"
    withdraw_transform(actor=ada, transform=stage_transform(image), reason="homed anew")
    third = write(tmp_path / "c.tif", [{34682: fei_with(**turned)}], arrays=[samples(seed=10)])
    (again,) = brought(on, third)
    assert said(again)["code"] == "placed"


def test_the_transform_is_recorded_as_an_act_on_behalf_of_who_brought_the_file(tmp_path, mount, brought, ada):
    on = mount()
    (image,) = brought(on, write(tmp_path / "a.tif", [{34682: fei_with(**LEVEL)}]))
    transform = stage_transform(image)
    activity = Edge.objects.get(relation="wasGeneratedBy", subject=transform.pk).object_id
    used = set(Edge.objects.filter(relation="used", subject=activity).values_list("object", flat=True))
    assert {on.pk, on.instrument_id, image.frame_id} <= used
    accept_transform(actor=ada, transform=transform, reason="seen in the overview")
    told = client_of(ada).get(f"/api/v1/transforms/{transform.pk}/").json()
    assert (told["status"], told["facts"]["stage"]["pose"]["tilt"]) == ("accepted", 0)


def test_a_scale_typed_later_places_the_new_version(tmp_path, mount, brought, ada):
    sections = {**LEVEL, "Scan": {"Dwelltime": "1e-005", "PixelWidth": "0", "PixelHeight": "0"}}
    sections["EBeam"] = {"HV": "5000", "ScanRotation": "0", "WD": "0.004", "HFW": "0", "VFW": "0"}
    (image,) = brought(mount(), write(tmp_path / "a.tif", [{34682: fei_with(**sections)}]))
    assert said(image)["code"] == "no_scale"
    new = calibrate_image(
        actor=ada, image=image, spacing_um={"x": 1.0, "y": 1.0}, spacing_u_um=0.01, reason="stage micrometer"
    )
    assert said(new)["code"] == "placed"
    image.refresh_from_db()
    assert said(image)["code"] == "no_scale"
    assert stage_transform(new).target_id == new.acquisition.mount.frame_id


def test_the_pose_of_the_stage_is_known_to_targeting_from_the_file(tmp_path, mount, brought):
    (image,) = brought(mount(), write(tmp_path / "a.tif", [{34682: fei_with(**LEVEL)}]))
    origin = origins_of([image.frame_id])[image.frame_id]
    assert (origin.rotation, origin.tilt) == (pytest.approx(57.29578), 0)
