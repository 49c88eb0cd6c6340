"""How much of a document is read before it is refused as too large."""

from __future__ import annotations

from dataclasses import dataclass

from apps.provenance.constraints.errors import DocumentTooLargeError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is read; what is read takes time and memory in proportion to it."""

    bytes: int = 64 * 2**20
    records: int = 1_000_000
    attributes: int = 10_000
    """Of one statement."""
    name: int = 10_000
    """Characters of one name, prefix written out."""
    depth: int = 64
    """Nesting of JSON and XML."""

    def check_bytes(self, count: int) -> None:
        """Raise DocumentTooLargeError if a document has more bytes than are read."""
        if count > self.bytes:
            raise DocumentTooLargeError(f"the document has {count} bytes; at most {self.bytes} are read")

    def check_records(self, count: int) -> None:
        """Raise DocumentTooLargeError if a document has more statements than are read."""
        if count > self.records:
            raise DocumentTooLargeError(f"the document has more than {self.records} statements")


DEFAULT = Limits()
