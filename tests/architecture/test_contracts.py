"""The import contracts hold, and each is seen to break when a wrong import is planted in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, REPO_ROOT

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(cache_dir=None))"


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=root, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip


def test_contracts_hold() -> None:
    done = _lint(REPO_ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


# importing module, imported module, how it is written, the contract that must break
PLANTED = [
    ("apps.core.planted", "apps.web", "import apps.web", "rooms"),
    ("apps.provenance.planted", "apps.projects.models", "from apps.projects import models", "rooms"),
    ("apps.jobs.planted", "corr_project.settings", "def f():\n    import corr_project.settings", "rooms"),
    ("analyses.sdk.planted", "apps.core.errors", "import apps.core.errors", "rooms"),
    ("apps.catalog.models", "apps.catalog.services", "import apps.catalog.services", "floors"),
    ("apps.results.services", "apps.results.api", "import apps.results.api", "floors"),
    ("apps.audit.selectors", "apps.audit.services", "import apps.audit.services", "floors"),
    ("analyses.sdk.planted", "django", "import django", "science"),
    ("analyses.bulk.planted", "celery", "from celery import shared_task", "science"),
    ("apps.provenance.constraints.planted", "django", "import django", "constraints"),
    ("apps.provenance.constraints.planted", "apps.core.errors", "import apps.core.errors", "constraints"),
    ("analyses.sdk.planted", "analyses.bulk", "import analyses.bulk", "plugins"),
    ("analyses.bulk.planted", "analyses.segmentation", "import analyses.segmentation", "plugins"),
]


def _plant(root: Path, module: str, line: str) -> None:
    """Append a line to a module, which is made where it does not exist."""
    path = root.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    with file.open("a") as stream:
        stream.write(f"\n{line}\n")


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the linter says of a copy of the tree with every wrong import planted: contract's id -> its complaints."""
    root = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        for path in (REPO_ROOT / package).rglob("*.py"):
            target = root / path.relative_to(REPO_ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.copy(REPO_ROOT / "pyproject.toml", root)
    for importer, imported, line, _ in PLANTED:
        for module in (importer, imported):
            if module.startswith(PACKAGES):
                _plant(root, module, "")
        _plant(root, importer, line)
    done = _lint(root)
    assert done.returncode == 1, done.stdout + done.stderr
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    details = done.stdout.partition("Broken contracts")[2]
    names = {contract["id"]: contract["name"] for contract in contracts}
    starts = sorted((details.find(f"\n{name}\n"), key) for key, name in names.items() if f"\n{name}\n" in details)
    ends = [start for start, _ in starts[1:]] + [len(details)]
    return {key: details[start:end] for (start, key), end in zip(starts, ends, strict=True)}


@pytest.mark.parametrize(("importer", "imported", "line", "contract"), PLANTED)
def test_planted_import_breaks_its_contract(
    sections: dict[str, str], importer: str, imported: str, line: str, contract: str
) -> None:
    assert f"{importer} -> {imported} (l." in sections[contract], f"{line!r} in {importer} was not seen"
