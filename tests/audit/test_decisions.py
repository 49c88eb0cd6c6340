"""Done-when: operator, uploader, method status and release stand in the derivation of a released number."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.analysis.models import MethodStatus
from apps.analysis.services import set_method_status
from apps.audit import selectors
from apps.catalog.services import create_specimen
from apps.core.errors import ConflictError, InvalidValueError, PermissionRefusedError
from apps.imaging.services import calibrate_image, move_acquisition
from apps.jobs.models import Job
from apps.projects.models import User
from apps.projects.services import set_member
from apps.provenance.checks import missing_triggers, verify_chain
from apps.provenance.models import Edge
from apps.results.models import Property, Release, ReleaseWithdrawal, Review
from apps.results.selectors import review_status
from apps.results.services import release_result, review_result, withdraw_release
from tests.factories import StaffFactory, UserFactory
from tests.study import Study, analyse

pytestmark = pytest.mark.django_db


@pytest.fixture
def rita(study: Study) -> User:
    """A second person, who reviews."""
    user = UserFactory(username="rita")
    set_member(actor=study.maker, project=study.project, username="rita", role="contributor")
    return user


def story(thing: Any, user: User) -> str:
    return " ".join(sentence["text"] for sentence in selectors.derivation(thing, user)["sentences"])


def validate(plugin: str) -> None:
    set_method_status(
        actor=StaffFactory(),
        plugin=plugin,
        status="validated",
        reason="compared with layers",
        validated_by="Vera Lidator",
        validated_on=dt.date(2024, 5, 2),
        text="Layers of two phases: the bounds to 1e-9.",
        document="REP-7",
    )


@pytest.mark.usefixtures("no_keeper")
def test_the_derivation_of_a_released_number_names_who_measured_uploaded_validated_reviewed_and_released(
    study: Study, rita: User
) -> None:
    validate("bulk.bounds")
    assert "draft method" in story(study.result("bounds", "wiener"), study.maker), "it ran before"
    number = Property.objects.get(pk=analysed(study).outputs["wiener"]["id"])
    review_result(actor=rita, row=number, verdict="approved", comment="agrees with the layers")
    release_result(actor=study.maker, row=number, comment="for the data sheet")
    told = story(number, study.viewer)
    assert "was measured by Otto Perator" in told
    assert f"was uploaded by {study.maker.username}" in told
    assert "method validated on 2024-05-02 by Vera Lidator, REP-7" in told
    assert "segmentation.threshold" in told
    assert "draft method" in told, "the segmentation's"
    assert "It was reviewed by rita" in told
    assert "approved" in told
    assert f"It was released by {study.maker.username}" in told
    assert told.index("measured by") < told.index("uploaded by") < told.index("reviewed by") < told.index("released by")
    assert not verify_chain()


def analysed(study: Study) -> Job:
    """Run the bounds again with another constituent, in this test's transaction."""
    phases = {"0": {"k": 1.0, "u": 0.1, "source": "handbook"}, "1": {"k": 20.0, "source": "handbook"}}
    params = {"phases": phases, "unit": "W/(m.K)"}
    return analyse(study.maker, study.project, "bulk.bounds", params, {"labels": str(study.labels.pk)})


def test_an_uploader_is_never_named_as_operator(study: Study) -> None:
    sentences = selectors.derivation(study.image, study.maker)["sentences"]
    (measured,) = [s["text"] for s in sentences if "was measured by" in s["text"]]
    (uploaded,) = [s["text"] for s in sentences if "uploaded by" in s["text"]]
    assert study.maker.username not in measured
    assert "Otto Perator" not in uploaded
    assert "rods.tif" in uploaded


def test_who_submitted_the_job_does_not_review_its_result(study: Study) -> None:
    with pytest.raises(PermissionRefusedError, match="another person"):
        review_result(actor=study.maker, row=study.result("bounds", "wiener"), verdict="approved")
    assert not Review.objects.exists()


def test_a_rejection_says_why(study: Study, rita: User) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        review_result(actor=rita, row=study.result("bounds", "wiener"), verdict="rejected", comment=" ")
    assert refusal.value.field == "comment"


def test_a_release_needs_an_approval_that_nothing_later_rejects(study: Study, rita: User) -> None:
    number = study.result("bounds", "wiener")
    with pytest.raises(ConflictError, match="nobody has reviewed it"):
        release_result(actor=study.maker, row=number)
    review_result(actor=rita, row=number, verdict="approved")
    review_result(actor=rita, row=number, verdict="rejected", comment="the phases are swapped")
    with pytest.raises(ConflictError, match="the phases are swapped"):
        release_result(actor=study.maker, row=number)
    assert review_status(number) == "rejected"


