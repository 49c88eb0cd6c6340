"""Files that come piece by piece, over days and broken lines, and go into an acquisition when they are whole.

How many bytes are there is asked of the staged file alone, so that no kill between two writes can make row and file
disagree.  One sender at a time holds the file's lock; the lease of its store says until when it is kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final

from django.conf import settings
from django.db import transaction

from apps.core import storage
from apps.core.clock import DbNow
from apps.core.errors import ConflictError, CorrError, InvalidValueError, PermissionRefusedError, TooLargeError
from apps.core.models import Store
from apps.imaging.models import Acquisition, SourceFile, Upload
from apps.imaging.services.receipts import open_receipt
from apps.imaging.services.receive import check_file_name, known_media_type
from apps.projects import access
from apps.projects.models import User

KEPT_SECONDS: Final = 7 * 24 * 3600.0
MOST_OPEN: Final = 100  # uploads of one account
MOST_CHECKED: Final = 64 << 20  # bytes of a piece with a checksum: they are held until the checksum is known
_SPARE: Final = 1 << 30  # room that uploads leave on the disk: the database may lie on it
CHECKSUMS: Final = ("sha1", "sha256")
_BLOCK: Final = 1 << 20
Read = Callable[[int], bytes]


class UploadLockedError(CorrError):
    """Another request writes to the upload at this instant."""

    status = 423
    code = "locked"
    title = "Somebody else is sending"


class ChecksumError(CorrError):
    """What came is not what was sent; it was not kept."""

    status = 460
    code = "checksum_mismatch"
    title = "The checksum does not agree"


@dataclass(frozen=True)
class Checksum:
    """Digest that a piece must have: one of ``CHECKSUMS``, and its bytes."""

    algorithm: str
    digest: bytes


def begin_upload(*, actor: User, name: str, size: int, media_type: str = "") -> Upload:
    """Open an upload; it is kept for a week after its last byte.

    Parameters
    ----------
    actor : User
        A contributor of any project: which one is said when an acquisition takes the file.
    name : str
        Of the file, without folders.
    size : int
        Bytes of the whole file.
    media_type : str
        As the sender states it.

    Raises
    ------
    PermissionRefusedError
        The actor contributes to no project.
    InvalidValueError
        The name or the size cannot be taken.
    TooLargeError
        More than one source file may have.
    ConflictError
        Too many uploads of the account are open.
    StorageFullError
        The disk has less room than that.
    """
    if not access.project_ids(actor, access.Action.CONTRIBUTE).exists():
        raise PermissionRefusedError("this takes the role contributor or manager in a project")
    check_file_name(name)
    _check_size(size)
    if actor.uploads.count() >= MOST_OPEN:
        raise ConflictError(f"{MOST_OPEN} uploads of this account are open; finish or remove some")
    with transaction.atomic():
        store = Store.objects.create(kind=Store.Kind.FILE, key=storage.new_key("file"), lease_until=DbNow(KEPT_SECONDS))
        return Upload.objects.create(
            store=store, name=name, size=size, media_type=known_media_type(media_type), created_by=actor
        )


def _check_size(size: int) -> None:
    if size < 1:
        raise InvalidValueError("a measurement leaves bytes; give the size of the whole file", field="size")
    if size > settings.CORR_MAX_UPLOAD_BYTES:
        raise TooLargeError(f"the file has {size} bytes; {settings.CORR_MAX_UPLOAD_BYTES} are taken", field="size")
    if size + _SPARE > storage.free_bytes():
        raise storage.StorageFullError(f"the server's disk has less room than the {size} bytes of the file")


def receive_piece(
    *, actor: User, upload: Upload, offset: int, read: Read, length: int, checksum: Checksum | None = None
) -> int:
    """Append what comes next; what came before a line broke is kept, unless a checksum was given for the whole piece.

    Parameters
    ----------
    actor : User
        Whose upload it is.
    upload : Upload
    offset : int
        Where the piece begins: the number of bytes that are there.
    read : callable
        Gives at most so many of the piece's bytes, and none at its end.
    length : int
        Bytes of the piece.
    checksum : Checksum, optional
        Digest of the piece.

    Returns
    -------
    int
        The number of bytes that are there now, on the disk.

    Raises
    ------
    PermissionRefusedError
        Another's upload.
    ConflictError
        The piece begins elsewhere.
    TooLargeError
        It would reach beyond the file's size.
    UploadLockedError
        Another request is sending.
    ChecksumError
        The piece has another digest.
    StorageFullError
        No room; what was written is kept.
    """
    _require_own(actor, upload)
    _check_piece(length, checksum)
    with _locked(upload) as stream:
        there = stream.seek(0, os.SEEK_END)
        if offset != there:
            raise ConflictError(
                f"the piece begins at {offset}; {there} bytes are there", details={"offset": there, "size": upload.size}
            )
        if there + length > upload.size:
            raise TooLargeError(f"the piece ends at {there + length}; the file has {upload.size} bytes")
        _keep(upload)
        try:
            _append(stream, read, length, checksum)
        finally:
            with storage.full_disk_named():
                os.fdatasync(stream.fileno())
        return stream.seek(0, os.SEEK_END)


def _check_piece(length: int, checksum: Checksum | None) -> None:
    if checksum and length > MOST_CHECKED:
        raise TooLargeError(f"a piece with a checksum may have {MOST_CHECKED} bytes; this one has {length}")
    if length + _SPARE > storage.free_bytes():
        raise storage.StorageFullError(f"the server's disk has no room for a piece of {length} bytes")


def _append(stream: IO[bytes], read: Read, length: int, checksum: Checksum | None) -> None:
    """Write a piece as it comes; one with a checksum only when all of it is known to be right, so that no kill leaves
    bytes that nobody checked.
    """
    blocks: Iterable[bytes] = _blocks(read, length)
    if checksum:
        whole = b"".join(blocks)
        digest = hashlib.new(checksum.algorithm, whole, usedforsecurity=False).digest()
        if digest != checksum.digest or len(whole) != length:
            raise ChecksumError(f"what came of {length} bytes has another {checksum.algorithm}; it was not kept")
        blocks = [whole]
    for block in blocks:
        _write(stream, block)


def _blocks(read: Read, length: int) -> Iterator[bytes]:
    left = length
    while left and (block := read(min(left, _BLOCK))):
        yield block
        left -= len(block)


def _write(stream: IO[bytes], block: bytes) -> None:
    """Write a block whole: without a buffer the system may take a part of it."""
    view = memoryview(block)
    with storage.full_disk_named():
        while view:
            view = view[stream.write(view) :]


def remove_upload(*, actor: User, upload: Upload) -> None:
    """Give up an upload: its bytes and its row go.

    Raises
    ------
    PermissionRefusedError
        Another's upload.
    UploadLockedError
        Another request is sending.
    """
    _require_own(actor, upload)
    with _locked(upload):
        _forget(upload)


def take_uploads(*, actor: User, acquisition: Acquisition, uploads: Sequence[Upload]) -> list[SourceFile]:
    """Take whole uploads into an acquisition as its source files: all of them, or none.

    Where it is refused the uploads stay as they are.

    Parameters
    ----------
    actor : User
        A contributor of the acquisition's project whose uploads they are.
    acquisition : Acquisition
        One that still takes files.
    uploads : sequence of Upload
        All of them whole.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The actor may not contribute, or the upload is another's.
    ConflictError
        An upload is not whole yet; and as for files that are sent at once.
    UploadLockedError
        Another request is sending, or taking, one of them.
    CorrError
        As for files that are sent at once.
    """
    with open_receipt(actor=actor, acquisition=acquisition) as receipt, _all_locked(actor, uploads) as streams:
        for upload, stream in zip(uploads, streams, strict=True):
            there = stream.seek(0, os.SEEK_END)
            if there != upload.size:
                raise ConflictError(
                    f"{upload.name!r} is not whole: {there} of {upload.size} bytes are there", field="upload"
                )
            _keep(upload)
            receipt.begin(upload.name, upload.media_type).adopt(storage.staged_file(upload.store_id))
        rows = receipt.commit()
        for upload in uploads:
            _forget(upload)
    return rows


@contextmanager
def _all_locked(actor: User, uploads: Sequence[Upload]) -> Iterator[list[IO[bytes]]]:
    """Hold all files, in the order of their ids, so that two takers of the same ones do not wait for each other."""
    if not uploads:
        yield []
        return
    first, *rest = sorted(uploads, key=lambda upload: upload.pk)
    _require_own(actor, first)
    with _locked(first) as stream, _all_locked(actor, rest) as others:
        held = dict(zip([first.pk, *(upload.pk for upload in rest)], [stream, *others], strict=True))
        yield [held[upload.pk] for upload in uploads]


@contextmanager
def _locked(upload: Upload) -> Iterator[IO[bytes]]:
    """The staged file, held by this request alone; a process that dies lets go of it."""
    with storage.full_disk_named():
        stream = storage.staged_file(upload.store_id).open("ab+", buffering=0)
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UploadLockedError("another request holds this upload; ask for its offset, and go on") from error
        yield stream


def _keep(upload: Upload) -> None:
    """Prolong the lease: a sweep does not come while bytes do."""
    kept = Store.objects.filter(pk=upload.store_id, state=Store.State.STAGED).update(lease_until=DbNow(KEPT_SECONDS))
    if not kept:
        raise ConflictError("the upload was removed at this instant; begin another")


def _forget(upload: Upload) -> None:
    """Rows first: bytes that no row names are swept, a row without bytes would promise some."""
    Store.objects.filter(pk=upload.store_id, state=Store.State.STAGED).delete()
    storage.discard(storage.staged_file(upload.store_id).parent)


def _require_own(actor: User, upload: Upload) -> None:
    if upload.created_by_id != actor.pk:
        raise PermissionRefusedError("an upload is for the account that began it")
