"""Why a file was refused: one class per reason, each with a code, a sentence and facts."""

from __future__ import annotations

from typing import Any, ClassVar


class ReaderError(Exception):
    """A file that cannot be read as it claims to be; nothing was stored.

    ``message`` says what was found and what would be right; ``details`` holds the facts as JSON values.
    """

    code: ClassVar[str] = "unreadable_file"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class TruncatedFileError(ReaderError):
    """Bytes that the file's own index names are not there."""

    code = "truncated_file"


class TooLargeError(ReaderError):
    """The header announces more than the limits allow; nothing was decoded."""

    code = "too_large"


class ContentMismatchError(ReaderError):
    """The name says one format, the content another."""

    code = "content_mismatch"


class UnsupportedFormatError(ReaderError):
    """A format, sample type or layout that no reader here handles."""

    code = "unsupported_format"


class MetadataError(ReaderError):
    """The header contradicts itself or the format's specification."""

    code = "invalid_metadata"


class UnsafePathError(ReaderError):
    """A key, member or link that leads out of the store."""

    code = "unsafe_path"
