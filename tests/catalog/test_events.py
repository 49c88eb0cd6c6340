"""What is done to a specimen opens its next state."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.catalog.models import Specimen, SpecimenEvent, State
from apps.catalog.services import ChildSpec, record_event
from apps.core.errors import ConflictError, InvalidValueError, PermissionRefusedError
from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Event, Node
from tests.factories import NOON, SpecimenEventFactory, SpecimenFactory, member

pytestmark = pytest.mark.django_db


def record(specimen, **changes):
    values = {"actor": specimen.created_by, "specimen": specimen, "kind": "polish", "occurred_at": NOON}
    return record_event(**values | changes)


def test_an_event_opens_the_next_state():
    specimen = SpecimenFactory()
    first = record(specimen)
    second = record(specimen, kind="etch")
    specimen.refresh_from_db()
    assert (first.opens.number, second.opens.number) == (1, 2)
    assert specimen.current_state == second.opens
    assert second.opens.label == "etch"


def test_the_event_is_the_activity_between_two_states():
    specimen = SpecimenFactory()
    received = specimen.current_state
    event = record(specimen, performed_by="Jane Doe", conditions={"time": {"value": 24, "unit": "h"}})
    node = Node.objects.get(id=event.pk)
    assert (node.kind, node.type) == ("activity", "corr:SpecimenEvent")
    edges = set(Edge.objects.values_list("relation", "subject_id", "object_id"))
    assert ("used", event.pk, received.pk) in edges
    assert ("wasGeneratedBy", event.opens_id, event.pk) in edges
    assert ("wasDerivedFrom", event.opens_id, received.pk) in edges
    performer = Edge.objects.get(relation="wasAssociatedWith", subject=event.pk, role="performer").object
    assert ledger.texts_of([performer.pk])[performer.pk]["name"] == "Jane Doe"
    said = ledger.assertions([event.pk])
    assert said[0]["value"]["conditions"] == {"time": {"value": 24.0, "unit": "h"}}
    assert not Event.objects.filter(payload__contains="Jane").exists()


def test_a_lift_out_makes_a_child_with_a_state_of_its_own():
    specimen = SpecimenFactory()
    event = record(specimen, kind="lift_out", child=ChildSpec(name="lamella"))
    child = Specimen.objects.get(name="lamella")
    assert event.child == child
    assert child.parent == specimen
    assert child.current_state.number == 0
    sources = set(Edge.objects.filter(relation="wasDerivedFrom", subject=child.pk).values_list("object_id", flat=True))
    assert specimen.pk in sources


def test_a_known_piece_gets_its_origin():
    specimen = SpecimenFactory()
    piece = SpecimenFactory(project=specimen.project)
    record(specimen, kind="cut", child=piece)
    piece.refresh_from_db()
    assert piece.parent == specimen
    with pytest.raises(ConflictError, match="another origin"):
        record(specimen, kind="cut", child=piece)


def test_a_piece_of_another_origin_project_or_of_itself_is_refused():
    specimen = SpecimenFactory()
    child = SpecimenFactory(project=specimen.project, parent=specimen)
    grandchild = SpecimenFactory(project=specimen.project, parent=child)
    for wrong, error in (
        (SpecimenFactory(), InvalidValueError),
        (specimen, InvalidValueError),
        (grandchild, ConflictError),
    ):
        with pytest.raises(error) as refused:
            record(specimen, kind="lift_out", child=wrong)
        assert refused.value.field == "child"
    with pytest.raises(InvalidValueError, match="no piece of itself"):
        record(grandchild, kind="lift_out", child=specimen)
    assert not SpecimenEvent.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "burn"}, "kind"),
        ({"child": ChildSpec(name="a")}, "child"),
        ({"kind": "cut", "child": ChildSpec(name=" ")}, "child.name"),
        ({"geometry": {"type": "point"}}, "geometry"),
        ({"occurred_at": NOON.replace(tzinfo=None)}, "occurred_at"),
        ({"conditions": {"t": {"value": 1, "unit": "degC"}}}, "conditions.t.unit"),
        ({"performed_by": "a\x00"}, "performed_by"),
    ],
)
def test_a_bad_event_names_its_field_and_changes_nothing(changes, field):
    specimen = SpecimenFactory()
    events = Event.objects.count()
    with pytest.raises(InvalidValueError) as refused:
        record(specimen, **changes)
    assert refused.value.field == field
    assert (State.objects.count(), SpecimenEvent.objects.count(), Event.objects.count()) == (1, 0, events)


def test_a_taken_name_of_a_child_is_a_conflict_that_changes_nothing():
    specimen = SpecimenFactory()
    with pytest.raises(ConflictError):
        record(specimen, kind="cut", child=ChildSpec(name=specimen.name))
    specimen.refresh_from_db()
    assert specimen.current_state.number == 0
    assert not SpecimenEvent.objects.exists()


def test_a_viewer_records_nothing():
    specimen = SpecimenFactory()
    with pytest.raises(PermissionRefusedError):
        record(specimen, actor=member(specimen.project, "viewer"))


def test_the_database_refuses_what_cannot_be():
    event = SpecimenEventFactory()
    for change in ({"child": event.specimen}, {"opens": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SpecimenEvent.objects.filter(pk=event.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        SpecimenEvent.objects.create(
            specimen=event.specimen, kind="cut", occurred_at=NOON, opens=event.opens, created_by=event.created_by
        )
