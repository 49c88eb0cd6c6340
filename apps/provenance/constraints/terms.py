"""What the places of statements hold: constants and existential variables, with union-find over them."""

from __future__ import annotations

import datetime as dt
from typing import Final

from apps.provenance.constraints.model import BLANK, Name

PLACEHOLDER: Final = 0
"""The term of ``-`` where it is no variable: PROV-CONSTRAINTS treats it as a constant that equals itself alone."""


class Terms:
    """Terms are numbers; equal ones have one root.  A root that is fixed is a constant, any other a variable."""

    def __init__(self) -> None:
        self.parent: list[int] = [PLACEHOLDER]
        self.fixed: list[bool] = [True]
        self.texts: list[str] = ["-"]
        self._names: dict[str, int] = {}
        self._times: dict[str, int] = {}

    def name(self, name: Name) -> int:
        """Return the term of a name; a blank one is a variable, the same for the same name."""
        found = self._names.get(name.uri)
        if found is None:
            found = self._names[name.uri] = self._new(fixed=not name.uri.startswith(BLANK), text=name.text)
        return found

    def time(self, text: str) -> int:
        """Return the term of a time; two writings of one instant are one term."""
        found = self._times.get(text)
        if found is None:
            instant = canonical_time(text)
            found = self._times.get(instant)
            if found is None:
                found = self._times[instant] = self._new(fixed=True, text=text)
            self._times[text] = found
        return found

    def fresh(self) -> int:
        """Return a new existential variable."""
        return self._new(fixed=False, text="")

    def _new(self, *, fixed: bool, text: str) -> int:
        number = len(self.parent)
        self.parent.append(number)
        self.fixed.append(fixed)
        self.texts.append(text)
        return number

    def find(self, term: int) -> int:
        """Return the root of a term; paths are halved on the way."""
        parent = self.parent
        while parent[term] != term:
            parent[term] = term = parent[parent[term]]
        return term

    def text(self, term: int) -> str:
        """Return how a term was written, for a message."""
        return self.texts[self.find(term)] or "something without a name"


def canonical_time(text: str) -> str:
    """Return one spelling of an instant: UTC where a zone stands, as it is where none does.

    A time without a zone equals none with one: nobody said which zone it means.  What the calendar of Python does not
    hold (a year above 9999, an hour 24) stays as written.
    """
    try:
        value = dt.datetime.fromisoformat(text)
        return value.isoformat() if value.tzinfo is None else value.astimezone(dt.UTC).isoformat()
    except (ValueError, OverflowError):
        return text
