"""Whatever is done to the tables behind the ledger's back is found and named."""

from __future__ import annotations

import uuid

import pytest

from apps.provenance import checks, record
from apps.provenance.canonical import event_hash
from apps.provenance.models import ChainHead, Edge, ErasableText, Event, Node
from tests.provenance.tampering import tamper
from tests.provenance.things import Image

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _five_events(ann, project) -> None:
    former = None
    for number in range(5):
        image = Image(project_id=project)
        with record.act("image.make", actor=ann, project=project, reason=f"step {number}") as act:
            act.created(image, attributes={"corr:number": number})
            if former is not None:
                act.derived(image, former)
                act.stale([image.id], former.id, "late")
            act.asserted(image, "spacing", {"x": 0.5})
        former = image


def codes(since: int = 0) -> set[str]:
    return {finding.code for finding in checks.verify_chain(since)}


def test_an_untouched_chain_has_no_findings():
    assert checks.verify_chain() == []
    assert checks.verify_chain(since=3) == []


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE provenance_event SET payload = replace(payload, 'step', 'leap') || ' ' WHERE seq = 3", "hash"),
        ("UPDATE provenance_event SET verb = 'other' WHERE seq = 3", "column"),
        ("UPDATE provenance_event SET recorded_at = '2001-01-01 00:00:00+00:00' WHERE seq = 3", "column"),
        ("DELETE FROM provenance_event WHERE seq = 3", "gap"),
        ("DELETE FROM provenance_event WHERE seq = 5", "head"),
        ("DELETE FROM provenance_chainhead", "head"),
        ("UPDATE provenance_node SET type = 'corr:Other' WHERE type = 'test:Image' AND seq = 2", "row_extra"),
        ("UPDATE provenance_edge SET role = 'other' WHERE seq = 4", "row_missing"),
        ("DELETE FROM provenance_edge WHERE seq = 4", "row_missing"),
        ("UPDATE provenance_edge SET seq = 3 WHERE seq = 4", "row_extra"),
        ("UPDATE provenance_edge SET seq = 99 WHERE seq = 4", "row_extra"),
        ("DELETE FROM provenance_annotation WHERE seq = 2", "row_missing"),
        ("DELETE FROM provenance_stale WHERE seq = 2", "row_missing"),
        ("UPDATE provenance_erasabletext SET text = 'another reason' WHERE seq = 2 AND name = 'reason'", "text"),
        ("UPDATE provenance_erasabletext SET text = NULL, salt = NULL, erased_seq = 3 WHERE seq = 2", "row_extra"),
        ("UPDATE provenance_erasabletext SET text = NULL, salt = NULL, erased_seq = 77 WHERE seq = 2", "erasure"),
    ],
)
def test_tampering_is_named(statement, code):
    tamper(statement)
    assert code in codes()


def test_attributes_changed_in_the_row_alone_are_found():
    node = Node.objects.get(type="test:Image", seq=2)
    tamper("UPDATE provenance_node SET attributes = %s WHERE seq = 2 AND type = 'test:Image'", ['{"corr:number": 7}'])
    messages = [finding.message for finding in checks.verify_chain()]
    assert any(str(node.id) in message for message in messages)


def test_an_edge_slipped_in_is_found():
    edge = Edge.objects.filter(seq=3).first()
    Edge.objects.create(relation="used", subject=edge.subject, object=Edge.objects.filter(seq=1).first().object, seq=3)
    assert codes() == {"row_extra"}


def test_two_events_swapped_are_found():
    first, second = Event.objects.get(seq=2), Event.objects.get(seq=3)
    tamper("UPDATE provenance_event SET seq = -1 * seq + 1000 WHERE seq IN (2, 3)")
    tamper("UPDATE provenance_event SET seq = 3 WHERE hash = %s", [first.hash])
    tamper("UPDATE provenance_event SET seq = 2 WHERE hash = %s", [second.hash])
    assert {"link", "column"} <= codes()


def test_a_payload_rewritten_with_a_fresh_hash_breaks_the_next_link():
    event = Event.objects.get(seq=3)
    payload = event.payload.replace('"corr:number":2', '"corr:number":9')
    assert payload != event.payload
    fresh = event_hash(event.version, event.prev_hash, payload)
    tamper("UPDATE provenance_event SET payload = %s, hash = %s WHERE seq = 3", [payload, fresh])
    found = [(finding.code, finding.seq) for finding in checks.verify_chain()]
    assert ("link", 4) in found


def test_a_cut_tail_is_found_by_the_head_and_by_a_kept_number():
    tamper("DELETE FROM provenance_event WHERE seq >= 4")
    assert "head" in codes()
    assert codes(since=5) == {"gap"}


def test_a_head_put_back_with_the_tail_leaves_its_rows_as_traces():
    fourth = Event.objects.get(seq=4)
    tamper("DELETE FROM provenance_event WHERE seq = 5")
    tamper("UPDATE provenance_chainhead SET seq = 4, hash = %s", [fourth.hash])
    assert ChainHead.objects.get().seq == 4
    assert codes() == {"row_extra"}


def test_a_fork_is_refused_by_a_constraint():
    from django.db import IntegrityError, transaction

    third = Event.objects.get(seq=3)
    with pytest.raises(IntegrityError), transaction.atomic():
        Event.objects.create(
            seq=6,
            recorded_at=third.recorded_at,
            activity=third.activity,
            verb="x",
            version=1,
            payload="{}",
            prev_hash=third.prev_hash,
            hash="ab" * 32,
        )


def test_things_without_record_are_listed():
    known, unknown = Node.objects.filter(type="test:Image").first().id, uuid.uuid4()
    assert checks.unrecorded([known, unknown]) == {unknown}


def test_an_erased_text_hides_its_word(ann, project):
    text = ErasableText.objects.filter(name="reason").first()
    record.erase_texts([text.id], actor=ann, project=project, reason="asked")
    assert "step 0" not in "".join(Event.objects.values_list("payload", flat=True))
    assert checks.verify_chain() == []
