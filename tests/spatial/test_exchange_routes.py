"""Transforms and layers for other programs, over REST: out, in, and read by those programs."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from analyses.sdk.spatial import apply, invert
from apps.spatial.models import Frame, Landmark, Transform
from tests.factories import MountFactory, ProjectFactory, SpecimenFactory, TransformFactory, UserFactory, member
from tests.spatial.places import join, make_image, moved

pytestmark = pytest.mark.django_db
POINT = (12.5, -3.0, 700.0)


@pytest.fixture
def specimen(db):
    return SpecimenFactory()


@pytest.fixture
def transform(specimen):
    """An affine map with a turn, a shear and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [10, -20, 35], degrees=True).as_matrix() @ np.diag([1.1, 0.9, 1.0])
    matrix[:3, 3] = [1500.25, -20.5, 3.125]
    frames = [MountFactory(specimen=specimen).frame for _ in range(2)]
    return TransformFactory(source=frames[0], target=frames[1], kind="affine", matrix=matrix.ravel().tolist())


@pytest.fixture
def client(as_user, specimen):
    return as_user(specimen.project.created_by)


def exported(client, transform, tmp_path, direction=""):
    query = f"?direction={direction}" if direction else ""
    answer = client.get(f"/api/v1/transforms/{transform.pk}/itk/{query}")
    assert answer.status_code == 200, answer.content
    assert answer["Content-Disposition"] == f'attachment; filename="transform-{transform.pk}.tfm"'
    path = tmp_path / "a.tfm"
    path.write_bytes(answer.content)
    return answer.content.decode(), sitk.ReadTransform(str(path))


def posted(client, transform, **change):
    body = {"source": str(transform.source_id), "target": str(transform.target_id), "format": "itk"} | change
    return client.post("/api/v1/transforms/import/", body, format="json")


def test_simpleitk_takes_source_points_to_the_target(client, transform, tmp_path):
    text, read = exported(client, transform, tmp_path)
    expected = apply(np.reshape(transform.matrix, (4, 4)), [POINT])[0]
    assert read.TransformPoint(POINT) == pytest.approx(tuple(expected), rel=1e-12)
    for words in (f"frame {transform.source_id} to frame {transform.target_id}", "micrometres", "LPS", "points:"):
        assert words in text


def test_the_resampling_form_takes_output_points_to_the_input(client, transform, tmp_path):
    text, read = exported(client, transform, tmp_path, "resampling")
    expected = apply(invert(np.reshape(transform.matrix, (4, 4))), [POINT])[0]
    assert read.TransformPoint(POINT) == pytest.approx(tuple(expected), rel=1e-12)
    assert "output" in text


@pytest.mark.parametrize("direction", ["points", "resampling"])
def test_what_goes_out_comes_back(client, transform, tmp_path, direction):
    text, _ = exported(client, transform, tmp_path, direction)
    answer = posted(client, transform, file=text, direction=direction, reason="back from the other program")
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert np.ravel(told["matrix"]) == pytest.approx(transform.matrix, rel=1e-12, abs=1e-9)
    assert (told["kind"], told["method"], told["status"]) == ("affine", "registration", "candidate")
    assert told["reason"].startswith("back from the other program; read from an ITK transform file in um, sha256 ")


