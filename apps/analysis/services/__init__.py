"""Asking for analyses, entering work done outside, and saying what a method is held to be."""

from __future__ import annotations

from apps.analysis.services.methods import set_method_status
from apps.analysis.services.outside import create_outside_activity, open_outside_receipt
from apps.analysis.services.submit import MAX_SEED, estimate, rerun, submit

__all__ = [
    "MAX_SEED",
    "create_outside_activity",
    "estimate",
    "open_outside_receipt",
    "rerun",
    "set_method_status",
    "submit",
]
