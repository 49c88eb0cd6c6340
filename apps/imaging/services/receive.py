"""Receive a file: streamed to staging and hashed on the way, then published under a key of its own.

What the files belong to, and which rows they become, is said by the receipts built on this one.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Q

from apps.core import storage
from apps.core.clock import DbNow
from apps.core.errors import ConflictError, InvalidValueError, RetryLaterError, TooLargeError
from apps.core.models import Store
from apps.projects.models import User

T = TypeVar("T")
MAX_NAME = 255
# Synced while the bytes come, so that the end of a large upload waits for the disk for one such piece, not for all.
_SYNC_BYTES = 256 << 20
_BLOCK = 4 << 20
_SLOWEST_DISK = 8 << 20  # bytes a second that a lease counts on while a file is synced
_MEDIA_TYPE = re.compile(r"^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,39}$")
_UNKNOWN_TYPE = "application/octet-stream"
# Controls, format characters (a right-to-left override turns "gpj.exe" round), surrogates, line separators.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def check_file_name(name: str) -> str:
    """Return a name as given, or refuse it; it is never silently changed.

    Raises
    ------
    InvalidValueError
        Empty, longer than 255 characters, ``.`` or ``..``, with a path separator, a control or format character or
        undecodable bytes, or with white space at an end.
    """
    problem = ""
    if not name or len(name) > MAX_NAME:
        problem = f"it has {len(name)} characters; 1 to {MAX_NAME} are admitted"
    elif name in (".", "..") or "/" in name or "\\" in name:
        problem = "a path is not admitted, only a name"
    elif name != name.strip():
        problem = "it begins or ends with white space"
    elif "\ufffd" in name or any(unicodedata.category(letter) in _REFUSED_CATEGORIES for letter in name):
        problem = "it holds control characters or bytes that are no text"
    if problem:
        raise InvalidValueError(f"file name {name[:80]!r}: {problem}", field="file")
    return name


def known_media_type(given: str) -> str:
    """A media type as it was given, if it is one."""
    return given if _MEDIA_TYPE.match(given) else _UNKNOWN_TYPE


@contextmanager
def _swept_named() -> Iterator[None]:
    """Staging that is not there any more was swept: nothing is wrong with the request."""
    try:
        yield
    except FileNotFoundError as error:
        raise RetryLaterError("the upload took so long that its staging was cleared; send it again") from error


@dataclass
class Incoming:
    """One file on its way in; ``write`` takes its bytes in order."""

    receipt: Receipt
    store: Store
    name: str
    media_type: str
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    path: Path | None = None
    stream: IO[bytes] | None = None
    unsynced: int = 0

    def write(self, chunk: bytes) -> None:
        """Append bytes; the receipt's limit and the disk may refuse them."""
        self.receipt.account(len(chunk))
        with storage.full_disk_named(), _swept_named():
            if self.stream is None:
                self.path = storage.staged_file(self.store.pk)
                self.stream = self.path.open("xb", buffering=1 << 20)
            self.stream.write(chunk)
            self._sync_now_and_then(self.stream, len(chunk))
        self.digest.update(chunk)
        self.size += len(chunk)

    def adopt(self, whole: Path) -> None:
        """Take the bytes of a file that lies in staging already; they are read once more, for their digest."""
        with storage.full_disk_named(), _swept_named():
            self.path = storage.staged_file(self.store.pk)
            storage.lend(whole, self.path)
            with whole.open("rb") as stream:
                while chunk := stream.read(_BLOCK):
                    self.receipt.account(len(chunk))
                    self.digest.update(chunk)
                    self.size += len(chunk)

    def _sync_now_and_then(self, stream: IO[bytes], count: int) -> None:
        self.unsynced += count
        if self.unsynced >= _SYNC_BYTES:
            stream.flush()
            os.fdatasync(stream.fileno())
            self.unsynced = 0

    def finish(self) -> None:
        """Close the file; an empty one is refused."""
        with storage.full_disk_named():
            self.close()
        if self.size == 0:
            raise InvalidValueError(f"file {self.name!r} is empty; a measurement leaves bytes", field="file")

    def close(self) -> None:
        """Close the staged file, if it was ever opened; flushing it may find the disk full."""
        if self.stream is not None:
            stream, self.stream = self.stream, None
            stream.close()

    def publish(self) -> None:
        """Move the bytes to their final key, which the staged row announces."""
        if self.path is None:
            raise AssertionError("a file without bytes is never published")
        with _swept_named():
            storage.publish_file(self.path, self.store.key)

    def discard(self) -> None:
        """Remove what is staged; bytes and row that were made ready stay."""
        with suppress(OSError):  # what a full disk did not take is not wanted any more
            self.close()
        if self.path is not None:
            storage.discard(self.path.parent)
        staged = Store.objects.filter(pk=self.store.pk, state=Store.State.STAGED)
        if staged.exists():  # bytes first: bytes without a row could not be swept
            storage.discard(storage.path(self.store.key))
            staged.delete()

    @property
    def sha256(self) -> str:
        """Digest in hex."""
        return str(self.digest.hexdigest())


