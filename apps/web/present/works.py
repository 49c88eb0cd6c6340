"""A job in plain words: what it does, and why it ended as it did."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from analyses import registry

_KINDS = {
    "ingest": "Ingest",
    "preview": "Look into files",
    "outside": "Work done outside",
}


@lru_cache(maxsize=256)
def _plugin_title(name: str) -> str:
    try:
        return registry.get(name).title
    except LookupError:  # a plugin that is not installed any more
        return name


def job_title(job: Any) -> str:
    """Return what a job does, in a few words: the title of its plugin, or its kind."""
    if job.plugin:
        return _plugin_title(job.plugin)
    return _KINDS.get(job.kind) or job.kind.replace("_", " ").capitalize()


def why_it_failed(job: Any) -> str:
    """Return the sentence of a declared failure, filled in with what the plugin said; else the message as it is."""
    try:
        codes = registry.get(job.plugin).exit_codes if job.plugin else ()
        sentence = next(code.message for code in codes if code.name == job.exit_code)
        text = sentence.format_map(job.facts or {})
    except (LookupError, StopIteration, ValueError, AttributeError):
        return str(job.message)
    return f"{text[:1].upper()}{text[1:]}."
