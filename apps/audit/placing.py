"""What was decided about places, in words: sent to a stage, found there, a transform used where it does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

PLACING: Final = ("target_roi", "record_found", "acquire_roi", "override_transform")


def _all(parts: Sequence[str]) -> str:
    words = list(dict.fromkeys(parts))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _way(used: Mapping[str, Sequence[str]]) -> str:
    """Say along what a place was reached, and by whose leave."""
    along = f" along the {_all(used['path'])}" if used.get("path") else ""
    leave = f", with {_all(used['override'])}" if used.get("override") else ""
    return f"{along}{leave}"


def placing_words(verb: str, who: str, used: Mapping[str, Sequence[str]], when: str, reason: str | None) -> str:
    """Say what an act about a place did.

    Parameters
    ----------
    verb : str
        One of ``PLACING``.
    who, when : str
        Who did it, and when it was recorded.
    used : mapping
        Role -> titles of what the act used; ``""`` for what has no role.
    reason : str or None
        Why.
    """
    why = f', because "{reason}"' if reason else ""
    region, mount = _all(used.get("region", ())) or "the region", _all(used.get("mount", ())) or "a stage"
    if verb == "target_roi":
        return f"{who} sent {region} to the {mount}{_way(used)} ({when}){why}."
    if verb == "record_found":
        told = f"beside its prediction{_way(used)}" if used.get("path") else "where no transforms led"
        return f"{who} entered where {region} was found on the {mount}, {told} ({when}){why}."
    if verb == "acquire_roi":
        return f"{who} entered that the region was looked at on the {mount} ({when}){why}."
    transform, state = _all(used.get("", ())) or "a transform", _all(used.get("state", ())) or "a state"
    return f"{who} gave leave to use the {transform} in {state}, for which it does not hold ({when}){why}."
