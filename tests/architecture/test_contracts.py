"""The import contracts hold, and each is seen to break when a wrong import is planted in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the tree's modules and of the contracts."""
    for package in PACKAGES:
        shutil.copytree(
            REPO_ROOT / package,
            tmp_path / package,
            ignore=lambda folder, names: [
                name for name in names if not (name.endswith(".py") or (Path(folder) / name).is_dir())
            ],
        )
    shutil.copy(REPO_ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _plant(root: Path, module: str, line: str) -> None:
    """Append a line to a module, which is made, with its packages, where it does not exist."""
    path = root.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    with file.open("a") as stream:
        stream.write(f"\n{line}\n")


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("apps.core.planted", "import apps.web", "Imports run one way across the apps"),
        ("apps.provenance.planted", "from apps.projects import models", "Imports run one way across the apps"),
        ("apps.jobs.planted", "def f():\n    import corr_project.settings", "Imports run one way across the apps"),
        ("apps.catalog.models", "import apps.catalog.services", "Inside an app"),
        ("apps.results.services", "import apps.results.api", "Inside an app"),
        ("apps.audit.selectors", "import apps.audit.services", "Inside an app"),
        ("analyses.sdk.planted", "import django", "Science knows no Django"),
        ("analyses.bulk.planted", "from celery import shared_task", "Science knows no Django"),
        ("analyses.sdk.planted", "import analyses.bulk", "Plugin families stand side by side"),
        ("analyses.bulk.planted", "import analyses.segmentation", "Plugin families stand side by side"),
    ],
)
def test_planted_import_breaks_its_contract(copy: Path, module: str, line: str, contract: str) -> None:
    for needed in ("apps.catalog.services", "apps.audit.services", "apps.audit.selectors", "apps.results.services",
                   "apps.results.api", "apps.results.models"):  # fmt: skip
        _plant(copy, needed, "")
    _plant(copy, module, line)
    done = _lint(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [row for row in done.stdout.splitlines() if "BROKEN" in row]
    assert any(contract in row for row in broken), done.stdout
