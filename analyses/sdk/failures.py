"""How work ends early, in a module that loads nothing: the process of a job imports it before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Cancelled(Exception):  # noqa: N818 - a wish of the caller, not an error
    """Raised by ``ctx.check_cancelled()``; a plugin lets it pass."""


class PluginError(Exception):
    """An expected failure: the name of a declared exit code and the facts that explain it."""

    def __init__(self, name: str, **facts: Any) -> None:
        super().__init__(name)
        self.name = name
        self.facts = facts


class ChildFailure(Exception):  # noqa: N818 - a declared ending, not an error
    """An expected failure with its message ready made: ends the job ``failed``."""

    def __init__(self, code: str, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.facts = dict(facts or {})
