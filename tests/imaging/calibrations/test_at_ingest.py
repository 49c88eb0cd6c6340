"""What an ingest does with the calibrations of its instrument, and what the database refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from apps.catalog.models import Calibration, Instrument, Specimen
from apps.catalog.services import withdraw_calibration
from apps.imaging.models import Image
from apps.imaging.selectors import effective_spacing
from apps.imaging.services import (
    create_acquisition,
)
from apps.jobs.models import Job
from apps.projects.models import Project, User
from apps.spatial.models import Transform
from tests.factories import StaffFactory
from tests.imaging.calibrations.conftest import (
    FACTOR,
    FILE_SPACING,
    MAGNIFICATION,
    U,
    apply,
    calibration_of,
    shown,
    spacing_of,
)
from tests.imaging.conftest import calibrated_tiff, ramp
from tests.imaging.test_receive import problem

pytestmark = pytest.mark.django_db


def test_an_ingest_applies_the_one_calibration_that_holds(
    client: APIClient,
    ada: User,
    project: Project,
    specimen: Specimen,
    calibration: Calibration,
    ingested: Callable[..., Job],
) -> None:
    acquisition = create_acquisition(
        actor=ada,
        project=project,
        specimen=specimen,
        modality="sem",
        instrument=calibration.instrument,
        acquired_at="2024-08-01T10:00:00",
        settings=MAGNIFICATION,
    )
    job = ingested(acquisition, ("sem.tif", calibrated_tiff(ramp())))
    assert job.status == "succeeded", job.message
    image = Image.objects.get(acquisition=acquisition)
    body = shown(client, image)
    assert body["spacing"]["x"] == {"value": 0.5, "unit": "um", "source": "file", "u": None}
    assert (body["calibrated"], body["version"], body["stale"]) == (True, 1, False)
    under = body["calibration"]
    assert (under["id"], under["version"], under["factor"], under["u_factor"]) == (str(calibration.pk), 1, FACTOR, U)
    assert (under["flags"], under["notes"], under["status"]) == ([], [], "active")
    assert under["spacing"]["x"] == {
        "value": pytest.approx(0.51),
        "unit": "um",
        "source": "calibration",
        "u": pytest.approx(0.5 * U),
    }
    assert body["calibrated_frame"] not in (None, body["frame"])


def test_the_transform_is_accepted_and_its_error_has_rank_one(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    image = measured(calibration.instrument)
    edge = Transform.objects.get(source=image.frame, target=image.calibrated_frame)
    assert (edge.method, edge.kind, edge.status) == ("calibration", "similarity", "accepted")
    assert (edge.calibration_id, edge.residual_um) == (calibration.pk, None)
    assert edge.decisions.get().decided_by == image.created_by
    body = client.get(f"/api/v1/transforms/{edge.pk}/").json()
    assert body["matrix"] == [[FACTOR, 0, 0, 0], [0, FACTOR, 0, 0], [0, 0, FACTOR, 0], [0, 0, 0, 1]]
    covariance = np.array(body["covariance"])
    assert covariance.shape == (12, 12)
    assert np.linalg.matrix_rank(covariance) == 1
    assert covariance[0, 0] == covariance[5, 10] == pytest.approx(U**2)
    assert body["calibration"] == str(calibration.pk)
    assert body["no_residual_reason"]
    extent = image.calibrated_frame.extent  # type: ignore[union-attr]
    assert extent.x_max == pytest.approx(FACTOR * image.frame.extent.x_max)  # type: ignore[union-attr]


def test_a_calibration_along_some_axes_moves_these_alone(
    client: APIClient, instrument: Instrument, measured: Callable[..., Image]
) -> None:
    calibration = calibration_of(instrument, axes="xy")
    image = measured(instrument)
    edge = Transform.objects.get(calibration=calibration)
    assert edge.kind == "affine"
    assert [edge.matrix[i] for i in (0, 5, 10)] == [FACTOR, FACTOR, 1.0]
    spacing = effective_spacing(image) or {}
    assert spacing["z"] == {"value": 2.0, "unit": "um", "source": "file", "u": None}
    assert spacing["y"]["value"] == pytest.approx(0.51)


def test_what_does_not_hold_is_not_applied_by_itself(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    instrument = calibration.instrument
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"date": "2025-05-13T10:00:00"}, ["overdue"]),
        ({"date": "2024-04-28T10:00:00"}, ["before_measured"]),
        ({"settings": {"magnification": {"value": 9000.0, "unit": "1"}}}, ["out_of_range:magnification"]),
        ({"settings": {}}, ["not_judged:magnification"]),
        ({"date": ""}, ["not_judged:acquired_at"]),
        ({"spacing": spacing_of("user", 0.1, FILE_SPACING)}, ["typed_spacing"]),
    ]
    for options, flags in cases:
        image = measured(instrument, **options)
        body = shown(client, image)
        assert (body["calibration"], body["calibrated_frame"]) == (None, None)
        (offered,) = client.get(f"/api/v1/images/{image.pk}/calibrations/").json()["results"]
        assert (offered["calibration"], offered["holds"]) == (str(calibration.pk), False)
        assert offered["flags"] == flags
        assert len(offered["notes"]) == 1


def test_without_an_instrument_or_a_scale_there_is_nothing_to_choose(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    unnamed = measured(None)
    unscaled = measured(calibration.instrument, spacing=None)
    for image in (unnamed, unscaled):
        assert shown(client, image)["calibration"] is None
        assert client.get(f"/api/v1/images/{image.pk}/calibrations/").json() == {"results": []}
    assert client.get(f"/api/v1/images/{unnamed.pk}/calibrations/?colour=red").status_code == 400


def test_of_two_that_hold_a_person_chooses(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    other = calibration_of(calibration.instrument, factor=1.03)
    image = measured(calibration.instrument)
    assert shown(client, image)["calibration"] is None
    offered = client.get(f"/api/v1/images/{image.pk}/calibrations/").json()["results"]
    assert {row["calibration"] for row in offered if row["holds"]} == {str(calibration.pk), str(other.pk)}
    assert apply(client, image, other).json()["calibration"]["factor"] == 1.03


def test_a_withdrawn_calibration_is_not_applied(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image]
) -> None:
    withdraw_calibration(actor=StaffFactory(), calibration=calibration, reason="damaged")
    image = measured(calibration.instrument)
    assert shown(client, image)["calibration"] is None
    problem(apply(client, image, calibration), 409)


# ------------------------------------------------------------------------------------------------------------ database


@pytest.mark.parametrize("fields", [{"calibrated_frame": None}, {"calibration": None}])
def test_the_database_refuses_half_a_calibration(
    calibration: Calibration, measured: Callable[..., Image], fields: dict[str, Any]
) -> None:
    image = measured(calibration.instrument)
    with pytest.raises(IntegrityError), transaction.atomic():
        Image.objects.filter(pk=image.pk).update(**fields)


@pytest.mark.parametrize("fields", [{"method": "manual"}, {"calibration": None}])
def test_the_database_refuses_a_factor_without_its_calibration(
    calibration: Calibration, measured: Callable[..., Image], fields: dict[str, Any]
) -> None:
    measured(calibration.instrument)
    with pytest.raises(IntegrityError), transaction.atomic():
        Transform.objects.update(**fields)


def test_lists_of_images_take_a_constant_number_of_queries(
    client: APIClient, calibration: Calibration, measured: Callable[..., Image], django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        measured(calibration.instrument)
    with django_assert_max_num_queries(4):
        assert len(client.get("/api/v1/images/").json()["results"]) == 3
