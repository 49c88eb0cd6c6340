"""Conformance cases with verdicts, from the shared data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def prov_cases(shared_data: Path) -> Path:
    found = shared_data / "prov-cases"
    if not found.is_dir():
        pytest.skip(f"shared data: {found} does not exist")
    return found


@pytest.fixture(scope="session")
def cases(prov_cases: Path) -> list[dict[str, Any]]:
    return json.loads((prov_cases / "manifest.json").read_text())["cases"]


@pytest.fixture(scope="session")
def provn_texts(prov_cases: Path, cases: list[dict[str, Any]]) -> dict[str, str]:
    """Path -> text of every PROV-N file there is."""
    paths = [f["path"] for case in cases for f in case["files"] if f["format"] == "provn"]
    return {path: (prov_cases / path).read_text() for path in paths}
