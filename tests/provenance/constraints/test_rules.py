"""Each rule by a document that breaks it alone, and one that comes near."""

from __future__ import annotations

import pytest

from apps.provenance.constraints import RULE_NAMES, read_provjson, read_provn, validate

T1, T2 = "2012-11-16T16:05:00", "2012-11-16T17:05:00"
MADE = "entity(ex:e1) entity(ex:e2) entity(ex:e3)"

BROKEN = {
    22: f"activity(ex:a, {T1}, -) activity(ex:a, {T2}, -)",
    23: "used(ex:u; ex:a, ex:e1) used(ex:u; ex:a, ex:e2)",
    24: "wasGeneratedBy(ex:g1; ex:e, ex:a, -) wasGeneratedBy(ex:g2; ex:e, ex:a, -)",
    25: "wasInvalidatedBy(ex:i1; ex:e, ex:a, -) wasInvalidatedBy(ex:i2; ex:e, ex:a, -)",
    26: "wasStartedBy(ex:s1; ex:a, ex:e1, ex:b, -) wasStartedBy(ex:s2; ex:a, ex:e1, ex:b, -)",
    27: "wasEndedBy(ex:s1; ex:a, ex:e1, ex:b, -) wasEndedBy(ex:s2; ex:a, ex:e1, ex:b, -)",
    28: f"activity(ex:a, {T1}, -) wasStartedBy(ex:a, -, -, {T2})",
    29: f"activity(ex:a, -, {T1}) wasEndedBy(ex:a, -, -, {T2})",
    42: f"{MADE} wasDerivedFrom(ex:e1, ex:e2) wasDerivedFrom(ex:e2, ex:e1)",
    51: "wasDerivedFrom(ex:e2, ex:e1, -, ex:g, -)",
    52: "specializationOf(ex:e1, ex:e2) specializationOf(ex:e2, ex:e1)",
    53: "used(ex:x; ex:a, ex:e) wasStartedBy(ex:x; ex:a, ex:e, -, -)",
    54: "entity(ex:x) wasGeneratedBy(ex:x; ex:e, ex:a, -)",
    55: "entity(ex:x) used(ex:x, ex:e)",
    56: "entity(ex:c, [prov:type='prov:EmptyCollection']) hadMember(ex:c, ex:e)",
}

