"""Short modules, short functions, and types on what they give."""

from __future__ import annotations

import ast

import pytest

from tests.architecture import shape
from tests.architecture.sources import REPO_ROOT, Source, project_sources, tracked_files


def test_modules_are_under_the_cap() -> None:
    modules = [path for path in tracked_files() if path.suffix == ".py" and "migrations" not in path.parts]
    found = [line for path in modules for line in shape.too_long(str(path.relative_to(REPO_ROOT)), path.read_text())]
    assert not found, "\n".join(found)


def test_planted_long_module_is_caught() -> None:
    assert list(shape.too_long("m", "x = 1\n" * 401)) == ["m: 401 lines, the cap is 400"]
    assert list(shape.too_long("m", "x = 1\n" * 400)) == []


@pytest.mark.parametrize(("percent", "cap"), shape.FUNCTION_LINES.items())
def test_functions_are_short(percent: int, cap: int) -> None:
    lengths = {
        f"{source.name}.{name}": lines
        for source in project_sources()
        for name, lines in shape.function_lengths(source.text).items()
    }
    reached = shape.percentile(list(lengths.values()), percent)
    longest = sorted(lengths, key=lambda name: -lengths[name])[:10]
    assert reached <= cap, [f"{name}: {lengths[name]}" for name in longest]


def test_length_counts_code_and_nothing_else() -> None:
    text = 'def f(\n    a,\n):\n    """Say\n\n    more.\n    """\n    # why\n\n    return """x\n\n"""\n'
    assert shape.function_lengths(text) == {"f:1": 6}
    assert shape.percentile([1, 2, 3, 4, 100], 50) == 3
    assert shape.percentile([1, 2, 3, 4, 100], 99) == 100


def _must_annotate(source: Source) -> bool:
    return source.app == "analyses" or "services" in source.inside


def test_science_and_services_state_every_return_type() -> None:
    found = [line for source in project_sources() if _must_annotate(source) for line in shape.unannotated(source)]
    assert not found, "\n".join(found)


def test_the_rest_states_more_than_nine_in_ten() -> None:
    rest = [source for source in project_sources() if not _must_annotate(source)]
    total = sum(shape.function_count(source) for source in rest)
    missing = [line for source in rest for line in shape.unannotated(source)]
    assert len(missing) <= 0.1 * total, missing


def test_planted_missing_return_type_is_caught() -> None:
    planted = Source("analyses.bulk.x", "def f(a: int):\n    return a\n\nclass A:\n    async def g(self): ...\n")
    assert len(shape.unannotated(planted)) == 2
    assert shape.unannotated(Source("analyses.bulk.x", "def f(a: int) -> int:\n    return a\n")) == []


@pytest.mark.parametrize("version", [(3, 6), (3, 8), (3, 10)])
def test_manage_parses_under_older_pythons(version: tuple[int, int]) -> None:
    text = (REPO_ROOT / "manage.py").read_text()
    tree = ast.parse(text, feature_version=version)
    # What the grammar of 3.6 already knew, Python 2 did not: it should be told which Python is needed, too.
    newer = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.AsyncFunctionDef)]
    assert newer == []
