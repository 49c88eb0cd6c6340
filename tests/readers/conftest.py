"""What the tests of readers share: an option, the folder of real files, and real files with their text changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Option that writes the table of formats."""
    parser.getgroup("readers").addoption(
        "--update-formats", action="store_true", help="write docs/reference/formats.md"
    )


@pytest.fixture(scope="session")
def microscopy(shared_data: Path) -> Path:
    """Folder of real instrument files and what they must report."""
    found = shared_data / "microscopy"
    if not found.is_dir():
        pytest.skip(f"shared data: {found} does not exist")
    return found


@pytest.fixture
def rewritten(microscopy: Path, tmp_path: Path) -> Callable[..., Path]:
    """A real file with its text changed: ``rewritten(file, (pattern, replacement), ...)``."""

    def rewrite(file: str, *changes: tuple[bytes, bytes]) -> Path:
        content = (microscopy / file).read_bytes()
        for old, new in changes:
            assert re.search(old, content), old
            content = re.sub(old, new, content, count=1)
        path = tmp_path / file.rsplit("/", 1)[-1]
        path.write_bytes(content)
        return path

    return rewrite
