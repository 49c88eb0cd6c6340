"""Images of one file: one frame on one grid, an exact transform from the file's own steps on two."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analyses.sdk.spatial import apply
from apps.imaging.grids import relation, same_grid
from apps.imaging.models import Image
from apps.imaging.services import create_acquisition, receive_files, start_ingest
from apps.provenance.models import Edge
from apps.spatial.models import Frame, Transform
from apps.spatial.paths import find_path, map_points
from tests.imaging.conftest import client_of
from tests.study import run_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_keeper")]
needs_rsciio = pytest.mark.skipif(
    importlib.util.find_spec("rsciio") is None, reason="rsciio: not installed; it comes with the extra vendor"
)


@pytest.fixture
def brought(shared_data: Path, ada: Any, project: Any, specimen: Any) -> Callable[..., list[Image]]:
    """Real files of one acquisition through the ingest."""

    def bring(*names: str, modality: str = "sem") -> list[Image]:
        paths = [path for name in names for path in sorted((shared_data / "microscopy").glob(name)) if path.is_file()]
        if not paths:
            pytest.skip(f"shared data: no {names}")
        acquisition = create_acquisition(actor=ada, project=project, specimen=specimen, modality=modality)
        files = [(path.name, "application/octet-stream", [path.read_bytes()]) for path in paths]
        receive_files(actor=ada, acquisition=acquisition, files=files)
        run_job(start_ingest(actor=ada, acquisition=acquisition))
        return list(Image.objects.filter(acquisition=acquisition).order_by("created_at", "id"))

    return bring


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["eds-bruker/P45_the_default_job.bcf"], marks=needs_rsciio),
        pytest.param(["eds-bruker/L2083_0.bcf"], marks=needs_rsciio),
        ["eds-velox/fei_emd_si.emd"],
        ["eds-velox/fei_SI_SuperX-HAADF_10frames_10x50.emd"],
        ["eds-jeol/rawdata.ASW", "eds-jeol/Sample/**/*"],
    ],
    ids=["P45", "L2083", "velox", "superx", "jeol"],
)
def test_image_and_map_of_one_grid_stand_in_one_frame(brought, names):
    image, cube = brought(*names)
    assert (image.kind, cube.kind) == ("intensity", "spectrum")
    assert image.frame_id is not None
    assert cube.frame_id == image.frame_id
    assert Frame.objects.filter(kind="image").count() == 1
    assert not Transform.objects.exists()


@needs_rsciio
def test_a_map_lies_in_its_overview_where_the_file_marks_it(brought, ada):
    """The overview marks columns 472 to 521 and rows 362 to 411 as mapped; the library gives the map a wrong width."""
    picture, overview, cube = brought("eds-bruker/bcf_v2_50x50px.bcf")
    assert [image.shape[-2:] for image in (picture, overview, cube)] == [[50, 50], [825, 1100], [50, 50]]
    x, y = (overview.spacing[axis]["value"] for axis in "xy")
    for image in (picture, cube):
        step = image.spacing["x"]["value"], image.spacing["y"]["value"]
        first, last = [0.0, 0.0, 0.0], [49 * step[0], 49 * step[1], 0.0]
        mapped = map_points(image.frame, overview.frame, [first, last])
        assert np.allclose(mapped.points, [[472 * x, 362 * y, 0], [521 * x, 411 * y, 0]], rtol=0, atol=1e-9)
        assert not mapped.covariances.any()
    kinds = {t.source_id: t.kind for t in Transform.objects.all()}
    assert kinds == {overview.frame_id: "translation", cube.frame_id: "affine"}
    transform = Transform.objects.get(source=cube.frame)
    assert (transform.method, transform.status) == ("geometry", "accepted")
    assert transform.no_residual_reason.startswith("the file states both on one grid")
    told = client_of(ada).get(f"/api/v1/transforms/{transform.pk}/").json()
    assert [decision["status"] for decision in told["decisions"]] == ["accepted"]
    activity = Edge.objects.get(relation="wasGeneratedBy", subject=transform.pk).object_id
    used = set(Edge.objects.filter(relation="used", subject=activity).values_list("object", flat=True))
    assert used == {cube.frame_id, picture.frame_id}


def test_scenes_of_one_stage_lie_as_their_centres_say(brought):
    """In whole samples, so to one sample; the transforms state the error of the stage."""
    scenes = brought("czi/S3_1Pos_2Mosaic_T1_Z1_CH1.czi", modality="light")
    middles = [(np.array(image.shape[:-3:-1]) - 1) / 2 * 1.6 for image in scenes]
    centres = [np.array(image.facts["scene_center"]["value"]) for image in scenes]
    for one in range(3):
        for other in range(3):
            if one == other:
                continue
            path = find_path(scenes[one].frame, scenes[other].frame)
            place = apply(path.matrix, [[*middles[one], 0.0]])[0][:2]
            assert place - middles[other] == pytest.approx(centres[one] - centres[other], abs=1.6)
    for transform in Transform.objects.all():
        assert (transform.method, transform.status, transform.kind) == ("geometry", "accepted", "translation")
        assert transform.covariance[3][3] == pytest.approx(8.0)


def test_one_image_of_a_file_is_joined_to_nothing(brought):
    (image,) = brought("czi/Al2O3_SE_020_sp.czi")
    assert image.frame_id is not None
    assert not Transform.objects.exists()


def described(**change: Any) -> dict[str, Any]:
    spacing = {axis: {"value": step} for axis, step in (("x", 0.5), ("y", 0.25))} | {"z": None}
    grid = {"field": "a", "origin": (0.0, 0.0), "step": (1.0, 1.0), "u_um": 0.0}
    given = {"file": "1", "axes": ["z", "y", "x"], "shape": [1, 8, 10], "spacing": spacing, "handedness": "unknown"}
    return given | {"grid": grid | change.pop("grid", {})} | change


def test_a_coarser_grid_of_the_field_is_met_sample_by_sample():
    coarse = {"x": {"value": 2.0}, "y": {"value": 1.0}, "z": None}
    other = described(grid={"origin": (1.5, 1.5), "step": (4.0, 4.0)}, spacing=coarse, shape=[1, 2, 2])
    matrix = relation(other, described())
    assert apply(matrix, [[0, 0, 0], [2.0, 1.0, 0]]) == pytest.approx(np.array([[0.75, 0.375, 0], [2.75, 1.375, 0]]))
    assert np.allclose(relation(described(), other), np.linalg.inv(matrix))
    assert not same_grid(other, described())


@pytest.mark.parametrize(
    "change",
    [
        {"file": "2"},
        {"grid": {"field": "b"}},
        {"spacing": {"x": {"value": 0.5}, "y": None, "z": None}},
        {"shape": [3, 8, 10]},
    ],
    ids=["another file", "another field", "no scale", "planes"],
)
def test_what_the_file_does_not_relate_is_not_related(change):
    assert relation(described(**change), described()) is None
    assert not same_grid(described(**change), described())
    assert not same_grid(described() | {"grid": None}, described())


@pytest.mark.parametrize(
    "change",
    [{"grid": {"u_um": 1.0}}, {"shape": [1, 8, 9]}, {"handedness": "left"}, {"grid": {"origin": (1.0, 0.0)}}],
    ids=["uncertain", "a part", "mirrored", "shifted"],
)
def test_one_frame_serves_only_samples_that_lie_on_each_other(change):
    assert not same_grid(described(**change), described())
    assert same_grid(described(), described())
