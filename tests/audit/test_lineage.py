"""Lineage through the callers' eyes: the maker sees all, the outsider nothing, a stub leaks nothing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.audit import selectors
from apps.core.errors import InvalidValueError, NotFoundError
from apps.imaging.models import SourceFile
from apps.projects.services import create_project
from apps.provenance import record
from tests.study import Study

pytestmark = pytest.mark.django_db


def client_of(user: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_the_tensor_reaches_file_person_plugin_and_state(study: Study) -> None:
    tensor = study.result("conductivity", "tensor")
    found = selectors.lineage(study.maker, tensor.pk)
    by_id = {node.id: node for node in found.nodes}
    source = SourceFile.objects.get(acquisition=study.acquisition)
    assert {source.pk, study.image.pk, study.labels.pk, study.maker.pk, study.acquisition.state_id} <= set(by_id)
    software = {label.title for pk, label in found.labels.items() if by_id[pk].type == "prov:SoftwareAgent"}
    assert any(title.startswith("bulk.conductivity ") for title in software)


def test_downstream_of_the_file_is_everything_made_from_it(study: Study) -> None:
    source = SourceFile.objects.get(acquisition=study.acquisition)
    found = selectors.lineage(study.maker, source.pk, direction="downstream")
    made = {uuid.UUID(output["id"]) for job in study.jobs.values() for output in job.outputs.values()}
    assert made <= {node.id for node in found.nodes}


def test_an_outsider_cannot_tell_hidden_from_absent(study: Study) -> None:
    tensor = study.result("conductivity", "tensor")
    answers = [client_of(study.outsider).get(f"/api/v1/lineage/{pk}/") for pk in (tensor.pk, uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    bodies = [answer.json()["detail"].replace(str(tensor.pk), "") for answer in answers]
    assert bodies[0].split(" under ")[0] == bodies[1].split(" under ")[0]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("direction=sideways", "direction"),
        ("limit=0", "limit"),
        ("limit=ten", "limit"),
        ("depth=-1", "depth"),
        ("since=yesterday", "since"),
        ("agent=me", "agent"),
        ("relation=likes", "relation"),
        ("colour=red", "colour"),
        ("cursor=abc", "cursor"),
    ],
)
def test_a_wrong_question_is_named(study: Study, query: str, field: str) -> None:
    answer = client_of(study.maker).get(f"/api/v1/lineage/{study.image.pk}/?{query}")
    assert answer.status_code == 400
    assert field in answer.json()["errors"]


def test_a_cap_says_that_there_is_more(study: Study) -> None:
    tensor = study.result("conductivity", "tensor")
    answer = client_of(study.viewer).get(f"/api/v1/lineage/{tensor.pk}/?limit=3").json()
    assert answer["truncated"]
    assert len(answer["nodes"]) <= 4


def test_the_limit_has_a_ceiling(study: Study) -> None:
    with pytest.raises(InvalidValueError):
        selectors.lineage(study.maker, study.image.pk, limit=10**6)


def test_lineage_takes_a_constant_number_of_statements(study: Study, django_assert_max_num_queries: Any) -> None:
    client = client_of(study.viewer)
    tensor = study.result("conductivity", "tensor")
    with django_assert_max_num_queries(22):
        client.get(f"/api/v1/lineage/{tensor.pk}/")
    with django_assert_max_num_queries(22):
        client.get(f"/api/v1/lineage/{study.image.pk}/?direction=both")


@pytest.mark.parametrize(("form", "media_type"), [("json", "application/json"), ("provn", "text/provenance-notation")])
def test_the_export_is_prov(study: Study, form: str, media_type: str) -> None:
    tensor = study.result("conductivity", "tensor")
    answer = client_of(study.viewer).get(f"/api/v1/properties/{tensor.pk}/provenance/", HTTP_ACCEPT=media_type)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith(media_type)
    assert str(study.image.pk) in answer.content.decode()
    assert client_of(study.outsider).get(f"/api/v1/properties/{tensor.pk}/provenance/").status_code == 404


def test_a_form_that_is_not_there_is_refused_with_the_list(study: Study) -> None:
    tensor = study.result("conductivity", "tensor")
    url = f"/api/v1/properties/{tensor.pk}/provenance/"
    refused = client_of(study.viewer).get(url, HTTP_ACCEPT="image/png")
    assert refused.status_code == 406
    assert "application/json" in refused.json()["detail"]
    assert client_of(study.viewer).get(f"{url}?format=pdf").status_code == 400


def test_nothing_recorded_is_not_found(study: Study) -> None:
    with pytest.raises(NotFoundError):
        selectors.lineage(study.maker, uuid.uuid4())


def test_an_outsider_learns_nothing_by_asking_below_a_plugin(study: Study) -> None:
    tensor = study.result("conductivity", "tensor")
    own = selectors.lineage(study.maker, tensor.pk)
    agents = [node.id for node in own.nodes if node.type == "prov:SoftwareAgent"]
    plugin = next(pk for pk in agents if own.labels[pk].title.startswith("bulk.conductivity "))
    client = client_of(study.outsider)
    filters = [
        *(f"type={name}" for name in sorted({node.type for node in own.nodes} | {"corr:Nothing"})),
        *(f"kind={kind}" for kind in ("entity", "activity", "agent")),
        *(f"agent={agent}" for agent in (study.maker.pk, study.outsider.pk, plugin, uuid.uuid4())),
        *(f"{side}={year}-01-01T00:00:00Z" for side in ("since", "until") for year in (2000, 2100)),
        *(f"depth={depth}" for depth in range(4)),
    ]
    for direction in ("downstream", "upstream", "both"):
        answers = [
            client.get(f"/api/v1/lineage/{plugin}/?direction={direction}&{query}&limit={limit}")
            for query in filters
            for limit in (1, 2, 1000)
        ]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
    assert client.get(f"/api/v1/lineage/{plugin}/?direction=downstream").json()["edges"] == []
    seen = client_of(study.viewer).get(f"/api/v1/lineage/{plugin}/?direction=downstream&type=corr:Property").json()
    assert str(tensor.pk) in {node["id"] for node in seen["nodes"]}


def test_a_person_begins_at_themselves_only(study: Study) -> None:
    own = client_of(study.maker).get(f"/api/v1/lineage/{study.maker.pk}/?direction=downstream&type=corr:Job")
    assert {node["id"] for node in own.json()["nodes"]} >= {str(job.pk) for job in study.jobs.values()}
    for other in (study.viewer, study.outsider):
        assert client_of(other).get(f"/api/v1/lineage/{study.maker.pk}/").status_code == 404


def test_dependents_hold_no_stubs(study: Study) -> None:
    elsewhere = create_project(actor=study.outsider, name="elsewhere")
    with record.act("borrow", actor=study.outsider, project=elsewhere.pk) as act:
        act.derived(act.entity("corr:Thing"), study.image.pk)
    seen = selectors.lineage(study.viewer, study.image.pk, direction="downstream")
    assert any(node.hidden for node in seen.nodes)
    dependents = selectors.stale(study.image, study.viewer)["dependents"]
    assert dependents
    assert not any(node["hidden"] for node in dependents)
