"""From received files to images still undecoded: what belongs together is read together.  Without Django."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analyses.sdk.child import ChildContext
from apps.imaging.readers import Limits, ReadImage, UnsupportedFormatError, detect, read
from apps.imaging.readers.groups import PEEK_BYTES, Group, Peek, recognise


@dataclass(frozen=True)
class Found:
    """One image of one file, still undecoded."""

    file: Mapping[str, str]
    image: ReadImage


@dataclass
class Taken:
    """What came of all files: images, formats met, side-cars (name -> the file they belong to), files not read."""

    found: list[Found] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)
    side_cars: dict[str, str] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def add(self, file: Mapping[str, str], format_: str, images: Sequence[ReadImage]) -> None:
        """Take the images of a file; files that they were read with are not read again."""
        self.readers.add(format_)
        self.found += [Found(file, image) for image in images]
        for name in (name for image in images for name in image.side_cars if name != file["name"]):
            self.side_cars.setdefault(name, file["name"])

    def settle(self) -> None:
        """Drop images of files that turned out to be side-cars of others."""
        self.found = [item for item in self.found if item.file["name"] not in self.side_cars]
        self.unread = [name for name in self.unread if name not in self.side_cars]


def groups_of(files: Sequence[Mapping[str, str]]) -> list[Group]:
    """The files in groups, by their names and first bytes."""
    return recognise([Peek(file["name"], _head(Path(file["path"]))) for file in files])


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(PEEK_BYTES)


def in_reading_order(files: Sequence[Mapping[str, str]], groups: Sequence[Group]) -> Iterator[Mapping[str, str]]:
    """Primary files first: a side-car is read alone only if no image was read with it."""
    named = {file["name"]: file for file in files}
    yield from (named[group.primary] for group in groups)
    yield from (named[name] for group in groups for name in group.side_cars)


def read_file(
    file: Mapping[str, str], files: Sequence[Mapping[str, str]], limits: Limits
) -> tuple[str, list[ReadImage]]:
    """Name of the format and images of one file, the others at hand as possible side-cars.

    Raises
    ------
    ReaderError
        As ``apps.imaging.readers.read``.
    """
    path, name = Path(file["path"]), file["name"]
    beside = {other["name"]: Path(other["path"]) for other in files if other["name"] != name}
    return detect(path, name).format, read(path, name=name, limits=limits, beside=beside)


def read_files(files: Sequence[Mapping[str, str]], limits: Limits, ctx: ChildContext) -> Taken:
    """Read all files.

    A file of no known format beside one that gives an image is kept as it is; alone it is refused.

    Raises
    ------
    ReaderError
        For a file that is not what it claims to be, or where none gives an image.
    """
    taken = Taken()
    refusal: UnsupportedFormatError | None = None
    for file in in_reading_order(files, groups_of(files)):
        ctx.check_cancelled()
        if file["name"] in taken.side_cars:
            continue
        try:
            taken.add(file, *read_file(file, files, limits))
        except UnsupportedFormatError as error:
            refusal = refusal or error
            taken.unread.append(file["name"])
            ctx.log(f"{file['name']} is kept as a side-car file and not read: {error.message}")
    taken.settle()
    if not taken.found:
        raise refusal or UnsupportedFormatError("there is no file to read")
    order = {file["name"]: number for number, file in enumerate(files)}
    taken.found.sort(key=lambda item: order[item.file["name"]])
    return taken
