"""From frame to frame through the interface: maps with errors, doubts, alternatives."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from apps.projects import services as projects
from apps.spatial import services
from apps.spatial.models import Frame
from tests.factories import FrameFactory, ProjectFactory, SpecimenEventFactory, TransformFactory, UserFactory, member
from tests.sdk.test_spatial import affine, rotation

pytestmark = pytest.mark.django_db
NOWHERE = "3f0f3f0f-0000-4000-8000-000000000000"


def shifted(x, y=0.0, z=0.0):
    return affine(np.eye(3), (x, y, z)).tolist()


def shift_error(u_um):
    covariance = np.zeros((12, 12))
    covariance[[3, 7, 11], [3, 7, 11]] = u_um**2
    return covariance.tolist()


def accepted(source, target, matrix, u_um=None, **extra):
    transform = TransformFactory(
        source=source,
        target=target,
        matrix=matrix,
        covariance=None if u_um is None else shift_error(u_um),
        **extra,
    )
    services.accept_transform(actor=source.project.created_by, transform=transform, reason="seen to fit")
    return transform


@pytest.fixture
def chain():
    """Three stage frames of one specimen: 0 -> 1 -> 2."""
    first = FrameFactory()
    return [first, *(FrameFactory(specimen=first.specimen) for _ in range(2))]


def post(client, frame, to, points, **extra):
    body = {"to": str(to.pk if isinstance(to, Frame) else to), "points": points} | extra
    return client.post(f"/api/v1/frames/{frame.pk}/map/", body, format="json")


def test_points_are_mapped_along_the_chain_and_back_with_their_error(as_user, chain):
    a, b, c = chain
    turn = affine(rotation((0, 0, 1), np.pi / 2), (100, 0, 0)).tolist()
    first, second = accepted(a, b, turn, 3.0), accepted(c, b, shifted(0, 10, 0), 4.0, kind="translation")
    client = as_user(a.project.created_by)
    answer = post(client, a, c, [[1, 0, 0], [0, 2, 5]]).json()
    np.testing.assert_allclose(answer["points"], [[100, -9, 0], [98, -10, 5]], atol=1e-9)
    np.testing.assert_allclose(answer["covariances"], [np.eye(3) * 25.0] * 2, atol=1e-9)
    np.testing.assert_allclose(answer["u95_um"], 5.0 * 2.7955, rtol=1e-4)
    steps = [
        {"transform": str(first.pk), "direction": "forward"},
        {"transform": str(second.pk), "direction": "backward"},
    ]
    assert answer["paths"] == [steps]
    assert (answer["path_of"], answer["length_unit"], answer["warnings"]) == ([0, 0], "um", [])
    back = post(client, c, a, answer["points"], covariances=[np.eye(3).tolist()] * 2).json()
    np.testing.assert_allclose(back["points"], [[1, 0, 0], [0, 2, 5]], atol=1e-9)
    np.testing.assert_allclose(back["covariances"], [np.eye(3) * 26.0] * 2, atol=1e-9)


def test_a_frame_maps_to_itself_exactly(as_user, chain):
    answer = post(as_user(chain[0].project.created_by), chain[0], chain[0], [[1, 2, 3]]).json()
    assert answer["points"] == [[1, 2, 3]]
    assert (answer["paths"], answer["u95_um"]) == ([[]], [0.0])


def test_candidates_lead_nowhere_and_the_refusal_says_so(as_user, chain):
    a, b, _ = chain
    TransformFactory(source=a, target=b)
    answer = post(as_user(a.project.created_by), a, b, [[0, 0, 0]])
    assert (answer.status_code, answer.json()["code"]) == (409, "no_path")
    assert "accept" in answer.json()["detail"]


def test_an_error_that_was_not_stated_is_null_and_said(as_user, chain):
    a, b, _ = chain
    transform = accepted(a, b, shifted(5))
    answer = post(as_user(a.project.created_by), a, b, [[0, 0, 0]]).json()
    assert (answer["points"], answer["covariances"], answer["u95_um"]) == ([[5, 0, 0]], [None], [None])
    assert len(answer["warnings"]) == 1
    assert str(transform.pk) in answer["warnings"][0]


def test_each_point_takes_the_path_that_serves_it_best(as_user, chain):
    """A path good near the origin and one good far out: the error of a scale grows with the distance."""
    a, b, c = chain
    grows = np.zeros((12, 12))
    grows[np.ix_([0, 5, 10], [0, 5, 10])] = 0.01**2
    near = TransformFactory(source=a, target=c, matrix=shifted(0), covariance=grows.tolist())
    services.accept_transform(actor=a.project.created_by, transform=near, reason="fits")
    far = [accepted(a, b, shifted(0), 1.0), accepted(b, c, shifted(0), 1.0)]
    answer = post(as_user(a.project.created_by), a, c, [[1, 0, 0], [1000, 0, 0]]).json()
    taken = [[step["transform"] for step in answer["paths"][index]] for index in answer["path_of"]]
    assert taken == [[str(near.pk)], [str(step.pk) for step in far]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"points": []}, "points"),
        ({"points": [[1, 2]]}, "points.0"),
        ({"points": [[0, 0, 0], [1, "2", 3]]}, "points.1"),
        ({"points": [[0, 0, True]]}, "points.0"),
        ({"points": [[0, 0, 1e12]]}, "points.0"),
        ({"covariances": []}, "covariances"),
        ({"covariances": [[[1, 0, 0], [0, 1, 0]]]}, "covariances.0"),
        ({"covariances": [[[1, 0, 0], [0, -1, 0], [0, 0, 1]]]}, "covariances.0"),
        ({"covariances": [[[1, 5, 0], [0, 1, 0], [0, 0, 1]]]}, "covariances.0"),
        ({"to": NOWHERE}, "to"),
        ({"to": "x"}, "to"),
        ({"typo": 1}, "typo"),
    ],
)
def test_what_cannot_be_mapped_is_named(as_user, chain, change, field):
    client = as_user(chain[0].project.created_by)
    body = {"to": str(chain[0].pk), "points": [[0, 0, 0]]} | change
    answer = client.post(f"/api/v1/frames/{chain[0].pk}/map/", body, format="json")
    assert answer.status_code in (400, 404), answer.content
    assert field in answer.json()["errors"]


def test_frames_of_others_are_not_there(as_user, chain):
    stranger = UserFactory()
    assert post(as_user(stranger), chain[0], chain[1], [[0, 0, 0]]).status_code == 404
    other = FrameFactory()
    both = member(chain[0].project, "viewer")
    projects.set_member(actor=other.project.created_by, project=other.project, username=both.username, role="viewer")
    answer = post(as_user(both), chain[0], other, [[0, 0, 0]])
    assert answer.status_code == 400
    assert "another project" in answer.json()["detail"]


def test_queries_do_not_grow_with_the_graph(as_user, chain, django_assert_max_num_queries):
    a, b, c = chain
    accepted(a, b, shifted(1), 1.0)
    client = as_user(a.project.created_by)
    post(client, a, b, [[0, 0, 0]])
    with django_assert_max_num_queries(5) as few:
        post(client, a, b, [[0, 0, 0]])
    count = len(few.captured_queries)
    accepted(b, c, shifted(1), 1.0)
    more = [FrameFactory(specimen=a.specimen) for _ in range(4)]
    for one, other in zip([c, *more], more, strict=False):
        accepted(one, other, shifted(1), 1.0)
    post(client, a, more[-1], [[0, 0, 0]])
    with django_assert_max_num_queries(count):
        assert post(client, a, more[-1], [[0, 0, 0]]).json()["points"] == [[6, 0, 0]]


# ------------------------------------------------------------------------------------------------ doubts: stale, states


def test_a_withdrawn_step_is_not_taken_any_more(as_user, chain):
    a, b, _ = chain
    transform = accepted(a, b, shifted(1), 1.0)
    client = as_user(a.project.created_by)
    assert post(client, a, b, [[0, 0, 0]]).status_code == 200
    services.withdraw_transform(actor=a.project.created_by, transform=transform, reason="wrong pair")
    assert post(client, a, b, [[0, 0, 0]]).status_code == 409


def milled(frame):
    """The specimen after a milling step, and a stage frame of that state."""
    SpecimenEventFactory(specimen=frame.specimen, kind="mill", occurred_at=dt.datetime(2024, 5, 2, tzinfo=dt.UTC))
    return FrameFactory(specimen=frame.specimen)


def test_a_transform_from_before_a_milling_step_warns_until_it_is_overridden(as_user, chain):
    a, b, _ = chain
    former = accepted(a, b, shifted(1), 1.0)
    after = milled(a)
    assert after.state_id != a.state_id
    actor = a.project.created_by
    accepted(after, a, shifted(0), 1.0)
    client = as_user(actor)
    answer = post(client, after, b, [[0, 0, 0]]).json()
    assert answer["points"] == [[1, 0, 0]]
    assert len(answer["warnings"]) == 1
    assert str(former.pk) in answer["warnings"][0]
    assert "mill" in answer["warnings"][0]
    url = f"/api/v1/transforms/{former.pk}/override/"
    assert client.post(url, {"state": str(after.state_id), "reason": ""}, format="json").status_code == 400
    body = {"state": str(after.state_id), "reason": "milled far from here"}
    done = client.post(url, body, format="json")
    assert done.status_code == 200, done.content
    assert done.json()["overrides"][0]["reason"] == "milled far from here"
    assert client.post(url, body, format="json").status_code == 409
    answer = post(client, after, b, [[0, 0, 0]]).json()
    assert "milled far from here" in answer["warnings"][0]


def test_registering_anew_after_a_milling_step_lifts_the_warning(as_user, chain):
    """A transform made across the step, and one from after it, know of it; neither is from before."""
    a, b, _ = chain
    former = accepted(a, b, shifted(1), 1.0)
    after = milled(a)
    stage = FrameFactory(specimen=a.specimen)
    across, anew = accepted(a, after, shifted(3), 2.0), accepted(after, stage, shifted(2), 2.0)
    client = as_user(a.project.created_by)
    answer = post(client, a, stage, [[0, 0, 0]], states=[str(after.state_id)]).json()
    assert (answer["points"], answer["warnings"]) == ([[5, 0, 0]], [])
    assert [step["transform"] for step in answer["paths"][0]] == [str(across.pk), str(anew.pk)]
    accepted(b, stage, shifted(4), 0.1)
    answer = post(client, a, stage, [[0, 0, 0]], states=[str(after.state_id)]).json()
    taken = [step["transform"] for step in answer["paths"][0]]
    assert str(former.pk) not in taken, "a smaller error does not make up for the milling"


def test_a_coating_and_a_new_mount_do_not_invalidate(as_user, chain):
    a, b, _ = chain
    accepted(a, b, shifted(1), 1.0)
    for kind in ("coat", "mount"):
        SpecimenEventFactory(specimen=a.specimen, kind=kind, occurred_at=dt.datetime(2024, 5, 2, tzinfo=dt.UTC))
    after = FrameFactory(specimen=a.specimen)
    joint = accepted(after, a, shifted(0), 1.0)
    client = as_user(a.project.created_by)
    assert post(client, after, b, [[0, 0, 0]]).json()["warnings"] == []
    body = {"state": str(after.state_id), "reason": "why not"}
    answer = client.post(f"/api/v1/transforms/{joint.pk}/override/", body, format="json")
    assert answer.status_code == 400
    assert "nothing is to be overridden" in answer.json()["detail"]


def test_states_besides_those_of_the_frames_may_be_asked_for(as_user, chain):
    a, b, _ = chain
    accepted(a, b, shifted(1), 1.0)
    after = milled(a)
    client = as_user(a.project.created_by)
    assert post(client, a, b, [[0, 0, 0]]).json()["warnings"] == []
    assert len(post(client, a, b, [[0, 0, 0]], states=[str(after.state_id)]).json()["warnings"]) == 1


def test_a_state_that_is_none_of_the_project_is_refused(as_user, chain):
    a, b, _ = chain
    accepted(a, b, shifted(1), 1.0)
    client = as_user(a.project.created_by)
    for state in (NOWHERE, str(FrameFactory().state_id)):
        answer = post(client, a, b, [[0, 0, 0]], states=[state])
        assert answer.status_code == 400
        assert "states" in answer.json()["errors"]


# -------------------------------------------------------------------------------------------------------- alternatives


def alternatives(client, source, target, **extra):
    return client.get(f"/api/v1/frames/{source.pk}/paths/", {"to": str(target.pk)} | extra)


@pytest.mark.parametrize(("off", "contradicts"), [(1.0, False), (40.0, True)])
def test_a_loop_that_does_not_close_within_its_errors_is_flagged(as_user, chain, off, contradicts):
    a, b, c = chain
    accepted(a, c, shifted(10), 1.0)
    accepted(a, b, shifted(5), 2.0)
    accepted(b, c, shifted(5 + off), 2.0)
    answer = alternatives(as_user(a.project.created_by), a, c, at="0,0,0").json()
    best, other = answer["paths"]
    assert (best["point"], best["closure_um"], best["contradicts"]) == ([10, 0, 0], [0, 0, 0], False)
    np.testing.assert_allclose(other["closure_um"], [off, 0, 0])
    assert other["contradicts"] is contradicts
    assert other["closure_p_value"] == pytest.approx(0.9905 if off == 1.0 else 0.0, abs=0.02)


def test_what_two_paths_share_does_not_excuse_their_difference(as_user, chain):
    """The shared first step is known badly; the two ways on from it are known well, and disagree."""
    a, b, c = chain
    d = FrameFactory(specimen=a.specimen)
    accepted(a, b, shifted(0), 100.0)
    accepted(b, d, shifted(0), 1.0)
    accepted(b, c, shifted(0), 1.0)
    accepted(c, d, shifted(20), 1.0)
    answer = alternatives(as_user(a.project.created_by), a, d, at="0,0,0").json()
    assert [path["contradicts"] for path in answer["paths"]] == [False, True]


@pytest.mark.parametrize("at", ["1,2", "a,b,c", "1,2,nan", ""])
def test_a_place_that_is_none_is_refused(as_user, chain, at):
    answer = alternatives(as_user(chain[0].project.created_by), chain[0], chain[1], at=at)
    assert answer.status_code == 400
    assert "at" in answer.json()["errors"]


def test_projects_do_not_share_paths(as_user):
    a = FrameFactory()
    b = FrameFactory(specimen=a.specimen)
    accepted(a, b, shifted(1), 1.0)
    other = FrameFactory()
    answer = post(as_user(other.project.created_by), other, other, [[0, 0, 0]])
    assert answer.status_code == 200
    assert ProjectFactory().pk != a.project_id
