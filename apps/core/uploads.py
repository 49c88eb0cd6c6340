"""No page takes files: what is sent to one is refused before a byte of it is written.

The attack: the CSRF check reads a multipart body before it knows the caller, and Django would write each file in it to
disk.  Source files come in through a view that reads its own stream, after it has asked who calls.
"""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload


class RefuseFilesHandler(FileUploadHandler):
    """Ends the reading of a body at its first file."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        raise StopUpload(connection_reset=True)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        """Never reached."""
        return None

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        """Never reached."""
        return None
