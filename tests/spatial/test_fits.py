"""Maps fitted to landmarks through the interface."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyses.sdk.spatial import apply
from apps.spatial.checks import transform_findings
from apps.spatial.models import FrameExtent, Landmark, Transform
from apps.spatial.pairs import Pair, held_out_check
from tests.factories import FrameFactory
from tests.sdk.test_spatial import affine, rotation

pytestmark = pytest.mark.django_db
URL = "/api/v1/transforms/"
TRUTH = affine(rotation((1, 2, 3), 0.6), (120.0, -40.0, 15.0))


@pytest.fixture
def frames():
    """Two frames of one specimen."""
    source = FrameFactory()
    return source, FrameFactory(specimen=source.specimen)


def pairs_of(matrix, count, *, noise=0.0, seed=0, **extra):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-100, 100, (count, 3))
    targets = apply(matrix, points) + rng.normal(size=(count, 3)) * noise
    return [{"source": p.tolist(), "target": q.tolist()} | extra for p, q in zip(points, targets, strict=True)]


def body(frames, landmarks, kind="rigid", **extra):
    ends = {"source": str(frames[0].pk), "target": str(frames[1].pk)}
    return ends | {"kind": kind, "method": "landmarks", "landmarks": landmarks} | extra


def test_six_pairs_give_matrix_residuals_covariance_and_what_a_left_out_pair_says(as_user, frames):
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 6, noise=0.5)
    made = client.post(URL, body(frames, pairs), format="json")
    assert made.status_code == 201, made.content
    answer = made.json()
    assert answer == client.get(f"{URL}{answer['id']}/").json()
    matrix = np.array(answer["matrix"])
    assert np.abs(apply(matrix, [0, 0, 0]) - apply(TRUTH, [0, 0, 0])).max() < 2.0
    recomputed = [np.linalg.norm(apply(matrix, p["source"]) - np.array(p["target"])) for p in pairs]
    np.testing.assert_allclose(answer["residuals_um"], recomputed, rtol=1e-9)
    assert answer["residual_um"] == pytest.approx(np.sqrt(np.mean(np.square(recomputed))))
    assert all(left > stays for left, stays in zip(answer["leave_one_out_um"], recomputed, strict=True))
    assert answer["degrees_of_freedom"] == 3 * 6 - 6
    covariance = np.array(answer["covariance"])
    assert np.linalg.matrix_rank(covariance, tol=1e-9 * covariance.max()) == 6
    assert answer["suspects"] == []
    assert answer["decomposition"]["angle_deg"] == pytest.approx(np.degrees(0.6), abs=1.0)
    assert not answer["decomposition"]["mirrored"]


def test_the_same_fit_is_shown_before_anything_is_stored(as_user, frames):
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 6, noise=0.5)
    asked = {k: v for k, v in body(frames, pairs).items() if k != "method"}
    shown = client.post(f"{URL}fit/", asked, format="json")
    assert shown.status_code == 200, shown.content
    assert not Transform.objects.exists()
    made = client.post(URL, body(frames, pairs), format="json").json()
    for name in ("matrix", "covariance", "residual_um", "residuals_um", "leave_one_out_um", "suspects", "facts"):
        assert shown.json()[name] == made[name], name


def test_a_fit_tells_the_error_it_predicts_and_grows_away_from_the_pairs(as_user, frames):
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 6, noise=0.5)
    middle = np.mean([pair["target"] for pair in pairs], axis=0)
    away = [(middle + np.array([distance, 0.0, 0.0])).tolist() for distance in (0.0, 100.0, 1000.0)]
    asked = {k: v for k, v in body(frames, pairs).items() if k != "method"}
    found = client.post(f"{URL}fit/", asked | {"predict_at": away}, format="json").json()
    near, further, furthest = found["predicted_u95_um"]
    assert near < further < furthest
    # GUM 5.1.2 by hand: the covariance of the mapped point, its longest half axis at 95 %
    covariance, matrix = np.array(found["covariance"]), np.array(found["matrix"])
    source = np.linalg.solve(matrix, [*away[2], 1.0])
    gain = np.kron(np.eye(3), source)
    largest = np.linalg.eigvalsh(gain @ covariance @ gain.T)[-1]
    assert furthest == pytest.approx(found["factor_95"] * np.sqrt(largest))
    assert found["factor_95"] == pytest.approx(np.sqrt(3 * stats.f.ppf(0.95, 3, found["degrees_of_freedom"])))
    assert found["decomposition"]["angle_deg"] == pytest.approx(np.degrees(0.6), abs=1.0)


def test_a_fit_without_covariance_predicts_no_error(as_user, frames):
    pairs = pairs_of(TRUTH, 3, noise=0.5)
    asked = {k: v for k, v in body(frames, pairs, kind="similarity").items() if k != "method"}
    client = as_user(frames[0].project.created_by)
    found = client.post(f"{URL}fit/", asked | {"predict_at": [[0, 0, 0]]}, format="json").json()
    assert found["covariance"] is None
    assert found["predicted_u95_um"] is None
    assert found["factor_95"] is None


@pytest.mark.parametrize("points", [[], [[0, 0]], [[0, 0, 1e300]], "none"])
def test_points_to_predict_at_that_are_none_are_refused(as_user, frames, points):
    asked = {k: v for k, v in body(frames, pairs_of(TRUTH, 6)).items() if k != "method"}
    client = as_user(frames[0].project.created_by)
    answer = client.post(f"{URL}fit/", asked | {"predict_at": points}, format="json")
    assert answer.status_code == 400
    assert next(iter(answer.json()["errors"])).startswith("predict_at")


def test_a_wrong_pair_is_pointed_out_and_rejecting_it_makes_a_new_version(as_user, frames):
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 8, noise=0.2)
    pairs[3]["target"][0] += 25.0
    former = client.post(URL, body(frames, pairs), format="json").json()
    assert former["suspects"] == [3]
    pairs[3] |= {"state": "rejected", "reason": "another grain"}
    better = client.post(URL, body(frames, pairs, supersedes=former["id"]), format="json").json()
    assert better["suspects"] == []
    assert better["residual_um"] < former["residual_um"] / 10
    assert better["landmarks"][3]["state"] == "rejected"
    assert better["landmarks"][3]["residual_um"] == pytest.approx(25.0, abs=2.0)
    assert better["leave_one_out_um"][3] is None
    again = client.get(f"{URL}{former['id']}/").json()
    assert again["superseded_by"] == better["id"]
    assert {k: v for k, v in again.items() if k != "superseded_by"} == {
        k: v for k, v in former.items() if k != "superseded_by"
    }


def test_four_exact_pairs_of_an_affine_map_tell_no_error_unless_theirs_is_given(as_user, frames):
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 4)
    bare = client.post(URL, body(frames, pairs, kind="affine"), format="json").json()
    assert (bare["covariance"], bare["degrees_of_freedom"]) == (None, None)
    assert "3" in bare["facts"]["fit"]["covariance_from"]
    stated = client.post(URL, body(frames, pairs_of(TRUTH, 4, u_um=0.5), kind="affine"), format="json").json()
    assert stated["covariance"] is not None
    assert stated["degrees_of_freedom"] is None


@pytest.mark.parametrize("u_um", [0.5, None])
def test_held_out_pairs_check_the_stated_error(as_user, frames, u_um):
    """Errors that are stated, or that the residuals tell: honest pairs agree, one that is far off does not."""
    client = as_user(frames[0].project.created_by)
    stated = {} if u_um is None else {"u_um": u_um}
    disagreed = 0
    for seed in range(6):
        pairs = pairs_of(TRUTH, 8, noise=0.5, seed=seed, **stated)
        held = [pair | {"state": "held_out"} for pair in pairs_of(TRUTH, 4, noise=0.5, seed=90 + seed, **stated)]
        made = client.post(URL, body(frames, pairs + held), format="json")
        said = made.json()["facts"]["held_out"]
        assert said["count"] == 4
        disagreed += not said["agrees"]
    assert disagreed <= 1
    held[0]["target"][2] += 30.0
    said = client.post(URL, body(frames, pairs + held), format="json").json()["facts"]["held_out"]
    assert said["agrees"] is False


def test_a_map_that_claims_to_be_exact_is_contradicted_by_any_miss(as_user, frames):
    client = as_user(frames[0].project.created_by)
    held = [{"source": [0, 0, 0], "target": [1000.0, 0, 0], "state": "held_out", "u_um": 0.1}]
    typed = {"matrix": np.eye(4).tolist(), "covariance": np.zeros((12, 12)).tolist(), "method": "manual"}
    said = client.post(URL, body(frames, held, **typed), format="json").json()["facts"]["held_out"]
    assert said["agrees"] is False
    del held[0]["u_um"]
    said = client.post(URL, body(frames, held, **typed), format="json").json()["facts"]["held_out"]
    assert "agrees" not in said


def test_a_mirrored_set_of_pairs_is_refused_for_an_affine_map(as_user, frames):
    pairs = [pair | {"target": [*pair["source"][:2], -pair["source"][2]]} for pair in pairs_of(TRUTH, 8)]
    answer = as_user(frames[0].project.created_by).post(URL, body(frames, pairs, kind="affine"), format="json")
    assert answer.status_code == 400
    assert "handedness" in answer.json()["detail"]


LINE = [{"source": [i * 10.0, 0, 1], "target": [i * 10.0, 5, 1]} for i in range(4)]
PLANE = [{"source": [x, y, 1.0], "target": [x, y, 2.0]} for x, y in ((0, 0), (10, 0), (0, 10), (10, 10), (5, 7))]


@pytest.mark.parametrize(
    ("kind", "landmarks", "field", "said"),
    [
        ("rigid", pairs_of(TRUTH, 2), "landmarks", "at least 3"),
        ("rigid", LINE, "landmarks", "line"),
        ("affine", PLANE, "landmarks", "plane"),
        ("affine", pairs_of(TRUTH, 3), "landmarks", "at least 4"),
        ("reflection", pairs_of(TRUTH, 6), "kind", "not fitted"),
        ("rigid", [p | {"state": "held_out"} for p in pairs_of(TRUTH, 6)], "landmarks", "there are 0"),
        ("rigid", [pairs_of(TRUTH, 1, u_um=1.0)[0], *pairs_of(TRUTH, 4)], "landmarks", "for all of them"),
    ],
)
def test_pairs_that_determine_no_map_are_refused_with_the_reason(as_user, frames, kind, landmarks, field, said):
    client = as_user(frames[0].project.created_by)
    answer = client.post(URL, body(frames, landmarks, kind=kind), format="json")
    assert answer.status_code == 400, answer.content
    assert said in answer.json()["errors"][field][0]
    assert not Transform.objects.exists()
    assert not Landmark.objects.exists()


def test_three_pairs_in_a_plane_suffice_for_a_rigid_map_in_space(as_user, frames):
    client = as_user(frames[0].project.created_by)
    assert client.post(URL, body(frames, PLANE[:3]), format="json").status_code == 201


def test_a_landmark_far_outside_of_the_image_is_refused(as_user, frames):
    FrameExtent.objects.create(frame=frames[0], x_min=-100, x_max=100, y_min=-100, y_max=100, z_min=-100, z_max=100)
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 5)
    pairs[2]["source"] = [250.0, 0.0, 0.0]
    assert client.post(URL, body(frames, pairs), format="json").status_code == 201
    pairs[2]["source"] = [0.0, 301.0, 0.0]
    answer = client.post(URL, body(frames, pairs), format="json")
    assert answer.status_code == 400
    assert "outside" in answer.json()["errors"]["landmarks.2.source"][0]


def test_a_residual_that_was_changed_is_found(as_user, frames):
    client = as_user(frames[0].project.created_by)
    made = client.post(URL, body(frames, pairs_of(TRUTH, 6, noise=0.5)), format="json").json()
    assert list(transform_findings()) == []
    Landmark.objects.filter(transform=made["id"], number=2).update(residual_um=0.001)
    Transform.objects.filter(pk=made["id"]).update(residual_um=0.001)
    found = list(transform_findings())
    assert len(found) == 2
    assert "pair 2" in found[0]


@pytest.mark.parametrize("planar", [False, True])
def test_many_held_out_pairs_are_judged_as_their_joint_covariance_says(planar):
    """Against the covariance of all misses written out: what they share is counted once."""
    rng = np.random.default_rng(2)
    flat = np.array([1.0, 1.0, 0.0 if planar else 1.0])
    axes = 2 if planar else 3
    root = rng.normal(size=(12, 6)) * np.tile([1e-3, 1e-3, 1e-3, 1.0], 3)[:, None] * np.repeat(flat, 4)[:, None]
    source = rng.uniform(-100, 100, (30, 3)) * flat
    errors = rng.uniform(0.3, 0.6, 30)
    target = apply(np.eye(4) + np.vstack([(root @ rng.normal(size=6)).reshape(3, 4), np.zeros(4)]), source)
    target += rng.normal(size=source.shape) * errors[:, None] * flat
    pairs = [
        Pair(p.tolist(), q.tolist(), float(u), "held_out", "") for p, q, u in zip(source, target, errors, strict=True)
    ]
    said = held_out_check(np.eye(4).ravel().tolist(), (root @ root.T).tolist(), pairs)
    gain = np.vstack([np.kron(np.eye(3), [*point, 1.0])[:axes] for point in source])
    spread = gain @ root @ root.T @ gain.T + np.diag(np.repeat(errors**2, axes))
    off = (source - target)[:, :axes].ravel()
    assert said["p_value"] == pytest.approx(stats.chi2.sf(off @ np.linalg.solve(spread, off), len(off)), rel=1e-6)
    assert said["agrees"]


def test_ten_thousand_pairs_are_fitted_and_judged(as_user, frames):
    """What is asked before it is stored is answered in the web process: it has to end soon, in little memory."""
    client = as_user(frames[0].project.created_by)
    pairs = pairs_of(TRUTH, 5000, noise=0.5)
    held = [pair | {"state": "held_out"} for pair in pairs_of(TRUTH, 5000, noise=0.5, seed=1)]
    asked = {k: v for k, v in body(frames, pairs + held).items() if k != "method"}
    shown = client.post(f"{URL}fit/", asked, format="json")
    assert shown.status_code == 200
    assert shown.json()["facts"]["held_out"]["agrees"] is True
    assert shown.json()["leave_one_out_um"][:2] == pytest.approx(shown.json()["residuals_um"][:2], rel=1e-2)


@pytest.mark.parametrize("u_um", [None, 0.01])
def test_what_was_never_checked_ranks_below_a_longer_way_that_was(as_user, frames, u_um):
    """Four exact pairs of an affine map, without an error or with a small one, against two maps that held-out pairs
    agree with."""
    source, target = frames
    between = FrameFactory(specimen=source.specimen)
    client = as_user(source.project.created_by)

    def accepted(ends, landmarks, kind):
        made = client.post(URL, body(ends, landmarks, kind=kind), format="json").json()
        assert client.post(f"{URL}{made['id']}/accept/", {"reason": "fits"}, format="json").status_code == 200
        return made

    stated = {} if u_um is None else {"u_um": u_um}
    direct = accepted(frames, pairs_of(TRUTH, 4, **stated), "affine")
    assert (direct["covariance"] is None) == (u_um is None)
    way = f"/api/v1/frames/{source.pk}/map/"
    asked = {"to": str(target.pk), "points": [[0, 0, 0]]}
    taken = client.post(way, asked, format="json").json()
    assert [step["transform"] for step in taken["paths"][0]] == [direct["id"]]
    assert (taken["covariances"][0] is None) == (u_um is None)
    checked = []
    for ends, matrix in (((source, between), TRUTH), ((between, target), np.eye(4))):
        held = [pair | {"state": "held_out"} for pair in pairs_of(matrix, 4, noise=0.5, seed=7)]
        checked.append(accepted(ends, pairs_of(matrix, 8, noise=0.5, seed=3) + held, "rigid"))
    assert all(made["facts"]["held_out"]["agrees"] for made in checked)
    taken = client.post(way, asked, format="json").json()
    assert [step["transform"] for step in taken["paths"][0]] == [made["id"] for made in checked]
    assert taken["warnings"] == []
