"""Receive the files of an acquisition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.core.errors import ConflictError
from apps.imaging.models import Acquisition, SourceFile
from apps.imaging.selectors import status_of
from apps.imaging.services.receive import Incoming, Receipt, file_attributes
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record

FilesAtHand = Iterable[tuple[str, str, Iterable[bytes]]]


class AcquisitionReceipt(Receipt):
    """Files that go into an acquisition."""

    def __init__(self, *, actor: User, acquisition: Acquisition) -> None:
        super().__init__(actor=actor, project_id=acquisition.project_id)
        self.acquisition = acquisition

    def commit(self) -> list[SourceFile]:
        """Publish what came in and write its rows.

        Returns
        -------
        list of SourceFile
            In the order in which the files came.

        Raises
        ------
        InvalidValueError
            No file came.
        ConflictError
            The same bytes or the same name are in the acquisition already, or its state takes no more files.
        StorageFullError
            No room on the disk.
        NotFoundError, PermissionRefusedError
            The caller may not contribute any more.
        RetryLaterError
            The staging was cleared, or another upload came in at the same instant.
        """
        self.require_files()
        return self.publish(self._write_rows)

    def refuse_known(self) -> None:
        """Refuse bytes or names that the acquisition has."""
        refuse_known(list(self.acquisition.files.values_list("name", "sha256")), self.incoming, "acquisition")

    def _write_rows(self) -> list[SourceFile]:
        acquisition = self.acquisition
        with record.act("receive_files", actor=self.actor, project=acquisition.project_id) as act:
            locked = (
                Acquisition.objects.select_for_update(of=("self",)).select_related("ingest_job").get(pk=acquisition.pk)
            )
            # An upload may take hours: what was allowed at its beginning is asked again.
            access.require(User.objects.get(pk=self.actor.pk), access.Action.CONTRIBUTE, locked)
            require_open(locked)
            act.communicated(acquisition)
            return create_source_files(act, self, acquisition=acquisition)


def create_source_files(act: record.Act, receipt: Receipt, **origin: Any) -> list[SourceFile]:
    """Write the rows of what came in and record them; ``origin`` is the acquisition or the outside activity."""
    rows = [SourceFile.objects.create(**receipt.file_fields(item), **origin) for item in receipt.incoming]
    for row in rows:
        act.created(row, attributes=file_attributes(row), erasable={"file_name": row.name})
    return rows


def refuse_known(there: Iterable[tuple[str, str]], incoming: Iterable[Incoming], where: str) -> None:
    """Raise ConflictError for bytes or a name among those ``there`` (name, sha256)."""
    known = list(there)
    digests = {sha256: name for name, sha256 in known}
    names = {name for name, _ in known}
    for item in incoming:
        if item.sha256 in digests:
            raise ConflictError(
                f"{item.name!r}: the same bytes are in this {where} already, as {digests[item.sha256]!r}",
                field="file",
                details={"sha256": item.sha256, "name": digests[item.sha256]},
            )
        if item.name in names:
            raise ConflictError(f"the {where} has another file {item.name!r}; files are never replaced", field="file")


def require_open(acquisition: Acquisition) -> None:
    """Raise ConflictError if an acquisition takes no more files: its ingest waits, runs or is done."""
    status = status_of(acquisition)
    if status not in ("empty", "failed"):
        raise ConflictError(f"the acquisition is {status}; files are taken before its ingest, or after one that failed")


def open_receipt(*, actor: User, acquisition: Acquisition) -> AcquisitionReceipt:
    """Begin to receive files into an acquisition.

    Raises
    ------
    NotFoundError, PermissionRefusedError
        The caller may not contribute to its project.
    ConflictError
        Its ingest waits, runs or is done.
    """
    access.require(actor, access.Action.CONTRIBUTE, acquisition)
    require_open(acquisition)
    return AcquisitionReceipt(actor=actor, acquisition=acquisition)


def take_files(receipt: Receipt, files: FilesAtHand) -> None:
    """Stream files that are at hand as pieces of bytes into a receipt."""
    for name, media_type, pieces in files:
        item = receipt.begin(name, media_type)
        for piece in pieces:
            item.write(piece)
        item.finish()


def receive_files(*, actor: User, acquisition: Acquisition, files: FilesAtHand) -> list[SourceFile]:
    """Receive files that are at hand as pieces of bytes.

    Parameters
    ----------
    actor, acquisition
        Who gives them, and into what.
    files : iterable of (name, media type, pieces)
        All of them are stored, or none.

    Returns
    -------
    list of SourceFile

    Raises
    ------
    CorrError
        As ``open_receipt`` and ``AcquisitionReceipt.commit``, for a refused name, an empty file, or too many bytes.
    """
    with open_receipt(actor=actor, acquisition=acquisition) as receipt:
        take_files(receipt, files)
        return receipt.commit()
