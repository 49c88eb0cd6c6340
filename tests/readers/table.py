"""The page of formats: what the readers report of real files, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apps.imaging.readers import ReadImage
from tests.readers.expected import Entry

HEAD = """# Formats

What the readers report of real files, made from a run of the tests over them: `pytest tests/readers --update-formats`.
A length or a fact that a file lacks is not in the table, and not made up by the readers either: such an image is
*uncalibrated*, and the analyses that need a scale refuse it until somebody types one.

Bruker `.bcf` and Gatan `.dm3` and `.dm4` are read through RosettaSciIO, an optional extra under the GPL:
`pip install corrspace[vendor]`. All others are read as installed.

| file | image | kind | axes and shape | samples | spacing (um) | facts |
|---|---|---|---|---|---|---|
"""


def page(entries: Sequence[Entry], images: Mapping[str, Sequence[ReadImage]]) -> str:
    rows = [_row(entry.file, image) for entry in entries for image in images[entry.file]]
    return HEAD + "\n".join(rows) + "\n"


def _row(file: str, image: ReadImage) -> str:
    shape = ", ".join(f"{axis} {n}" for axis, n in zip(image.axes, image.shape, strict=True))
    lengths = [f"{axis} {image.spacing_um[axis]:.6g}" for axis in "xyz" if image.spacing_um.get(axis)]
    facts = ", ".join(sorted(image.facts))
    cells = (f"`{file}`", image.name, image.kind, shape, image.dtype.name, ", ".join(lengths) or "uncalibrated", facts)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") or " " for cell in cells) + " |"
