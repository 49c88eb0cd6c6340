"""The dialects in the order in which they are asked; the first that knows a frame describes it."""

from __future__ import annotations

from apps.imaging.readers import sem_fei, sem_fibics, sem_jeol, sem_orion, sem_tescan, sem_zeiss
from apps.imaging.readers.vendor import Description, Dialect, Frame

# Fibics and Orion write the tag of ZEISS beside their own; side-cars come last, for a tag travels with its image.
DIALECTS: tuple[Dialect, ...] = (
    sem_fibics.describe,
    sem_orion.describe,
    sem_fei.describe,
    sem_zeiss.describe,
    sem_tescan.describe,
    sem_jeol.describe,
)
TAGS = (sem_fibics.TAG, sem_orion.TAG, *sem_fei.TAGS, sem_fei.XML_TAG, sem_zeiss.TAG, sem_tescan.TAG)


def describe(frame: Frame) -> Description | None:
    """What the first dialect that knows the frame says of it; None if it is no vendor's.

    Raises
    ------
    ReaderError
        A header that is the vendor's and cannot be read as such, or is not to be read.
    """
    return next((found for dialect in DIALECTS if (found := dialect(frame)) is not None), None)
