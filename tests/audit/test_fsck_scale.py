"""``fsck`` on calibrations and releases: what agrees is passed over, what was changed past the services is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.audit import fsck
from apps.catalog.models import Calibration
from apps.core.errors import ConflictError
from apps.imaging.models import Acquisition, Image
from apps.imaging.services import apply_calibration, calibrate_image
from apps.projects.services import set_member
from apps.provenance import selectors as ledger
from apps.provenance import staleness
from apps.results.models import Property, Release
from apps.results.services import release_result, review_result
from apps.spatial.models import FrameExtent, Transform
from tests.factories import CalibrationFactory, InstrumentFactory, UserFactory
from tests.study import Study

pytestmark = pytest.mark.django_db


@pytest.fixture
def calibration() -> Calibration:
    return CalibrationFactory(factor=1.02, u_factor=0.004)


@pytest.fixture
def image(study: Study, calibration: Calibration) -> Image:
    """The study's image under a calibration, with labels that follow it."""
    return apply_calibration(actor=study.maker, image=study.image, calibration=calibration, reason="the grating")


def findings() -> list[str]:
    return list(fsck.find(deep=False))


def of_calibration(calibration: Calibration) -> Any:
    return Transform.objects.filter(calibration=calibration)


def test_what_a_calibration_made_agrees_with_it(image: Image, calibration: Calibration) -> None:
    assert Image.objects.filter(calibration=calibration).count() > 1, "the labels follow"
    assert findings() == []


def _larger_factor(image: Image, calibration: Calibration) -> str:
    Calibration.objects.filter(pk=calibration.pk).update(factor=1.03)
    return "its matrix is not that of the factor 1.03"


def _other_matrix(image: Image, calibration: Calibration) -> str:
    row = of_calibration(calibration).get()
    of_calibration(calibration).update(matrix=[*row.matrix[:3], 0.5, *row.matrix[4:]])
    return "its matrix is not that of the factor 1.02"


def _smaller_covariance(image: Image, calibration: Calibration) -> str:
    row = of_calibration(calibration).get()
    of_calibration(calibration).update(covariance=[[0.5 * value for value in line] for line in row.covariance])
    return "its covariance is not that of the factor's uncertainty 0.004"


def _other_target(image: Image, calibration: Calibration) -> str:
    Image.objects.filter(pk=image.pk).update(calibrated_frame=image.frame)
    return "its calibrated frame"


def _other_extent(image: Image, calibration: Calibration) -> str:
    FrameExtent.objects.filter(frame=image.calibrated_frame).update(x_max=1e9)
    return "is not as large as the calibrated image"


def _other_instrument(image: Image, calibration: Calibration) -> str:
    Acquisition.objects.filter(pk=image.acquisition_id).update(instrument=InstrumentFactory(name="another"))
    return f"it belongs to instrument {calibration.instrument_id}, the image to"


@pytest.mark.parametrize(
    "change", [_larger_factor, _other_matrix, _smaller_covariance, _other_target, _other_extent, _other_instrument]
)
def test_what_does_not_agree_is_named(
    image: Image, calibration: Calibration, change: Callable[[Image, Calibration], str]
) -> None:
    said = change(image, calibration)
    found = findings()
    assert found
    assert any(said in line for line in found)
    assert all(str(calibration.pk) in line for line in found)


def test_labels_are_told_of_another_instrument_too(image: Image, calibration: Calibration) -> None:
    _other_instrument(image, calibration)
    named = {line.split()[1] for line in findings()}
    followers = Image.objects.filter(calibration=calibration, superseded_by__isnull=True)
    assert named >= {str(row.pk) for row in followers}


# ---------------------------------------------------------------------------------------------------------- releases


@pytest.fixture
def approved(study: Study) -> Property:
    """A length that somebody else approved."""
    rita = UserFactory(username="rita")
    set_member(actor=study.maker, project=study.project, username="rita", role="contributor")
    number: Property = study.result("measure", "mean_diameter")
    review_result(actor=rita, row=number, verdict="approved")
    return number


def outdate(study: Study) -> None:
    typed = {"x": 2.1, "y": 2.1, "z": 2.1}
    calibrate_image(actor=study.maker, image=study.image, spacing_um=typed, spacing_u_um=0.01, reason="a grid")


def test_a_mark_set_after_the_look_refuses_the_release(
    study: Study, approved: Property, monkeypatch: pytest.MonkeyPatch
) -> None:
    outdate(study)
    monkeypatch.setattr(ledger, "stale_marks", lambda ids: [])  # it looked before the mark was there
    with pytest.raises(ConflictError, match="stale: the spacing was set anew"):
        release_result(actor=study.maker, row=approved)
    assert not Release.objects.exists()


def test_a_result_that_was_released_stale_is_named(
    study: Study, approved: Property, monkeypatch: pytest.MonkeyPatch
) -> None:
    outdate(study)
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "stale_marks", lambda ids: [])
        patch.setattr(staleness, "_demand", lambda spec: None)
        release = release_result(actor=study.maker, row=approved)
    (finding,) = findings()
    assert finding.startswith(f"release {release.pk}: ")
    assert f"releases {approved.pk}, which event" in finding


def test_what_went_stale_after_its_release_is_no_finding(study: Study, approved: Property) -> None:
    release_result(actor=study.maker, row=approved)
    outdate(study)
    assert ledger.is_stale([approved.pk])
    assert findings() == []
