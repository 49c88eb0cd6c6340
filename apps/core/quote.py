"""How a refused value is quoted in the refusal."""

from __future__ import annotations

import reprlib
from typing import Final


def _quote() -> reprlib.Repr:
    quote = reprlib.Repr()
    quote.maxlevel, quote.maxlist, quote.maxdict = 3, 6, 6
    quote.maxstring, quote.maxlong, quote.maxother = 80, 40, 80
    return quote


_QUOTE: Final = _quote()


def shown(value: object) -> str:
    """Return a value as text: recognisable, and short however long the value."""
    return _QUOTE.repr(value)
