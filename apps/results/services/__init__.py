"""Rows for what was computed, and decisions about them."""

from __future__ import annotations

from apps.results.services.decisions import release_result, review_result, withdraw_release
from apps.results.services.rows import create_property, create_table

__all__ = ["create_property", "create_table", "release_result", "review_result", "withdraw_release"]
