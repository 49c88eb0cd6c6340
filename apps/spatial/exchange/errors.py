"""What a file of another program can have wrong."""

from __future__ import annotations

from apps.core.errors import InvalidValueError


class ExchangeError(InvalidValueError):
    """The file is not what it should be; the message names the line or the entry."""

    code = "exchange_file"
    title = "The file cannot be read"


def number(text: str, where: str) -> float:
    """Return a finite number; ExchangeError names the place."""
    try:
        value = float(text)
    except ValueError as error:
        raise ExchangeError(f"{where}: {text[:40]!r} is no number", field="file") from error
    if not abs(value) <= 1e12:  # false for NaN too
        raise ExchangeError(f"{where}: {text[:40]!r} is not a finite length", field="file")
    return value
