"""Specimens and their states."""

from __future__ import annotations

import json

import pytest
from django.db import IntegrityError, transaction

from apps.catalog import services
from apps.catalog.models import Specimen, State
from apps.catalog.selectors import MAX_DEPTH
from apps.core.errors import ConflictError, InvalidValueError, NotFoundError, PermissionRefusedError
from apps.provenance import selectors as ledger
from apps.provenance.models import Edge, Event, Node
from tests.factories import MaterialFactory, ProjectFactory, SpecimenFactory, UserFactory, member

pytestmark = pytest.mark.django_db
URL = "/api/v1/specimens/"


def test_a_new_specimen_is_in_state_0_and_recorded():
    material = MaterialFactory()
    parent = SpecimenFactory()
    specimen = SpecimenFactory(project=parent.project, parent=parent, material=material, name=" Coupon 1 ")
    assert specimen.name == "Coupon 1"
    assert specimen.current_state.number == 0
    assert specimen.current_state.label == "as received"
    edges = set(Edge.objects.filter(subject=specimen.pk).values_list("relation", "object_id"))
    assert ("wasDerivedFrom", parent.pk) in edges
    assert Node.objects.get(id=specimen.current_state_id).type == "corr:SpecimenState"
    assert ledger.texts_of([specimen.pk])[specimen.pk]["name"] == "Coupon 1"


def test_names_do_not_stand_in_the_hashed_record():
    specimen = SpecimenFactory(name="Jane Doe's coupon", key_values={"cut by": "Jane Doe"}, description="for Jane Doe")
    services.update_specimen(actor=specimen.created_by, specimen=specimen, description="by Jane Doe again")
    assert not Event.objects.filter(payload__contains="Jane").exists()


def test_who_may_make_one():
    project = ProjectFactory()
    with pytest.raises(NotFoundError):
        services.create_specimen(actor=UserFactory(), project=project, name="a")
    with pytest.raises(PermissionRefusedError, match="contributor"):
        services.create_specimen(actor=member(project, "viewer"), project=project, name="a")
    assert services.create_specimen(actor=member(project, "contributor"), project=project, name="a").pk
    assert Specimen.objects.count() == 1


def test_a_refused_specimen_leaves_neither_row_nor_event():
    specimen = SpecimenFactory()
    before = Event.objects.count()
    with pytest.raises(ConflictError) as refused:
        SpecimenFactory(project=specimen.project, name=specimen.name)
    assert refused.value.field == "name"
    assert Event.objects.count() == before
    assert Specimen.objects.count() == State.objects.count() == 1


def test_a_parent_is_of_the_same_project_and_the_tree_has_a_floor():
    other = SpecimenFactory()
    with pytest.raises(InvalidValueError, match="another project") as refused:
        SpecimenFactory(parent=other)
    assert refused.value.field == "parent"
    branch = other
    for depth in range(1, MAX_DEPTH):
        branch = Specimen.objects.create(
            project=other.project, name=f"depth {depth}", parent=branch, created_by=other.created_by
        )
    with pytest.raises(InvalidValueError, match=f"{MAX_DEPTH} deep"):
        SpecimenFactory(project=other.project, parent=branch)


def test_a_change_keeps_the_former_words_in_the_record():
    specimen = SpecimenFactory(name="old")
    services.update_specimen(actor=specimen.created_by, specimen=specimen, name="new", tags=["a"])
    specimen.refresh_from_db()
    assert (specimen.name, specimen.tags) == ("new", ["a"])
    version = Edge.objects.get(relation="specializationOf", object=specimen.pk, role="version").subject
    assert version.attributes["corr:after"] == {"fields": ["name", "tags"]}
    texts = ledger.texts_of([specimen.pk, version.pk])
    assert texts[specimen.pk]["name"] == "old"
    assert texts[version.pk] == {"name": "new", "tags": '["a"]'}


def test_what_is_no_word_does_not_change():
    specimen = SpecimenFactory()
    with pytest.raises(InvalidValueError, match="does not change"):
        services.update_specimen(actor=specimen.created_by, specimen=specimen, parent=None)


@pytest.mark.parametrize(
    "rows",
    [
        lambda s: Specimen.objects.create(project=s.project, name=s.name, created_by=s.created_by),
        lambda s: Specimen.objects.create(project=s.project, name="", created_by=s.created_by),
        lambda s: Specimen.objects.filter(pk=s.pk).update(parent=s),
        lambda s: State.objects.create(specimen=s, number=0, label="again"),
    ],
)
def test_the_database_refuses_what_cannot_be(rows):
    specimen = SpecimenFactory()
    with pytest.raises(IntegrityError), transaction.atomic():
        rows(specimen)


# ---------------------------------------------------------------------------------------------------------------- REST


