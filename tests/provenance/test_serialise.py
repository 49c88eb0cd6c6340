"""PROV documents say what the rows say, parse back equal, and hold to the schema."""

from __future__ import annotations

import datetime as dt
import json
import uuid

import jsonschema
import pytest
from hypothesis import given, settings
from prov.model import ProvDocument

from apps.provenance import graph, record
from apps.provenance.relations import Relation
from apps.provenance.rows import EdgeRow, NodeRow
from apps.provenance.serialise import to_document, to_json, to_provn
from tests.provenance.graphs import lineages
from tests.provenance.things import Image

A, B, C, D = (uuid.UUID(int=number) for number in range(1, 5))


def parsed(text: str, form: str) -> ProvDocument:
    return ProvDocument.deserialize(content=text, format=form)


@settings(max_examples=100, deadline=None)
@given(drawn=lineages())
def test_any_lineage_parses_back_equal_from_both_forms(drawn):
    document = to_document(*drawn)
    assert parsed(to_json(document), "json") == document
    assert parsed(to_provn(document), "provn") == document


def rich() -> tuple[list[NodeRow], list[EdgeRow]]:
    attributes = {
        "corr:spacing": 0.65,
        "count": 3,
        "ok": True,
        "none": None,
        "many": ["a", "b"],
        "params": {"k": [1, 2.5]},
        "matrix": [[1, 0], [0, 1]],
        "text": 'with "quotes", {braces} and µ',
    }
    nodes = [
        NodeRow(
            A,
            "entity",
            "corr:Image",
            attributes=attributes,
            texts={"file_name": "a.tif", "note": None},
            recorded_at=dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        ),
        NodeRow(
            B,
            "activity",
            "corr:Act",
            attributes={
                "prov:startTime": "2026-03-01T12:00:00.000000Z",
                "prov:endTime": "2026-03-01T12:05:00.000000Z",
                "corr:verb": "run",
            },
        ),
        NodeRow(C, "agent", "prov:Person", texts={"name": "ann"}),
        NodeRow(D, "entity", "prov:Plan", attributes={"plugin": "bulk.bounds"}),
    ]
    edges = [
        EdgeRow("used", B, A, role="image", time=dt.datetime(2026, 3, 1, tzinfo=dt.UTC)),
        EdgeRow("wasAssociatedWith", B, C, plan=D, role="operator"),
        EdgeRow("hadPlan", B, D),
        EdgeRow("wasRevisionOf", D, A, activity=B, role="field"),
    ]
    return nodes, edges


@pytest.mark.parametrize("base", ["", "https://corr.example/id/"])
def test_a_rich_document_parses_back_equal(base):
    document = to_document(*rich(), base)
    assert parsed(to_json(document), "json") == document
    assert parsed(to_provn(document), "provn") == document
    assert json.loads(to_json(document))["prefix"]["uuid"] == (base or "urn:uuid:")


def test_what_a_rich_document_says():
    said = json.loads(to_json(to_document(*rich())))
    entity = said["entity"][f"uuid:{A}"]
    assert entity["corr:spacing"] == {"$": "0.65", "type": "xsd:double"}
    assert entity["corr:count"] == {"$": "3", "type": "xsd:int"}
    assert entity["corr:text"] == 'with "quotes", {braces} and µ'
    assert sorted(entity["corr:many"]) == ["a", "b"]
    assert json.loads(entity["corr:params"]["$"]) == {"k": [1, 2.5]}
    assert "corr:none" not in entity
    assert (entity["corr:file_name"], entity["corr:erased"]) == ("a.tif", "note")
    assert said["activity"][f"uuid:{B}"]["prov:startTime"].startswith("2026-03-01T12:00:00")
    assert said["agent"][f"uuid:{C}"]["prov:label"] == "ann"
    (association,) = said["wasAssociatedWith"].values()
    assert (association["prov:plan"], association["prov:role"]) == (f"uuid:{D}", "operator")
    (revision,) = said["wasDerivedFrom"].values()
    assert revision["prov:type"]["$"] == "prov:Revision"
    assert (revision["prov:activity"], revision["corr:role"]) == (f"uuid:{B}", "field")
    assert "hadPlan" not in said


def test_every_relation_is_written():
    from apps.provenance.relations import RULES

    kind_ids = {"entity": [A, B], "activity": [C, D], "agent": [uuid.UUID(int=5), uuid.UUID(int=6)]}
    nodes = [NodeRow(id_, kind, f"test:{kind}") for kind, ids in kind_ids.items() for id_ in ids]
    for relation, rule in RULES.items():
        subject = kind_ids[sorted(rule.subject)[-1]][0]
        object_ = kind_ids[sorted(rule.object)[-1]][1]
        document = to_document(nodes, [EdgeRow(relation.value, subject, object_)])
        assert len(document.records) == len(nodes) + 1, relation
        assert parsed(to_provn(document), "provn") == document


def test_no_entity_is_typed_as_entity_and_dangling_ends_are_left_out():
    nodes = [NodeRow(A, "entity", "corr:Image"), NodeRow(B, "entity", "corr:Image")]
    edges = [EdgeRow("wasDerivedFrom", B, A, activity=C), EdgeRow("used", D, A)]
    text = to_json(to_document(nodes, edges))
    assert "prov:Entity" not in text
    assert str(C) not in text
    assert str(D) not in text


def test_a_base_must_end_where_the_id_begins():
    with pytest.raises(ValueError, match="must end in"):
        to_document([], [], "https://corr.example/id")


def test_documents_hold_to_the_prov_json_schema(shared_data):
    schema = json.loads((shared_data / "prov-cases" / "schemas" / "prov-json.schema.json").read_text())
    jsonschema.validate(json.loads(to_json(to_document(*rich()))), schema)


@pytest.mark.django_db
def test_a_recorded_derivation_comes_out_whole(ann, project):
    raw, made = Image(project_id=project), Image(project_id=project)
    with record.act("ingest", actor=ann, project=project) as act:
        act.created(raw)
        act.asserted(raw, "spacing", {"x": {"value": 0.65, "unit": "um"}})
    with record.act("run", actor=ann, project=project, plan={"plugin": "segmentation.threshold"}) as run:
        run.used(raw)
        run.created(made)
        run.derived(made, raw)
        run.associated(record.software_agent("segmentation.threshold", "1.0.0"))
    nodes, edges, _ = graph.neighbourhood([made.id], limit=100)
    document = to_document(nodes, edges)
    assert parsed(to_json(document), "json") == document
    said = json.loads(to_json(document))
    assert set(said) >= {"used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "wasAttributedTo"}
    assert "spacing" in json.dumps(said["entity"][f"uuid:{raw.id}"])
    assert Relation.HAD_PLAN.value not in said
