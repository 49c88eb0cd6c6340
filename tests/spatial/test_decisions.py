"""The pointer "accepted": moved by who saw what it moves from, each move and each lost attempt recorded."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.core.errors import ConflictError
from apps.provenance.models import Event
from apps.spatial import services
from apps.spatial.models import Transform, TransformDecision
from tests.factories import TransformFactory, member
from tests.jobs.moves import together

pytestmark = pytest.mark.django_db
URL = "/api/v1/transforms/"


@pytest.fixture
def rivals():
    """Two candidates between the same frames, one of them written the other way round."""
    first = TransformFactory()
    return first, TransformFactory(source=first.target, target=first.source)


def accept(client, transform, **extra):
    return client.post(f"{URL}{transform.pk}/accept/", {"reason": "fits"} | extra, format="json")


def test_between_two_frames_one_is_accepted_and_the_other_attempt_is_recorded(as_user, rivals):
    first, second = rivals
    other = member(first.project, "contributor")
    assert accept(as_user(first.project.created_by), first).status_code == 200
    told = accept(as_user(other), second)
    assert (told.status_code, told.json()["code"]) == (409, "other_accepted")
    assert str(first.pk) in told.json()["detail"]
    assert first.project.created_by.username in told.json()["detail"]
    statuses = {t.pk: t.status for t in Transform.objects.all()}
    assert statuses == {first.pk: "accepted", second.pk: "candidate"}
    refused = TransformDecision.objects.get(status="refused")
    assert (refused.transform_id, refused.other_id, refused.decided_by) == (second.pk, first.pk, other)
    verbs = list(Event.objects.order_by("seq").values_list("verb", flat=True))[-2:]
    assert verbs == ["accept_transform", "accept_transform_refused"]


def test_who_names_what_stands_puts_another_in_its_place(as_user, rivals):
    first, second = rivals
    client = as_user(first.project.created_by)
    accept(client, first)
    done = accept(client, second, replaces=str(first.pk))
    assert done.status_code == 200, done.content
    assert done.json()["status"] == "accepted"
    history = client.get(f"{URL}{first.pk}/").json()
    assert history["status"] == "candidate"
    assert [(d["status"], d["other"]) for d in history["decisions"]] == [
        ("candidate", str(second.pk)),
        ("accepted", None),
    ]


def test_what_does_not_stand_cannot_be_replaced(as_user, rivals):
    first, second = rivals
    answer = accept(as_user(first.project.created_by), second, replaces=str(first.pk))
    assert answer.status_code == 409
    assert "replaces" in answer.json()["errors"]
    assert Transform.objects.filter(status="accepted").count() == 0


def test_the_database_admits_one_accepted_transform_a_pair_of_frames(rivals):
    for rival in rivals:
        rival.no_residual_reason = "told so"
        rival.status = "accepted"
    rivals[0].save()
    with pytest.raises(IntegrityError), transaction.atomic():
        rivals[1].save()


def test_a_withdrawn_one_makes_room(as_user, rivals):
    first, second = rivals
    client = as_user(first.project.created_by)
    accept(client, first)
    client.post(f"{URL}{first.pk}/withdraw/", {"reason": "mirrored"}, format="json")
    assert accept(client, second).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_of_two_who_accept_at_the_same_instant_one_wins_and_both_acts_are_kept(rivals):
    actors = [rivals[0].project.created_by, member(rivals[0].project, "contributor")]

    def accept_own(number):
        try:
            services.accept_transform(actor=actors[number], transform=rivals[number], reason="mine fits")
        except ConflictError as error:
            return error.code
        return "accepted"

    assert sorted(together(2, accept_own)) == ["accepted", "other_accepted"]
    assert Transform.objects.filter(status="accepted").count() == 1
    kept = set(TransformDecision.objects.values_list("status", "decided_by_id"))
    assert {status for status, _ in kept} == {"accepted", "refused"}
    assert {who for _, who in kept} == {actor.pk for actor in actors}
