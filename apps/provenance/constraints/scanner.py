"""The words of PROV-N: names, strings, times, marks; comments and space between them are passed over.

Every pattern moves forward only (possessive repetition), so reading takes time in proportion to the text.
"""

from __future__ import annotations

import re
from typing import Final

from apps.provenance.constraints.errors import DocumentError

_SPACE: Final = re.compile(r"(?:[ \t\r\n\ufeff]++|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+")
_START = r"[^\W\d_]"
_ESCAPED = r"\\[='(),\-:;\[\].]"
_LOCAL = (
    rf"(?:[\w/@~&+*?#$!\u00B7]|%[0-9A-Fa-f]{{2}}|{_ESCAPED})(?:[\w\-./@~&+*?#$!\u00B7]|%[0-9A-Fa-f]{{2}}|{_ESCAPED})*+"
)
NAME: Final = re.compile(rf"{_START}[\w\-.\u00B7]*+:(?:{_LOCAL})?|{_LOCAL}")
PREFIX: Final = re.compile(rf"{_START}[\w\-.\u00B7]*+")
TIME: Final = re.compile(r"-?\d{4,9}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,12})?(?:Z|[+\-]\d\d:\d\d)?(?![\w:.])")
IRI: Final = re.compile(r"<([^<>\"{}|^`\\\x00-\x20]*+)>")
INTEGER: Final = re.compile(r"-?[0-9]++(?![\w.:])")
LANGUAGE: Final = re.compile(r"@([A-Za-z]++(?:-[A-Za-z0-9]++)*+)")
_STRING: Final = re.compile(r'"""((?:[^"\\]++|\\.|"(?!""))*+)"""|"((?:[^"\\\n\r]++|\\.)*+)"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_ECHAR: Final = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", "\\": "\\", '"': '"', "'": "'"}
_SHOWN = 30


class Scanner:
    """A text, and how far it was read."""

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.skip()

    # ----------------------------------------------------------------------------------------------------- marks, words

    def skip(self) -> None:
        """Pass over space and comments."""
        match = _SPACE.match(self.text, self.position)
        if match is not None:
            self.position = match.end()

    def at(self, mark: str) -> bool:
        """True if a mark stands here."""
        return self.text.startswith(mark, self.position)

    def take(self, mark: str) -> bool:
        """Pass over a mark if it stands here, and say whether it did."""
        if not self.text.startswith(mark, self.position):
            return False
        self.position += len(mark)
        self.skip()
        return True

    def expect(self, mark: str) -> None:
        """Pass over a mark; DocumentError where something else stands."""
        if not self.take(mark):
            raise self.error(f"{mark!r} expected, not {self.shown()}")

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Pass over what a pattern matches and return it, or its first group; None and no step where it does not."""
        found = pattern.match(self.text, self.position)
        if found is None:
            return None
        self.position = found.end()
        self.skip()
        return found.group(found.lastindex or 0)

    def string(self) -> str:
        """Pass over a quoted string and return what it says.

        Raises
        ------
        DocumentError
            No string, one without end, or an escape that there is not.
        """
        found = _STRING.match(self.text, self.position)
        if found is None:
            raise self.error(f"a string with its closing quote expected, not {self.shown()}")
        raw = found.group(1) if found.group(1) is not None else found.group(2)
        text = self._unescaped(raw) if "\\" in raw else raw
        self.position = found.end()  # space is passed over by the caller: a language tag follows at once
        return text

    def _unescaped(self, raw: str) -> str:
        def plain(match: re.Match[str]) -> str:
            code = match.group(1) or match.group(2)
            if code:
                number = int(code, 16)
                if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                    raise self.error(f"\\u{code} is no character")
                return chr(number)
            known = _ECHAR.get(match.group(3))
            if known is None:
                raise self.error(f"the string holds the escape \\{match.group(3)}, which PROV-N does not know")
            return known

        return _ESCAPE.sub(plain, raw)

    # ----------------------------------------------------------------------------------------------------------- places

    def shown(self) -> str:
        """What stands here, for a message."""
        here = self.text[self.position : self.position + _SHOWN]
        return repr(here) if here else "the end of the document"

    def line_at(self, position: int) -> int:
        """Return the line of a position, from 1; counts from the beginning, so for errors only."""
        return self.text.count("\n", 0, position) + 1

    def error(self, message: str, position: int | None = None) -> DocumentError:
        """Return the error for a place, this one by default."""
        where = self.position if position is None else position
        column = where - (self.text.rfind("\n", 0, where) + 1) + 1
        return DocumentError(message, line=self.line_at(where), column=column)