def test_a_file_that_simpleitk_wrote_in_millimetres(client, transform, tmp_path):
    made = sitk.Euler3DTransform((10.0, 20.0, 30.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    path = tmp_path / "b.tfm"
    sitk.WriteTransform(made, str(path))
    told = posted(client, transform, file=path.read_text(), unit="mm").json()
    point = (5.0, 6.0, 7.0)
    mapped = apply(np.array(told["matrix"]), [np.multiply(point, 1e3)])[0]
    assert mapped == pytest.approx(np.multiply(made.TransformPoint(point), 1e3))
    assert told["kind"] == "rigid"


def test_landmarks_of_bigwarp_become_landmarks_and_a_fit(client, transform):
    rng = np.random.default_rng(4)
    turn = Rotation.from_euler("z", 12, degrees=True).as_matrix()
    points = rng.uniform(0, 90, (6, 3))
    there = points @ turn.T + [4.0, -7.0, 2.0]
    lines = [
        f'"Pt-{n}","{"false" if n == 5 else "true"}",' + ",".join(f'"{v!r}"' for v in [*map(float, p), *map(float, q)])
        for n, (p, q) in enumerate(zip(points * 1e3, there * 1e3, strict=True))
    ]
    answer = posted(client, transform, format="bigwarp", file="\n".join(lines), unit="nm", kind="rigid")
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert np.allclose(np.array(told["matrix"])[:3, :3], turn)
    assert (told["method"], len(told["landmarks"])) == ("landmarks", 6)
    assert told["landmarks"][5]["state"] == "rejected"
    assert told["landmarks"][0]["source"] == pytest.approx(points[0])
    assert told["residual_um"] < 1e-9


TRANSLATION = "#Insight Transform File V1.0\nTransform: TranslationTransform_double_3_3\nParameters: 1 2 3\n"
PAIRS = "a,true,0,0,1,1\nb,true,9,0,10,1\nc,true,0,9,1,10\n"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"file": "no transform"}, "file"),
        ({"file": TRANSLATION.replace("1 2 3", "1 2")}, "file"),
        ({"file": TRANSLATION.replace("1 2 3", "1 2 nan")}, "file"),
        ({"file": TRANSLATION.replace("Translation", "BSpline")}, "file"),
        ({"file": TRANSLATION, "unit": "inch"}, "unit"),
        ({"file": TRANSLATION, "direction": "sideways"}, "direction"),
        ({"file": TRANSLATION, "kind": "reflection"}, "matrix"),
        ({"file": TRANSLATION, "format": "elastix"}, "format"),
        ({"file": PAIRS, "format": "bigwarp", "kind": "rigid"}, "unit"),
        ({"file": PAIRS, "format": "bigwarp", "unit": "um"}, "kind"),
        ({"file": PAIRS + "d,maybe,1,1,2,2\n", "format": "bigwarp", "unit": "um", "kind": "rigid"}, "file"),
        ({"file": PAIRS[:14], "format": "bigwarp", "unit": "um", "kind": "rigid"}, "landmarks"),
        ({"file": TRANSLATION, "colour": "red"}, "colour"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_stores_nothing(client, transform, change, field):
    before = Transform.objects.count(), Landmark.objects.count()
    answer = posted(client, transform, **change)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field]), answer.content
    assert (Transform.objects.count(), Landmark.objects.count()) == before


def test_who_may(as_user, transform):
    stranger, viewer = as_user(UserFactory()), as_user(member(transform.project, "viewer"))
    assert stranger.get(f"/api/v1/transforms/{transform.pk}/itk/").status_code == 404
    assert viewer.get(f"/api/v1/transforms/{transform.pk}/itk/").status_code == 200
    assert viewer.get(f"/api/v1/transforms/{transform.pk}/itk/?direction=up").status_code == 400
    hidden = posted(stranger, transform, file=TRANSLATION)
    assert (hidden.status_code, list(hidden.json()["errors"])) == (400, ["source"])
    assert posted(viewer, transform, file=TRANSLATION).status_code == 403
    assert Transform.objects.count() == 1


def test_layers_of_one_frame_lie_on_each_other_in_the_order_of_napari(client, specimen):
    """napari's world is (z, y, x): index (z, y, x) of both layers leads to the same um there."""
    fixed = make_image(specimen, (4, 20, 30), (2.0, 1.0, 0.5))
    moving = make_image(specimen, (1, 20, 30), (1.0, 0.25, 0.25))
    quarter = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    join(moving.frame, fixed.frame, moved((5.0, 6.0, 4.0), quarter), 0.1)
    answer = client.get(f"/api/v1/frames/{fixed.frame_id}/napari/?images={fixed.pk},{moving.pk}")
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["frame"], told["length_unit"]) == (str(fixed.frame_id), "um")
    own, other = (np.array(layer["layer"]["affine"]) for layer in told["layers"])
    assert np.allclose(own, np.diag([2.0, 1.0, 0.5, 1.0]))
    # the sample 8 along x and 4 along y lies at (2, 1, 0) um, turned (-1, 2, 0), moved (4, 8, 4)
    assert other @ [0, 4, 8, 1] == pytest.approx([4, 8, 4, 1])
    assert told["layers"][1]["layer"]["axis_labels"] == ["z", "y", "x"]
    assert told["layers"][1]["u95_um"] == pytest.approx(0.28, abs=0.01)


def test_layers_that_cannot_be(client, specimen):
    image = make_image(specimen, (1, 20, 30), (1.0, 1.0, 1.0))
    apart = MountFactory(specimen=specimen).frame
    elsewhere = make_image(SpecimenFactory(project=ProjectFactory()), (1, 20, 30), (1.0, 1.0, 1.0))
    base = f"/api/v1/frames/{image.frame_id}/napari/"
    assert client.get(f"/api/v1/frames/{apart.pk}/napari/?images={image.pk}").json()["code"] == "no_path"
    for query, status in (("", 400), ("?images=", 400), ("?images=none", 400), (f"?images={elsewhere.pk}", 400)):
        assert client.get(base + query).status_code == status, query
    assert client.get(f"{base}?images={','.join([str(image.pk)] * 51)}").status_code == 400
    assert Frame.objects.filter(pk=image.frame_id).exists()
