"""Files kept beside a specimen or an acquisition."""

from __future__ import annotations

from apps.catalog.models import Specimen
from apps.core.errors import ConflictError, InvalidValueError
from apps.imaging.models import Acquisition, Attachment
from apps.imaging.services.receive import Receipt, file_attributes
from apps.projects import access
from apps.projects.models import User
from apps.provenance import record


class AttachmentReceipt(Receipt):
    """One file that goes to a specimen or an acquisition."""

    def __init__(self, *, actor: User, thing: Specimen | Acquisition) -> None:
        super().__init__(actor=actor, project_id=thing.project_id)
        self.thing = thing

    def commit(self) -> Attachment:
        """Publish the file and write its row.

        Raises
        ------
        InvalidValueError
            No file came, or several.
        ConflictError
            The thing has another attachment of this name.
        StorageFullError, RetryLaterError, NotFoundError, PermissionRefusedError
            As for every receipt.
        """
        self.require_files()
        if len(self.incoming) > 1:
            raise InvalidValueError(f"{len(self.incoming)} files came; an attachment is one", field="file")
        return self.publish(self._write_row)

    def refuse_known(self) -> None:
        """Refuse a name that the thing has: an attachment is never replaced."""
        for item in self.incoming:
            if self.thing.attachments.filter(name=item.name).exists():
                raise ConflictError(f"it has another attachment {item.name!r}; none is ever replaced", field="file")

    def _write_row(self) -> Attachment:
        owner = "acquisition" if isinstance(self.thing, Acquisition) else "specimen"
        with record.act("attach_file", actor=self.actor, project=self.project_id) as act:
            # An upload may take hours: what was allowed at its beginning is asked again.
            access.require(User.objects.get(pk=self.actor.pk), access.Action.CONTRIBUTE, self.thing)
            row = Attachment.objects.create(**self.file_fields(self.incoming[0]), **{owner: self.thing})
            if isinstance(self.thing, Acquisition):
                act.communicated(self.thing)
            else:
                act.used(self.thing, role="specimen")
            act.created(row, attributes=file_attributes(row), erasable={"file_name": row.name})
        return row


def open_attachment(*, actor: User, thing: Specimen | Acquisition) -> AttachmentReceipt:
    """Begin to receive a file to keep beside a specimen or an acquisition; the caller must be allowed to contribute."""
    access.require(actor, access.Action.CONTRIBUTE, thing)
    return AttachmentReceipt(actor=actor, thing=thing)
