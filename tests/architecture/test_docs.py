"""What is written about the project stays true of it."""

from __future__ import annotations

import re

from tests.architecture.sources import REPO_ROOT, project_sources

_VARIABLE = re.compile(r"CORR_[A-Z]+(?:_[A-Z]+)*")


def test_every_environment_variable_is_described() -> None:
    read = set(_VARIABLE.findall((REPO_ROOT / "corr_project" / "env.py").read_text())) | {"CORR_NO_BOOTSTRAP"}
    described = set(_VARIABLE.findall((REPO_ROOT / "docs" / "reference" / "settings.md").read_text()))
    assert read <= described, sorted(read - described)
    tests_only = {name for name in described if name.startswith("CORR_TEST_")} | {"CORR_SHARED_DATA"}
    assert described <= read | tests_only, sorted(described - read)


def test_every_relative_link_leads_somewhere() -> None:
    pages = [REPO_ROOT / "README.md", *(REPO_ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(REPO_ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_two_commands_stand_in_the_readme_as_ci_calls_them() -> None:
    readme = (REPO_ROOT / "README.md").read_text().splitlines()
    assert "python3 manage.py demo" in readme
    assert "python3 manage.py test" in readme
    assert "stage tests-sqlite python3 manage.py test" in (REPO_ROOT / ".ci" / "run").read_text().splitlines()


def test_decisions_are_numbered_without_gap_and_listed_in_order() -> None:
    numbers = [int(path.name[:4]) for path in sorted((REPO_ROOT / "docs" / "adr").glob("0*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_mark_of_unfinished_work() -> None:
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [source.name for source in project_sources() if mark.search(source.text)]
    assert found == []