class Receipt:
    """The files of one request: all of them are published, or none leaves a trace.

    A context manager: whatever ends its body, a lost client included, removes what was staged and not committed.
    """

    def __init__(self, *, actor: User, project_id: uuid.UUID) -> None:
        self.actor = actor
        self.project_id = project_id
        self.incoming: list[Incoming] = []
        self._bytes = 0
        self._renewed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for item in self.incoming:
            item.discard()

    def begin(self, name: str, media_type: str = "") -> Incoming:
        """Open staging for one more file."""
        check_file_name(name)
        if any(item.name == name for item in self.incoming):
            raise ConflictError(f"the name {name!r} stands twice in one request", field="file")
        # The row comes first: bytes that nobody's row announces could not be swept.
        store = Store.objects.create(
            kind=Store.Kind.FILE, key=storage.new_key("file"), lease_until=DbNow(settings.CORR_LEASE_SECONDS)
        )
        item = Incoming(self, store, name, known_media_type(media_type))
        self.incoming.append(item)
        return item

    def account(self, count: int) -> None:
        """Count bytes against the limit of a request, and keep the staged rows' lease alive."""
        self._bytes += count
        if self._bytes > settings.CORR_MAX_UPLOAD_BYTES:
            raise TooLargeError(
                f"the files of one request may have {settings.CORR_MAX_UPLOAD_BYTES} bytes together", field="file"
            )
        if time.monotonic() - self._renewed > settings.CORR_LEASE_SECONDS / 3:
            self._renew()

    def _renew(self, extra_seconds: float = 0.0) -> None:
        ids = [item.store.pk for item in self.incoming]
        rows = Store.objects.filter(pk__in=ids, state=Store.State.STAGED).update(
            lease_until=DbNow(settings.CORR_LEASE_SECONDS + extra_seconds)
        )
        if rows != len(ids):
            raise RetryLaterError("the upload stood still for so long that its staging was cleared; send it again")
        self._renewed = time.monotonic()

    def publish(self, write: Callable[[], T]) -> T:
        """Move what came in to its final keys, then write its rows.

        Parameters
        ----------
        write : callable
            Opens the transaction and writes the rows, with :meth:`file_fields` of every item.

        Raises
        ------
        ConflictError
            Two files of the request have the same bytes, or :meth:`refuse_known` finds them there already.
        StorageFullError
            No room on the disk.
        RetryLaterError
            The staging was cleared, or another upload came in at the same instant.
        """
        self._refuse_twins()
        self.refuse_known()
        for item in self.incoming:
            if self._same_bytes(item.sha256) is None:
                self._renew(item.size / _SLOWEST_DISK)  # nobody renews while the disk is waited for
                item.publish()
        self._renew()
        try:
            return write()
        except IntegrityError as error:
            self.refuse_known()
            raise RetryLaterError("another upload to the same place came in at the same instant") from error

    def refuse_known(self) -> None:
        """Raise ConflictError for a name or bytes that are there already; what "there" is, is for a subclass to say."""

    def require_files(self) -> None:
        """Raise InvalidValueError if no file came."""
        if not self.incoming:
            raise InvalidValueError("no file came; send multipart/form-data with `file` once or more", field="file")

    def _refuse_twins(self) -> None:
        seen: dict[str, str] = {}
        for item in self.incoming:
            if item.sha256 in seen:
                raise ConflictError(f"{item.name!r} has the same bytes as {seen[item.sha256]!r}", field="file")
            seen[item.sha256] = item.name

    def file_fields(self, item: Incoming) -> dict[str, Any]:
        """Columns of the row of a file, its store made ready; within the transaction that writes the row."""
        return {
            "project_id": self.project_id,
            "store": self._ready_store(item),
            "name": item.name,
            "sha256": item.sha256,
            "size": item.size,
            "media_type": item.media_type,
            "uploaded_by": self.actor,
        }

    def _ready_store(self, item: Incoming) -> Store:
        """The store of the bytes: one that this project has already, else the staged one made ready."""
        if not storage.path(item.store.key).is_file():
            known = self._same_bytes(item.sha256)
            if known is None:
                raise RetryLaterError("a file with these bytes was removed at this instant; send it again")
            return known
        rows = Store.objects.filter(pk=item.store.pk, state=Store.State.STAGED, lease_until__gte=DbNow()).update(
            state=Store.State.READY,
            digest=f"sha256:{item.sha256}",
            size_bytes=item.size,
            file_count=1,
            lease_until=None,
        )
        if not rows:
            raise RetryLaterError("the upload took so long that its staging was cleared; send it again")
        return item.store

    def _same_bytes(self, sha256: str) -> Store | None:
        """The store of the same bytes elsewhere in the project; other projects are never asked, so nothing leaks."""
        here = Q(source_files__project_id=self.project_id) | Q(attachments__project_id=self.project_id)
        same = Store.objects.filter(here, kind=Store.Kind.FILE, state=Store.State.READY, digest=f"sha256:{sha256}")
        return same.order_by("created_at").first()


def file_attributes(row: Any) -> dict[str, Any]:
    """What the record keeps of a file for ever; its name stays erasable."""
    return {"corr:sha256": row.sha256, "corr:bytes": row.size, "corr:mediaType": row.media_type}
