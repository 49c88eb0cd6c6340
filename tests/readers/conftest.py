"""Options of the tests of readers."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Option that writes the table of formats."""
    parser.getgroup("readers").addoption(
        "--update-formats", action="store_true", help="write docs/reference/formats.md"
    )
