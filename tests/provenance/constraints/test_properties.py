"""The fast validator equals the slow one, and order and repetition of statements change no verdict."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.provenance.constraints import Bundle, Document, read_provn, validate
from apps.provenance.constraints.model import MARKER
from apps.provenance.constraints.render import to_provn
from tests.provenance.constraints.drawn import EX, documents
from tests.provenance.constraints.reference import broken_rule

THOROUGH = settings(
    max_examples=int(os.environ.get("CORR_PROV_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
QUICK = settings(max_examples=80, deadline=None, derandomize=True)


@THOROUGH
@given(document=documents(most=7))
def test_verdict_is_that_of_the_rules_taken_literally(document):
    valid, rule = broken_rule(document.top)
    report = validate(document)
    assert report.valid == valid, (rule, [(p.rule, p.message) for p in report.problems])


@QUICK
@given(document=documents(), data=st.data())
def test_order_and_repetition_change_no_verdict(document, data):
    records = document.top.records
    again = data.draw(st.lists(st.sampled_from(records), max_size=4))
    shuffled = data.draw(st.permutations([*records, *again]))
    assert validate(Document(Bundle(None, tuple(shuffled)))).valid == validate(document).valid


@QUICK
@given(document=documents())
def test_what_is_rendered_reads_back(document):
    lines = "\n".join(to_provn(record) for record in document.top.records)
    again = read_provn(f"document\nprefix ex <{EX}>\n{lines}\nendDocument")
    assert [plain(record) for record in again.top.records] == [plain(record) for record in document.top.records]


def plain(record):
    """Without lines; what was left out before a later argument is rendered as -."""
    return record._replace(line=0, arguments=tuple(None if a is MARKER else a for a in record.arguments))
