"""Every file of the shared data: each value, shape and digest of ``expected.json``, and the table made of that run."""

from __future__ import annotations

import pytest

from apps.imaging.readers import ReadImage
from tests.readers import expected, table


@pytest.fixture(scope="module")
def images(microscopy) -> dict[str, list[ReadImage]]:
    """All files, each read once; those of the optional extra only where it is installed."""
    return {entry.file: expected.load(microscopy, entry) for entry in wanted(microscopy)}


def wanted(microscopy):
    try:
        import rsciio  # noqa: F401
    except ImportError:
        return [e for e in expected.entries(microscopy) if not e.file.lower().endswith(expected.NEEDS_ROSETTA)]
    return expected.entries(microscopy)


def test_all_values_are_reported_and_what_is_lacking_is_lacking(microscopy, images):
    wrong = {e.file: found for e in wanted(microscopy) if (found := expected.wrong_values(images[e.file], e))}
    assert wrong == {}


def test_all_samples_are_read_bit_by_bit(microscopy, images):
    wrong = {e.file: found for e in wanted(microscopy) if (found := expected.missing_arrays(images[e.file], e))}
    assert wrong == {}


def test_every_fact_has_a_unit_and_a_source(images):
    facts = [(file, name, fact) for file, all_ in images.items() for i in all_ for name, fact in i.facts.items()]
    assert [entry for entry in facts if set(entry[2]) - {"tag", "raw"} != {"value", "unit", "source"}] == []
    assert {fact["source"] for _, _, fact in facts} <= {"file", "derived"}
    assert len(facts) > 500


def test_the_optional_extra_is_here(microscopy):
    pytest.importorskip("rsciio", reason="rsciio: not installed; it comes with the extra vendor")
    assert any(entry.file.endswith(".bcf") for entry in wanted(microscopy))


def test_the_table_in_the_docs_is_of_this_run(microscopy, images, repo_root, request):
    pytest.importorskip("rsciio", reason="rsciio: not installed; it comes with the extra vendor")
    page = repo_root / "docs" / "reference" / "formats.md"
    text = table.page(expected.entries(microscopy), images)
    if request.config.getoption("--update-formats", default=False):
        page.write_text(text)
    assert page.read_text() == text, "run pytest tests/readers --update-formats"