ALSO_BROKEN = [
    (23, "wasAssociatedWith(ex:w; ex:a, ex:ag, ex:p) wasAssociatedWith(ex:w; ex:a, ex:ag)", "a plan is there or not"),
    (23, f"wasGeneratedBy(ex:e, ex:a, {T1}) wasGeneratedBy(ex:e, ex:a, {T2})", "unique, so one event with two times"),
    (23, "used(ex:u; ex:a, ex:e) wasInfluencedBy(ex:u; ex:a, ex:f)", "a usage is an influence under its name"),
    (23, "used(ex:u; ex:a, ex:e) wasDerivedFrom(ex:f, ex:e, ex:b, ex:g, ex:u)", "a derivation implies its usage"),
    (24, "wasGeneratedBy(ex:g; ex:f, ex:a, -) wasDerivedFrom(ex:f, ex:e, ex:a, ex:h, -)", "and its generation"),
    (24, "wasGeneratedBy(ex:g; ex:e) wasGeneratedBy(ex:g; ex:e, ex:a, -) wasGeneratedBy(ex:h; ex:e, ex:a, -)", "23"),
    (28, f"activity(ex:a) wasStartedBy(ex:a, ex:t, ex:b, {T1}) wasStartedBy(ex:a, ex:u, ex:c, {T2})", "two starts"),
    (42, "entity(ex:e) wasDerivedFrom(ex:e, ex:e)", "of itself"),
    (42, f"{MADE} wasDerivedFrom(ex:e2, ex:e1) specializationOf(ex:e1, ex:e2)", "45: special before general"),
    (42, f"{MADE} wasDerivedFrom(ex:e2, ex:e1) wasAttributedTo(ex:e1, ex:e2)", "48: a thing before its agent"),
    (42, (f"{MADE} activity(ex:a) wasStartedBy(ex:a, ex:e2, -, -) wasGeneratedBy(ex:e1, ex:a, -) "
          "wasDerivedFrom(ex:e2, ex:e1)"), "34, 43: started by what comes of it"),
    (42, (f"{MADE} activity(ex:a) wasStartedBy(ex:b, ex:e1, ex:a, -) wasStartedBy(ex:a, ex:e2, -, -) "
          "wasDerivedFrom(ex:e2, ex:e1)"), "9: who starts by a trigger generated it"),
    (42, ("wasAttributedTo(ex:e1, ex:ag) wasAttributedTo(ex:e2, ex:ag) wasDerivedFrom(ex:e1, ex:e2) "
          "wasDerivedFrom(ex:e2, ex:e1)"), "13: what is attributed was generated"),
    (42, "entity(ex:e1) specializationOf(ex:m, ex:e1) specializationOf(ex:e3, ex:m) wasDerivedFrom(ex:e1, ex:e3)",
     "19, 21: over an entity that nobody describes"),
    (52, "specializationOf(ex:e, ex:e)", "at once"),
    (52, "mentionOf(ex:e, ex:f, ex:b) specializationOf(ex:f, ex:e)", "a mention is a specialisation"),
    (53, "wasInfluencedBy(ex:x; ex:a, ex:e) used(ex:x; ex:a, ex:e) wasEndedBy(ex:x; ex:a, ex:e, -, -)", "behind 15"),
    (54, "entity(ex:e) specializationOf(ex:x, ex:e) wasInformedBy(ex:x; ex:b, ex:a)", "what an entity hands down (21)"),
    (55, "wasAssociatedWith(ex:a, -, ex:p) wasInformedBy(ex:p, ex:a)", "a plan is an entity"),
    (55, "wasStartedBy(ex:s; ex:a, -, ex:b, -) wasStartedBy(ex:s; ex:a, ex:b, -, -)", "by two statements that are one"),
    (56, "entity(ex:c, [prov:type='prov:EmptyCollection']) specializationOf(ex:d, ex:c) hadMember(ex:d, ex:e)", "21"),
]  # fmt: skip

VALID = {
    "equal times in two zones": "wasGeneratedBy(ex:e, ex:a, 2012-11-16T16:05:00Z) "
    "wasGeneratedBy(ex:e, ex:a, 2012-11-16T17:05:00.000+01:00)",
    "two usages without a name are two": f"used(ex:a, ex:e, {T1}) used(ex:a, ex:e, {T2})",
    "two generations by two activities": "wasGeneratedBy(ex:g1; ex:e, ex:a, -) wasGeneratedBy(ex:g2; ex:e, ex:b, -)",
    "an unknown activity is any": "wasGeneratedBy(ex:g; ex:e, -, -) wasGeneratedBy(ex:g; ex:e, ex:a, -)",
    "no plan twice": "wasAssociatedWith(ex:w; ex:a, ex:ag) wasAssociatedWith(ex:w; ex:a, ex:ag, -)",
    "an influence under the name of its usage": "used(ex:u; ex:a, ex:e) wasInfluencedBy(ex:u; ex:a, ex:e)",
    "derivation in a circle of things that were never made": "wasDerivedFrom(ex:e1, ex:e2) "
    "wasDerivedFrom(ex:e2, ex:e1)",
    "started by each other": "activity(ex:a) activity(ex:b) wasStartedBy(ex:a, -, ex:b, -) "
    "wasStartedBy(ex:b, -, ex:a, -)",
    "an agent that is an activity": "agent(ex:x) activity(ex:x)",
    "an agent that is an entity": "agent(ex:x) entity(ex:x)",
    "a collection without members": "entity(ex:c, [prov:type='prov:EmptyCollection'])",
    "a text that names the type": 'entity(ex:c, [prov:type="prov:EmptyCollection"]) hadMember(ex:c, ex:e)',
    "used after its invalidation was stated": "entity(ex:e) wasInvalidatedBy(ex:e, ex:a, -) used(ex:b, ex:e)",
    "times say nothing of order": f"activity(ex:a, {T2}, {T1})",
    "one name in two bundles": "bundle ex:b1 entity(ex:x) endBundle bundle ex:b2 activity(ex:x) endBundle",
    "another vocabulary": "ex:observed(ex:a, ex:a)",
    "nothing": "",
}