def test_what_is_stale_is_not_released(study: Study, rita: User) -> None:
    number = study.result("measure", "mean_diameter")
    review_result(actor=rita, row=number, verdict="approved")
    calibrate_image(
        actor=study.maker,
        image=study.image,
        spacing_um={"x": 2.1, "y": 2.1, "z": 2.1},
        spacing_u_um=0.01,
        reason="measured against a grid",
    )
    with pytest.raises(ConflictError, match="stale: the spacing was set anew"):
        release_result(actor=study.maker, row=number)


def test_only_a_manager_releases_and_withdraws(study: Study, rita: User) -> None:
    number = study.result("bounds", "wiener")
    review_result(actor=rita, row=number, verdict="approved")
    with pytest.raises(PermissionRefusedError, match="manager"):
        release_result(actor=rita, row=number)
    release_result(actor=study.maker, row=number)
    with pytest.raises(PermissionRefusedError, match="manager"):
        withdraw_release(actor=rita, row=number, reason="a slip")


def test_a_withdrawn_release_stays_told_and_needs_a_new_review(study: Study, rita: User) -> None:
    table = study.result("measure", "table")
    review_result(actor=rita, row=table, verdict="approved")
    release = release_result(actor=study.maker, row=table)
    with pytest.raises(ConflictError, match="released on"):
        release_result(actor=study.maker, row=table)
    withdraw_release(actor=study.maker, row=table, reason="the border objects were counted")
    assert review_status(table) == "withdrawn"
    with pytest.raises(ConflictError, match="not released"):
        withdraw_release(actor=study.maker, row=table, reason="again")
    with pytest.raises(ConflictError, match="reviewed anew"):
        release_result(actor=study.maker, row=table)
    review_result(actor=rita, row=table, verdict="approved", comment="without the border")
    release_result(actor=study.maker, row=table)
    assert review_status(table) == "released"
    told = story(table, study.viewer)
    assert "The release was withdrawn by maker" in told
    assert 'because "the border objects were counted"' in told
    assert Edge.objects.filter(subject_id=release.pk, relation="wasInvalidatedBy").count() == 1


def test_a_decision_is_about_one_result(study: Study, rita: User) -> None:
    given = {"project": study.project, "verdict": "approved", "reviewed_by": rita}
    both = {"property": study.result("bounds", "wiener"), "table": study.result("measure", "table")}
    for about in (both, {}):
        with pytest.raises(IntegrityError, match="review_of_one_result"), transaction.atomic():
            Review.objects.create(**given, **about)


def test_a_decision_is_written_once(study: Study, rita: User) -> None:
    number = study.result("bounds", "wiener")
    review_result(actor=rita, row=number, verdict="approved")
    release_result(actor=study.maker, row=number)
    withdraw_release(actor=study.maker, row=number, reason="the phases were swapped")
    validate("bulk.bounds")
    for model, change in (
        (Review, {"comment": "said afterwards"}),
        (Release, {"comment": "said afterwards"}),
        (ReleaseWithdrawal, {"reason": "said afterwards"}),
        (MethodStatus, {"status": "draft"}),
    ):
        rows = model._default_manager.all()
        for attempt in (partial(rows.update, **change), partial(rows._raw_delete, rows.db)):
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                attempt()
        assert rows.count() == 1
    assert not missing_triggers()


def test_completeness_asks_for_validated_methods_and_recorded_reconstructions(study: Study) -> None:
    checks = selectors.derivation(study.result("bounds", "wiener"), study.maker)["completeness"]["checks"]
    unmet = {check["question"]: check["note"] for check in checks if not check["satisfied"]}
    assert "bulk.bounds" in unmet["Every method was validated when it ran."]
    assert "The reconstruction of every volume is recorded." in unmet
    assert "reconstruction not recorded" in story(study.result("bounds", "wiener"), study.maker)


def test_a_move_to_the_right_specimen_is_told_with_its_reason(study: Study) -> None:
    right = create_specimen(actor=study.maker, project=study.project, name="bundle 2")
    move_acquisition(
        actor=study.maker, acquisition=study.acquisition, specimen=right, reason="the labels were mixed up"
    )
    told = story(study.result("bounds", "wiener"), study.maker)
    assert "moved the acquisition, with what was made from it, to bundle 2" in told
    assert 'because "the labels were mixed up"' in told
    assert "bundle 2 was measured by Otto Perator" in told
