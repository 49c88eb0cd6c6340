"""Images of one file: in one frame where they lie on one grid, else joined by the map that the file's steps give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from apps.core.errors import InvalidValueError
from apps.imaging.grids import error_um, relation, same_grid
from apps.imaging.models import Image
from apps.spatial.services import join_frames

EXACT: Final = "the file states both on one grid: exact by construction, from its own steps"
PLACED: Final = "the file places both in one plane: from its own steps, with the error of the stage between them"


@dataclass(frozen=True)
class Made:
    """An image that the ingest wrote, and what the reader said of it."""

    described: Mapping[str, Any]
    image: Image


def on_one_grid(described: Mapping[str, Any], made: Sequence[Made]) -> Image | None:
    """Return an image written already whose frame serves the described one too; None if there is none."""
    found = (former.image for former in made if same_grid(described, former.described))
    return next((image for image in found if image.frame_id is not None), None)


def relate_image(new: Made, made: Sequence[Made]) -> None:
    """Join the frame of a new image to that of the first image of its field, if the file says how they lie."""
    for former in made:
        matrix = relation(new.described, former.described)
        if matrix is None or new.image.frame is None or former.image.frame is None:
            continue
        error = error_um([new.described, former.described])
        with suppress(InvalidValueError):  # steps that are absurd join nothing, and keep no image from being taken
            join_frames(
                source=new.image.frame,
                target=former.image.frame,
                matrix=matrix,
                u_um=error,
                reason=PLACED if error else EXACT,
                actor=new.image.created_by,
            )
        return