def judged(statements: str):
    return validate(read_provn(f"document\nprefix ex <http://example.org/>\n{statements}\nendDocument"))


def test_every_rule_that_a_problem_can_carry_is_broken_here():
    assert set(BROKEN) == set(RULE_NAMES)


@pytest.mark.parametrize(("rule", "statements"), BROKEN.items())
def test_a_document_that_breaks_one_rule(rule, statements):
    problems = judged(statements).problems
    assert rule in [problem.rule for problem in problems]
    for problem in problems:
        assert problem.records
        assert "{" not in problem.message
        assert problem.name == RULE_NAMES[problem.rule]
        for record in problem.records:
            assert record.split("(")[0] in statements


@pytest.mark.parametrize(("rule", "statements", "why"), ALSO_BROKEN, ids=[why for _, _, why in ALSO_BROKEN])
def test_a_rule_broken_by_what_follows(rule, statements, why):
    assert rule in [problem.rule for problem in judged(statements).problems]


@pytest.mark.parametrize("statements", VALID.values(), ids=VALID.keys())
def test_what_comes_near_is_valid(statements):
    report = judged(statements)
    assert report.valid, report.problems


def test_a_cycle_is_told_step_by_step():
    (problem,) = judged(
        f"{MADE} wasDerivedFrom(ex:e2, ex:e1) wasDerivedFrom(ex:e3, ex:e2) specializationOf(ex:e1, ex:e3)"
    ).problems
    assert problem.message == "the generation of ex:e1 comes strictly before itself"
    assert problem.cycle == (
        "the generation of ex:e1 comes before the generation of ex:e2 (rule 42)",
        "the generation of ex:e2 comes before the generation of ex:e3 (rule 42)",
        "the generation of ex:e3 does not come after the generation of ex:e1 (rule 45)",
    )
    assert problem.records == (
        "wasDerivedFrom(ex:e2, ex:e1)",
        "wasDerivedFrom(ex:e3, ex:e2)",
        "specializationOf(ex:e1, ex:e3)",
    )


def test_bundles_are_judged_by_themselves_and_named():
    report = judged("entity(ex:x) bundle ex:b activity(ex:x) entity(ex:x) endBundle bundle ex:b endBundle")
    assert [(p.rule, p.bundle) for p in report.problems] == [(None, ""), (55, "ex:b")]
    assert "stands in the document 2 times" in report.problems[0].message


@pytest.mark.parametrize(
    "statement",
    [
        "wasAttributedTo(ex:e, -)",
        "wasInformedBy(-, ex:a)",
        "used(-, ex:e)",
        "hadMember(ex:c, -)",
        "mentionOf(ex:a, ex:b, -)",
    ],
)
def test_a_marker_where_none_can_stand_is_no_valid_statement(statement):
    (problem,) = judged(statement).problems
    assert (problem.rule, problem.records) == (None, (statement,))


def test_blank_names_of_json_stand_for_something_or_other():
    text = """{"prefix": {"ex": "http://example.org/"}, "wasGeneratedBy": {
        "_:g1": {"prov:entity": "ex:e", "prov:activity": "ex:a"},
        "_:g2": {"prov:entity": "ex:e", "prov:activity": "ex:a"}%s}}"""
    assert validate(read_provjson(text % "")).valid
    assert validate(read_provjson(text % ', "ex:g": {"prov:entity": "ex:e", "prov:activity": "ex:a"}')).valid
    two = "".join(f', "ex:{g}": {{"prov:entity": "ex:e", "prov:activity": "ex:a"}}' for g in "gh")
    assert [p.rule for p in validate(read_provjson(text % two)).problems] == [24]


def test_problems_end_at_a_thousand():
    report = judged(" ".join(f"specializationOf(ex:e{n}, ex:e{n})" for n in range(1100)))
    assert len(report.problems) == 1000
    assert report.truncated
