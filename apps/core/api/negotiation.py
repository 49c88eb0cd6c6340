"""Answers whose form does not hang on the ``Accept`` header."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request


class AnyNegotiation(BaseContentNegotiation):
    """Bytes and pictures are what they are, whatever the ``Accept`` header hopes for; problems are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The first one; nothing is parsed here."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first one: it writes problem documents."""
        return renderers[0], renderers[0].media_type
