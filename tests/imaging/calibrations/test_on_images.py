"""A calibration applied to an image that exists, and taken off again."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import numpy as np
import pytest
from rest_framework.test import APIClient

from apps.catalog.models import Calibration, Instrument
from apps.core.errors import ConflictError
from apps.imaging.models import Image
from apps.imaging.selectors import describe_image
from apps.imaging.services import (
    calibrate_image,
)
from apps.projects.models import User
from apps.provenance.selectors import assertions, is_stale
from apps.spatial.models import Transform
from apps.spatial.services import withdraw_transform
from tests.factories import InstrumentFactory
from tests.imaging.calibrations.conftest import (
    FACTOR,
    U,
    apply,
    calibration_of,
    shown,
)
from tests.imaging.conftest import client_of, ramp
from tests.imaging.test_images import labels_like
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db


def test_applying_makes_a_new_version_in_the_same_nominal_frame(
    client: APIClient, instrument: Instrument, measured: Callable[..., Image]
) -> None:
    image = measured(instrument)
    calibration = calibration_of(instrument)
    answer = apply(client, image, calibration)
    assert answer.status_code == 201, answer.content
    new = answer.json()
    assert new == shown(client, new["id"])
    assert (new["version"], new["supersedes"], new["digest"]) == (2, str(image.pk), image.store.digest)
    assert (new["frame"], new["spacing"]) == (str(image.frame_id), shown(client, image)["spacing"])
    assert new["calibration"]["flags"] == []
    assert not new["stale"]
    old = shown(client, image)
    assert (old["stale"], old["calibration"], old["calibrated_frame"]) == (True, None, None)
    problem(apply(client, image, calibration), 409)
    problem(apply(client, new["id"], calibration), 409)


def test_out_of_its_dates_or_range_it_is_applied_by_choice_and_flagged(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    fast = {"magnification": {"value": 9000.0, "unit": "1"}}
    image = measured(calibration.instrument, "2025-05-13T10:00:00", settings=fast)
    under = apply(client, image, calibration).json()["calibration"]
    assert under["flags"] == ["overdue", "out_of_range:magnification"]
    assert under["notes"][0] == "acquired 12 days after the calibration was due"
    new = Image.objects.get(supersedes=image)
    (said,) = assertions([new.pk])
    assert said["what"] == "use of a calibration"
    assert said["value"]["although"] == under["notes"]


def test_an_instrument_not_stated_is_flagged_and_another_one_refused(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    unnamed = measured(None)
    assert apply(client, unnamed, calibration).json()["calibration"]["flags"] == ["not_judged:instrument"]
    other = measured(InstrumentFactory())
    problem(apply(client, other, calibration), 400, "calibration")


def test_bad_requests_name_their_field_and_change_nothing(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument, "2025-05-13T10:00:00")
    url = f"/api/v1/images/{image.pk}/apply-calibration/"
    good = {"calibration": str(calibration.pk), "reason": "a"}
    for change, field in (
        ({"reason": " "}, "reason"),
        ({"calibration": str(uuid.uuid4())}, "calibration"),
        ({"calibration": "v1"}, "calibration"),
        ({"factor": 2}, "factor"),
    ):
        problem(client.post(url, good | change, format="json"), 400, field)
    for left_out in good:
        problem(client.post(url, {k: v for k, v in good.items() if k != left_out}, format="json"), 400, left_out)
    assert Image.objects.count() == 1
    flat = calibration_of(calibration.instrument, axes="z")
    plane = measured(calibration.instrument, shape=(1, 40, 50))
    problem(apply(client, plane, flat), 400, "calibration")
    unscaled = measured(calibration.instrument, spacing=None)
    problem(apply(client, unscaled, calibration), 409)


def test_who_may_apply(
    calibration: Calibration, measured: Callable[..., Image], viewer: User, outsider: User, client: APIClient
) -> None:
    image = measured(calibration.instrument, "2025-05-13T10:00:00")
    for user, status in ((None, 401), (outsider, 404), (viewer, 403)):
        problem(apply(client_of(user), image, calibration), status)


def test_labels_on_the_grid_follow_and_are_not_calibrated_by_themselves(
    client: APIClient, instrument: Instrument, measured: Callable[..., Image]
) -> None:
    image = measured(instrument)
    labels = labels_like(image, (ramp() % 3).astype("uint8"))
    calibration = calibration_of(instrument)
    problem(apply(client, labels, calibration), 409)
    new = apply(client, image, calibration).json()
    follower = Image.objects.get(supersedes=labels)
    assert (follower.frame_id, str(follower.calibrated_frame_id)) == (image.frame_id, new["calibrated_frame"])
    assert follower.calibration_id == calibration.pk
    assert is_stale([labels.pk, image.pk, follower.pk, uuid.UUID(new["id"])]) == {labels.pk, image.pk}
    assert Transform.objects.filter(calibration=calibration).count() == 1


def test_labels_made_under_a_calibration_are_born_under_it(
    calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument)
    labels = labels_like(image, (ramp() % 3).astype("uint8"))
    assert (labels.calibration, labels.calibrated_frame) == (image.calibration, image.calibrated_frame)
    described = describe_image(labels)
    assert described["spacing_um"]["x"] == pytest.approx(0.5 * FACTOR)
    assert described["spacing_u_um"]["x"] == pytest.approx(0.5 * U)
    assert described["nominal_um"]["x"] == 0.5
    assert described["frame"] == str(image.calibrated_frame_id)
    assert described["calibration"] == {"id": str(calibration.pk), "version": 1}


def test_a_typed_scale_takes_the_place_of_a_calibration(
    client: APIClient, ada: User, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument)
    new = calibrate_image(
        actor=ada, image=image, spacing_um={"x": 1, "y": 1, "z": 1}, spacing_u_um=0.1, reason="a rule"
    )
    body = shown(client, new)
    assert (body["calibration"], body["calibrated_frame"]) == (None, None)
    assert "calibration" not in describe_image(new)
    under = apply(client, new, calibration).json()["calibration"]
    assert under["flags"] == ["typed_spacing"]
    # both parts of the error, the hand's and the calibration's, independent of each other
    assert under["spacing"]["x"]["u"] == pytest.approx(np.hypot(FACTOR * 0.1, 1.0 * U))


def test_a_calibration_is_taken_off_again(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument)
    bare = apply(client, image, None, "not trusted").json()
    assert (bare["calibration"], bare["version"], bare["frame"]) == (None, 2, str(image.frame_id))
    problem(apply(client, bare["id"], None), 409)
    back = apply(client, bare["id"], calibration).json()
    assert back["calibrated_frame"] == str(image.calibrated_frame_id)
    assert Transform.objects.count() == 1


def test_the_transform_stands_with_its_calibration(
    ada: User, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    measured(calibration.instrument)
    edge = Transform.objects.get()
    with pytest.raises(ConflictError, match="withdraw the calibration"):
        withdraw_transform(actor=ada, transform=edge, reason="a")
    edge.refresh_from_db()
    assert edge.status == "accepted"
