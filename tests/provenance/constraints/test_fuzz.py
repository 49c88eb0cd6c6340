"""A short, seeded run over each reader; ``python -m benchmarks.prov.fuzz`` is the long one."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.provenance.constraints.mutations import run

COUNTS = {"provn": 1500, "json": 1500, "xml": 250, "turtle": 80}
ENDINGS = {"provn": "provn", "json": "json", "xml": "xml", "turtle": "ttl"}


@pytest.mark.parametrize("form", COUNTS)
def test_no_damage_makes_a_reader_crash(form, prov_cases, cases):
    suites = ("constraints", "interop")
    paths = [f["path"] for c in cases if c["suite"] in suites for f in c["files"] if f["format"] == ENDINGS[form]]
    seeds = [(prov_cases / path).read_bytes() for path in paths[::7] if (prov_cases / path).stat().st_size < 6000]
    ends = Counter(how for how, _ in run(form, seeds, COUNTS[form], seed=1))
    assert sum(ends.values()) == COUNTS[form]
    assert ends["refused"] > COUNTS[form] // 10
    assert ends["valid"] > 0
