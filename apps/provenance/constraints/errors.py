"""What a document is refused with before it can be judged."""

from __future__ import annotations


class DocumentError(ValueError):
    """Not a PROV document of the form that was announced.

    Parameters
    ----------
    message : str
        What stands there and what would be right.
    line, column : int
        Where, counted from 1; 0 where the form has no places.
    """

    def __init__(self, message: str, *, line: int = 0, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(f"{place}{message}")
        self.line = line
        self.column = column


class DocumentTooLargeError(DocumentError):
    """The document is larger than the limits under which it is read."""