def test_post_answers_as_get_does(as_user):
    project = ProjectFactory()
    parent = SpecimenFactory(project=project)
    body = {
        "project": str(project.pk),
        "name": "A1",
        "parent": str(parent.pk),
        "material": str(MaterialFactory().pk),
        "tags": ["fibre"],
        "external_ids": {"igsn": "XXAB"},
        "key_values": {"ply": 3},
    }
    client = as_user(project.created_by)
    made = client.post(URL, body)
    assert made.status_code == 201, made.content
    assert next(iter(made.json())) == "id"
    assert made.json() == client.get(f"{URL}{made.json()['id']}/").json()
    assert {key: made.json()[key] for key in body} == body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"id": "3f0f3f0f-0000-4000-8000-000000000000"}, "id"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": None}, "name"),
        ({"project": "not-an-id"}, "project"),
        ({"tags": "a"}, "tags"),
        ({"tags": ["a", ["b"]]}, "tags.1"),
        ({"tags": [1]}, "tags.0"),
        ({"key_values": [1]}, "key_values"),
        ({"key_values": {"a": [1]}}, "key_values.a"),
        ({"external_ids": {"igsn": 3}}, "external_ids.igsn"),
        ({"material": "3f0f3f0f-0000-4000-8000-000000000000"}, "material"),
    ],
)
def test_a_bad_body_is_named_and_stores_nothing(as_user, change, field):
    project = ProjectFactory()
    answer = as_user(project.created_by).post(URL, {"project": str(project.pk), "name": "A1"} | change)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert field in answer.json()["errors"], answer.json()
    assert not Specimen.objects.exists()


def test_nul_and_nan_are_no_json(as_user):
    project = ProjectFactory()
    for text in (
        json.dumps({"project": str(project.pk), "name": "a\x00"}),
        f'{{"project": "{project.pk}", "name": "a", "key_values": {{"a": NaN}}}}',
    ):
        answer = as_user(project.created_by).post(URL, text, content_type="application/json")
        assert answer.status_code == 400
    assert not Specimen.objects.exists()


def test_ids_of_another_project_are_refused_by_field(as_user):
    mine, hidden = ProjectFactory(), SpecimenFactory()
    client = as_user(mine.created_by)
    answer = client.post(URL, {"project": str(hidden.project.pk), "name": "a"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["project"])
    answer = client.post(URL, {"project": str(mine.pk), "name": "a", "parent": str(hidden.pk)})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["parent"])
    both = SpecimenFactory(project=ProjectFactory(actor=mine.created_by))
    answer = client.post(URL, {"project": str(mine.pk), "name": "a", "parent": str(both.pk)})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["parent"])


def test_who_sees_what(as_user):
    specimen = SpecimenFactory()
    detail = f"{URL}{specimen.pk}/"
    assert as_user(None).get(detail).status_code == 401
    outsider = as_user(UserFactory(is_staff=True, is_superuser=True))
    assert outsider.get(detail).status_code == 404
    assert outsider.get(URL).json()["results"] == []
    viewer = as_user(member(specimen.project, "viewer"))
    assert viewer.get(detail).status_code == 200
    assert viewer.patch(detail, {"name": "b"}).status_code == 403
    assert viewer.post(URL, {"project": str(specimen.project.pk), "name": "b"}).status_code == 403
    assert as_user(member(specimen.project, "contributor")).put(detail, {"name": "b"}).status_code == 405
    assert as_user(specimen.created_by).delete(detail).status_code == 405


def test_patch_changes_words_only(as_user):
    specimen = SpecimenFactory()
    client = as_user(specimen.created_by)
    answer = client.patch(f"{URL}{specimen.pk}/", {"description": "polished well", "key_values": {"a": 1}})
    assert answer.status_code == 200
    assert (answer.json()["description"], answer.json()["key_values"]) == ("polished well", {"a": 1})
    answer = client.patch(f"{URL}{specimen.pk}/", {"parent": None})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["parent"])
    taken = SpecimenFactory(project=specimen.project)
    assert client.patch(f"{URL}{specimen.pk}/", {"name": taken.name}).status_code == 409


def test_the_tree_is_nested_and_names_the_way_up(as_user):
    panel = SpecimenFactory(name="panel")
    project = panel.project
    coupon = SpecimenFactory(project=project, parent=panel, name="coupon")
    for name in ("b", "a"):
        SpecimenFactory(project=project, parent=coupon, name=name)
    tree = as_user(project.created_by).get(f"{URL}{coupon.pk}/tree/").json()
    assert tree["id"] == str(coupon.pk)
    assert tree["ancestors"] == [{"id": str(panel.pk), "name": "panel"}]
    assert [child["name"] for child in tree["children"]] == ["a", "b"]
    whole = as_user(project.created_by).get(f"{URL}{panel.pk}/tree/").json()
    assert [child["name"] for child in whole["children"][0]["children"]] == ["a", "b"]
    assert whole["truncated"] is False


def test_states_come_in_order(as_user):
    specimen = SpecimenFactory()
    services.record_event(actor=specimen.created_by, specimen=specimen, kind="polish", occurred_at=specimen.created_at)
    states = as_user(specimen.created_by).get(f"{URL}{specimen.pk}/states/").json()["results"]
    assert [state["number"] for state in states] == [0, 1]
    assert states[0]["opened_by"] is None
    assert states[1]["opened_by"] == str(specimen.events.get().pk)


@pytest.mark.parametrize("query", ["colour=red", "project=abc", "name=%00", "parent=1"])
def test_a_bad_query_is_a_400(as_user, query):
    assert as_user(UserFactory()).get(f"{URL}?{query}").status_code == 400


def test_filters_and_a_constant_number_of_queries(as_user, django_assert_max_num_queries):
    first = SpecimenFactory()
    client = as_user(first.created_by)
    for _ in range(10):
        SpecimenFactory(project=first.project, parent=first, material=MaterialFactory())
    with django_assert_max_num_queries(3):
        assert len(client.get(f"{URL}?project={first.project.pk}").json()["results"]) == 11
    assert [row["id"] for row in client.get(f"{URL}?root=true").json()["results"]] == [str(first.pk)]
    assert len(client.get(f"{URL}?parent={first.pk}").json()["results"]) == 10
