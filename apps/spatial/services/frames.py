"""Frames: opened by what owns them - an image, a mount, a state - inside the act that makes the owner."""

from __future__ import annotations

from apps.catalog.models import State
from apps.core.clean import clean_text
from apps.provenance import record
from apps.spatial.models import Frame

STATE_FRAME_WORDS = (
    "Axes and origin of the specimen in this state: those of the first transform that leads here, "
    "right-handed, micrometres."
)


def open_frame(act: record.Act, frame: Frame) -> Frame:
    """Write a new frame inside an act that is open, and record it; the caller has checked permission.

    Parameters
    ----------
    act : Act
        The act that makes the frame's owner.
    frame : Frame
        Not saved yet, with project, kind, name and description.

    Returns
    -------
    Frame
        The row.
    """
    frame.name = clean_text(frame.name, field="name", required=True)
    frame.description = clean_text(frame.description, field="description", max_length=2000, required=True)
    frame.save(force_insert=True)
    act.created(frame, attributes={"corr:kind": str(frame.kind)}, erasable={"name": frame.name})
    if frame.state is not None:
        act.used(frame.state, role="state")
    return frame


def ensure_state_frame(act: record.Act, state: State) -> Frame:
    """Return the frame of a specimen's state, opened on first use.

    The caller holds the specimen's row, so that two first uses do not meet; the database admits one such frame a state.
    """
    frame = Frame.objects.filter(state=state, kind=Frame.Kind.STATE).first()
    if frame is not None:
        return frame
    specimen = state.specimen
    return open_frame(
        act,
        Frame(
            project=specimen.project,
            kind=Frame.Kind.STATE,
            name=f"{specimen.name[:150]}, state {state.number}",
            description=STATE_FRAME_WORDS,
            specimen=specimen,
            state=state,
        ),
    )
