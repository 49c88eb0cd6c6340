"""The work grows with the document and no faster, counted in steps: no clock, no machine."""

from __future__ import annotations

import pytest

from apps.provenance.constraints import Bundle, Document, Record, validate
from apps.provenance.constraints.model import SHAPES
from tests.provenance.constraints.drawn import named


def say(kind: str, identifier: str | None, *arguments: str | None) -> Record:
    filled = [named(a) if a else None for a in arguments]
    filled += [None] * (len(SHAPES[kind].parameters) - len(filled))
    return Record(kind, named(identifier) if identifier else None, tuple(filled))


def study(n: int) -> list[Record]:
    """What a laboratory would send: a chain of activities, each using what the one before made."""
    found = []
    for k in range(n):
        found += [
            say("entity", f"e{k}"),
            say("activity", f"a{k}"),
            say("wasGeneratedBy", None, f"e{k + 1}", f"a{k}"),
            say("used", None, f"a{k}", f"e{k}"),
            say("wasDerivedFrom", None, f"e{k + 1}", f"e{k}", f"a{k}"),
            say("wasAssociatedWith", None, f"a{k}", "ag"),
            say("wasAttributedTo", None, f"e{k}", "ag"),
        ]
    return found


def deep(n: int) -> list[Record]:
    """A chain of derivations and specialisations, and one edge that closes it."""
    chain = [say("specializationOf", None, f"e{k + 1}", f"e{k}") for k in range(n)]
    return [say("entity", "e0"), *chain, say("wasDerivedFrom", None, "e0", f"e{n}")]


def one_thing(n: int) -> list[Record]:
    """Everything about one entity: a pairwise reading of 37 to 40 would take n squared."""
    found = [say("entity", "e")]
    for k in range(n):
        found += [say("wasGeneratedBy", None, "e", f"a{k}"), say("used", None, f"a{k}", "e")]
        found += [say("wasInvalidatedBy", None, "e", f"a{k}"), say("wasDerivedFrom", None, "e", f"f{k}")]
    return found


def variables(n: int) -> list[Record]:
    """Unknown activities that one statement after another makes equal, so that keys meet again and again."""
    found = [say("wasGeneratedBy", f"g{k}", f"e{k % 7}", None) for k in range(n)]
    found += [say("wasStartedBy", f"s{k // 2}", "a", f"t{k}" if k % 2 else None, None) for k in range(n)]
    found += [say("wasStartedBy", f"s{k // 2}", "a", None, f"b{k // 50}") for k in range(0, n, 2)]
    return found


def one_event(n: int) -> list[Record]:
    """One identifier n times."""
    return [say("used", "u", "a", "e" if k % 2 else None) for k in range(n)]


@pytest.mark.parametrize("shape", [study, deep, one_thing, variables, one_event])
def test_twice_the_document_is_twice_the_work(shape):
    steps = []
    for n in (500, 1000, 2000):
        records = tuple(shape(n))
        report = validate(Document(Bundle(None, records)))
        assert report.records == len(records)
        steps.append(report.steps / len(records))
    assert steps[2] <= 1.15 * steps[0]
    assert steps[2] < 8


def test_a_deep_cycle_is_found_and_cut_for_the_report():
    (problem,) = validate(Document(Bundle(None, tuple(deep(20_000))))).problems
    assert problem.rule == 42
    assert len(problem.cycle) == 100
    assert problem.message.endswith("the cycle is cut off")
