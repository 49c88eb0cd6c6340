# ruff: noqa: PT012 - what fails is the act as a whole, and its body is several statements
"""What an act writes, and that a failed one writes nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.core.errors import InvalidValueError, NotFoundError
from apps.provenance import checks, record, selectors
from apps.provenance.models import Annotation, ChainHead, Edge, ErasableText, Event, Node, Stale
from apps.provenance.record import RecordError
from apps.provenance.registry import NotRegisteredError
from apps.provenance.relations import Relation
from tests.provenance.things import Image, Member, Person, Run, Specimen, Unregistered

pytestmark = pytest.mark.django_db


def edges(relation: Relation) -> set[tuple[uuid.UUID, uuid.UUID]]:
    return set(Edge.objects.filter(relation=relation).values_list("subject_id", "object_id"))


def test_one_act_is_one_event_with_all_statements(ann, project):
    specimen, image = Specimen(project_id=project), Image(project_id=project)
    with record.act("image.acquire", actor=ann, project=project, reason="survey") as act:
        act.created(specimen, attributes={"corr:label": "S1"})
        act.created(image, erasable={"file_name": "smith.tif"}, role="result")
        act.derived(image, specimen, role="field")

    event = Event.objects.get()
    assert (event.seq, event.verb, event.project, event.activity) == (1, "image.acquire", project, act.id)
    payload = json.loads(event.payload)
    assert {node["id"] for node in payload["nodes"]} == {
        f"urn:uuid:{n}" for n in Node.objects.values_list("id", flat=True)
    }
    assert edges(Relation.WAS_GENERATED_BY) == {(specimen.id, act.id), (image.id, act.id)}
    assert edges(Relation.WAS_ATTRIBUTED_TO) == {(specimen.id, ann.pk), (image.id, ann.pk)}
    assert edges(Relation.WAS_ASSOCIATED_WITH) == {(act.id, ann.pk)}
    derivation = Edge.objects.get(relation=Relation.WAS_DERIVED_FROM)
    assert (derivation.subject_id, derivation.object_id, derivation.activity) == (image.id, specimen.id, act.id)
    assert derivation.role == "field"
    node = Node.objects.get(id=specimen.id)
    assert (node.kind, node.type, node.project, node.attributes) == (
        "entity",
        "test:Specimen",
        project,
        {"corr:label": "S1"},
    )
    assert checks.verify_chain() == []


def test_hash_is_of_version_byte_previous_hash_and_payload(ann, project):
    for _ in range(2):
        with record.act("specimen.create", actor=ann, project=project) as act:
            act.created(Specimen(project_id=project))
    first, second = Event.objects.order_by("seq")
    assert first.prev_hash == "00" * 32
    assert second.prev_hash == first.hash
    expected = hashlib.sha256(b"\x01" + bytes.fromhex(first.hash) + second.payload.encode()).hexdigest()
    assert second.hash == expected
    assert (ChainHead.objects.get().seq, ChainHead.objects.get().hash) == (2, second.hash)


def test_names_and_reasons_are_not_in_the_hashed_record(ann, project):
    with record.act("image.ingest", actor=ann, project=project, reason="Smith asked") as act:
        act.created(Image(project_id=project), erasable={"file_name": "smith.tif"})
        act.associated(record.person_agent("Jo Smith"), role="operator")
    hashed = Event.objects.get().payload + json.dumps(list(Node.objects.values_list("attributes", flat=True)))
    for secret in ("Smith", "smith", "ann"):
        assert secret not in hashed
    assert set(ErasableText.objects.values_list("name", "text")) == {
        ("reason", "Smith asked"),
        ("file_name", "smith.tif"),
        ("name", "Jo Smith"),
        ("name", "ann"),
    }


def test_a_failing_body_leaves_neither_row_nor_event(ann, project):
    with pytest.raises(RuntimeError, match="disk"), record.act("image.ingest", actor=ann, project=project) as act:
        act.created(Image(project_id=project))
        raise RuntimeError("disk")
    assert not Event.objects.exists()
    assert not Node.objects.exists()
    assert not ChainHead.objects.exclude(seq=0).exists()  # none at all after a flush; the first event makes it


def test_a_bad_statement_undoes_the_rows_of_the_service_too(ann, project):
    with record.act("seed", actor=ann, project=project):
        pass
    with pytest.raises(RecordError, match="never recorded"), record.act("x", actor=ann, project=project) as act:
        # a row written by the service in the same transaction; here one of the ledger, since no other table is at hand
        Node.objects.create(id=uuid.uuid4(), kind="entity", type="corr:Row", seq=99)
        act.used(uuid.uuid4())
    assert not Node.objects.filter(type="corr:Row").exists()
    assert Event.objects.count() == 1


def test_acts_within_an_act_join_its_event(ann, project):
    image = Image(project_id=project)
    with record.act("outer", actor=ann, project=project) as outer:
        outer.created(image)
        with record.act("inner", actor=ann, project=project) as inner:
            inner.used(image)
    event = Event.objects.get()
    assert event.activity == outer.id
    assert edges(Relation.USED) == {(inner.id, image.id)}
    assert Node.objects.get(id=inner.id).attributes["corr:partOf"] == f"urn:uuid:{outer.id}"
    assert ErasableText.objects.filter(name="name").count() == 1


def test_an_inner_act_that_fails_is_forgotten_and_the_outer_goes_on(ann, project):
    kept, lost = Image(project_id=project), Image(project_id=project)
    with record.act("outer", actor=ann, project=project) as outer:
        outer.created(kept)
        with pytest.raises(ValueError, match="no"), record.act("inner", actor=ann, project=project) as inner:
            inner.created(lost)
            raise ValueError("no")
    assert Node.objects.filter(id=kept.id).exists()
    assert not Node.objects.filter(id__in=[lost.id, inner.id]).exists()


def test_acts_one_after_the_other_in_a_transaction_of_the_caller(ann, project):
    with transaction.atomic():
        for _ in range(3):
            with record.act("specimen.create", actor=ann, project=project):
                pass
    assert list(Event.objects.values_list("seq", flat=True)) == [1, 2, 3]
    assert checks.verify_chain() == []


def test_an_account_is_made_on_first_use_and_its_name_once(ann, project):
    for _ in range(2):
        with record.act("specimen.create", actor=ann, project=project):
            pass
    with record.act("specimen.create", actor=ann.pk, project=project):
        pass
    assert Node.objects.filter(kind="agent").count() == 1
    assert selectors.texts_of([ann.pk]) == {ann.pk: {"name": "ann"}}


def test_without_actor_the_system_acts(project):
    with record.act("sweep", actor=None, project=None) as act:
        pass
    agent = Node.objects.get(id=Edge.objects.get(relation=Relation.WAS_ASSOCIATED_WITH, subject=act.id).object_id)
    assert (agent.type, agent.attributes) == ("prov:SoftwareAgent", {"corr:name": "corrspace"})


def test_a_named_person_is_one_person_within_a_project(ann, project):
    other = uuid.uuid4()
    for where in (project, project, other):
        with record.act("acquire", actor=ann, project=where) as act:
            act.associated(record.person_agent("Jo Smith"), role="operator")
            with record.act("inner", actor=ann, project=where) as inner:
                inner.associated(record.person_agent(" Jo Smith "), role="operator")
    persons = Node.objects.filter(type="prov:Person").exclude(id=ann.pk)
    assert sorted(persons.values_list("project", flat=True)) == sorted([project, other])
    operators = Edge.objects.filter(role="operator").values_list("object_id", flat=True)
    assert len(operators) == 6
    assert set(operators) == set(persons.values_list("id", flat=True))


def test_a_named_person_is_not_an_account_of_the_same_name(project):
    account = Person("Jo Smith")
    with record.act("acquire", actor=account, project=None) as act:
        pass
    with record.act("acquire", actor=account, project=None) as act:
        act.associated(record.person_agent("Jo Smith"), role="operator")
    assert Edge.objects.get(role="operator").object_id != account.pk


def test_software_and_organisations_are_the_same_everywhere(ann, project):
    for _ in range(2):
        with record.act("run", actor=ann, project=project) as act:
            act.associated(record.software_agent("threshold", "1.2.0"), role="plugin")
            act.delegated(ann, record.organisation_agent("EM facility"))
    assert Node.objects.get(type="prov:SoftwareAgent").attributes == {"corr:name": "threshold", "corr:version": "1.2.0"}
    organisation = Node.objects.get(type="prov:Organization")
    assert edges(Relation.ACTED_ON_BEHALF_OF) == {(ann.pk, organisation.id)}
    assert Edge.objects.filter(relation=Relation.ACTED_ON_BEHALF_OF).count() == 2


def test_a_plan_is_an_entity_of_the_association(ann, project):
    with record.act("run", actor=ann, project=project, plan={"plugin": "bulk.bounds", "params": {"k": 0.2}}) as act:
        pass
    plan = Node.objects.get(type="prov:Plan")
    assert plan.attributes == {"plugin": "bulk.bounds", "params": {"k": 0.2}}
    assert Edge.objects.get(relation=Relation.WAS_ASSOCIATED_WITH).plan == plan.id
    assert edges(Relation.HAD_PLAN) == {(act.id, plan.id)}


def test_a_change_is_a_version_that_revises_the_one_before(ann, project):
    specimen = Specimen(project_id=project)
    with record.act("create", actor=ann, project=project) as act:
        act.created(specimen)
    with record.act("change", actor=ann, project=project) as act:
        first = act.changed(specimen, before={"tags": []}, after={"tags": ["a"]})
    with record.act("change", actor=ann, project=project) as act:
        second = act.changed(specimen, before={"tags": ["a"]}, after={"tags": ["b"]}, erasable={"note": "for Jo"})
        third = act.changed(specimen, before={"n": 1}, after={"n": 2})
    assert edges(Relation.SPECIALIZATION_OF) == {(v, specimen.id) for v in (first, second, third)}
    assert edges(Relation.WAS_REVISION_OF) == {(first, specimen.id), (second, first), (third, second)}
    version = selectors.load_nodes([second])[0]
    assert version.attributes == {"corr:before": {"tags": ["a"]}, "corr:after": {"tags": ["b"]}}
    assert version.texts == {"note": "for Jo"}


def test_a_job_is_an_activity_said_of_twice(ann, project):
    run = Run(project_id=project)
    began = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
    image = Image(project_id=project)
    with record.act("job.submit", actor=ann, project=project) as submit:
        submit.created(run, attributes={"corr:kind": "analysis"})
    with record.act("job.cancel", actor=ann, project=project) as cancel:
        assert cancel.changed(run, before={"cancel": False}, after={"cancel": True}) == run.id
    with record.act("job.finish", actor=ann, project=project, activity=run, started_at=began) as finish:
        finish.created(image)
    assert finish.id == run.id
    assert edges(Relation.WAS_INFORMED_BY) == {(run.id, submit.id)}
    assert edges(Relation.WAS_GENERATED_BY) == {(image.id, run.id)}
    node = selectors.load_nodes([run.id])[0]
    assert node.type == "test:Run"
    assert node.attributes["prov:startTime"] == "2026-03-01T12:00:00.000000Z"
    assert node.attributes["corr:kind"] == "analysis"
    assert node.attributes["corr:changed"][0]["corr:after"] == {"cancel": True}
    assert checks.verify_chain() == []


def test_a_job_made_and_run_in_one_act(ann, project):
    run = Run(project_id=project)
    with record.act("submit", actor=ann, project=project) as submit:
        submit.created(run, attributes={"corr:kind": "verify"})
        with record.act("finish", actor=ann, project=project, activity=run):
            pass
    attributes = Node.objects.get(id=run.id).attributes
    assert (attributes["corr:kind"], attributes["corr:verb"]) == ("verify", "finish")


def test_an_account_can_be_made_and_changed(ann):
    member = Member()
    with record.act("account.create", actor=ann, project=None) as act:
        act.created(member, erasable={"name": "bob"})
    with record.act("account.change", actor=Person("bob", member.pk), project=None) as act:
        version = act.changed(member, before={"active": True}, after={"active": False})
    assert Node.objects.get(id=member.pk).kind == "agent"
    assert (version, member.pk) in edges(Relation.SPECIALIZATION_OF)
    assert ErasableText.objects.filter(node=member.pk, name="name").count() == 1


def test_invalidation_and_staleness_ask_for_a_reason(ann, project):
    image = Image(project_id=project)
    with record.act("create", actor=ann, project=project) as act:
        act.created(image)
    for say in (
        lambda act: act.invalidated(image, reason=" "),
        lambda act: act.stale([image.id], image.id, ""),
    ):
        with pytest.raises(InvalidValueError) as refusal, record.act("x", actor=ann, project=project) as act:
            say(act)
        assert refusal.value.field == "reason"
    with record.act("delete", actor=ann, project=project) as act:
        act.invalidated(image, reason="wrong specimen")
    assert selectors.invalidated([image.id]) == {image.id: act.id}
    assert selectors.texts_of([image.id]) == {image.id: {"invalidation_reason": "wrong specimen"}}


def test_stale_marks_are_read_by_thing(ann, project):
    old, first, second = (Image(project_id=project) for _ in range(3))
    with record.act("create", actor=ann, project=project) as act:
        for image in (old, first, second):
            act.created(image)
    with record.act("withdraw", actor=ann, project=project) as act:
        act.stale([first.id], old.id, "calibration withdrawn")
    assert selectors.is_stale([first.id, second.id, uuid.uuid4()]) == {first.id}
    (mark,) = selectors.stale_marks([first.id])
    assert (mark["cause"], mark["reason"], mark["seq"]) == (old.id, "calibration withdrawn", 2)
    assert Stale.objects.count() == 1


def test_assertions_by_hand_are_listed(ann, project):
    image = Image(project_id=project)
    with record.act("create", actor=ann, project=project) as act:
        act.created(image)
    for value in (1.5, 1.6):
        with record.act("scale", actor=ann, project=project) as act:
            act.asserted(image, "spacing", {"x": {"value": value, "unit": "um", "u": 0.1}})
    said = selectors.assertions([image.id])
    assert [entry["value"]["x"]["value"] for entry in said] == [1.5, 1.6]
    assert said[1]["by"] == act.id
    assert len(selectors.load_nodes([image.id])[0].attributes["corr:assertedByHand"]) == 2
    assert Annotation.objects.count() == 2


def test_erasing_keeps_the_chain_and_is_recorded(ann, project):
    image = Image(project_id=project)
    with record.act("ingest", actor=ann, project=project) as act:
        act.created(image, erasable={"file_name": "smith.tif"})
    text = ErasableText.objects.get(name="file_name")
    record.erase_texts([text.id], actor=ann, project=project, reason="asked by the person")
    erased = ErasableText.objects.get(id=text.id)
    assert (erased.text, erased.salt, erased.commitment) == (None, None, text.commitment)
    assert json.loads(Event.objects.get(seq=2).payload)["erased"] == [f"urn:uuid:{text.id}"]
    assert selectors.texts_of([image.id]) == {image.id: {"file_name": None}}
    assert checks.verify_chain() == []
    with pytest.raises(NotFoundError):
        record.erase_texts([text.id], actor=ann, project=project, reason="again")
    with pytest.raises(InvalidValueError):
        record.erase_texts([text.id], actor=ann, project=project, reason="")


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (lambda act, image: act.used(uuid.uuid4()), "never recorded"),
        (lambda act, image: act.derived(image, uuid.uuid4()), "never recorded"),
        (lambda act, image: act.used(act.id), "with itself"),
        (lambda act, image: act.derived(image, image), "with itself"),
        (lambda act, image: act.communicated(image), "object is an entity"),
        (lambda act, image: act.created(image), "already recorded"),
        (lambda act, image: act.derived(image, image, relation="copy"), "is not one of"),
        (lambda act, image: act.created(Image(), attributes={"x": float("nan")}), "no number"),
        (lambda act, image: act.created(Image(), attributes={"x": dt.datetime(2026, 1, 1)}), "no zone"),  # noqa: DTZ001
        (lambda act, image: act.created(Image(), erasable={"name": "a\x00b"}), "NUL"),
        (lambda act, image: act.associated(Person("x", pk=7)), "must be a UUID"),
        (lambda act, image: act.erased(uuid.uuid4()), "texts to erase"),
    ],
)
def test_what_cannot_be_is_a_bug_and_writes_nothing(ann, project, say, message):
    image = Image(project_id=project)
    with record.act("create", actor=ann, project=project) as act:
        act.created(image)
    with pytest.raises(RecordError, match=message), record.act("bad", actor=ann, project=project) as act:
        say(act, image)
    assert Event.objects.count() == 1


def test_only_registered_models_take_part(ann, project):
    with pytest.raises(NotRegisteredError, match="Unregistered"), record.act("x", actor=ann, project=project) as act:
        act.created(Unregistered())


def test_a_derivation_takes_few_statements(ann, project):
    source = Image(project_id=project)
    with record.act("create", actor=ann, project=project) as act:
        act.created(source)
    with (
        CaptureQueriesContext(
            connection,
        ) as queries,
        record.act("run", actor=ann, project=project) as act,
    ):
        act.used(source)
        for _ in range(50):
            made = Image(project_id=project)
            act.created(made)
            act.derived(made, source)
    assert len(queries) <= 14, [query["sql"][:100] for query in queries]
