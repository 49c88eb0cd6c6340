"""What a look into files found, as the page of an import shows it before they are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.web.present.facts import FactRow, fact_rows
from apps.web.present.lengths import format_length_pair

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class PreviewImage:
    """An image that the ingest would give."""

    name: str
    file: str
    reader: str
    kind: str
    size: str
    scale: str
    has_scale: bool
    handedness: str
    channels: str
    warnings: Sequence[str]
    facts: Sequence[FactRow]


@dataclass(frozen=True)
class Preview:
    """All images found, files beside them, and what was refused."""

    images: Sequence[PreviewImage]
    side_cars: Sequence[str]
    refusals: Sequence[Mapping[str, str]]
    more: int

    @property
    def without_scale(self) -> int:
        """How many of the images have no scale along some axis."""
        return sum(not image.has_scale for image in self.images)


def preview_of(facts: Mapping[str, Any]) -> Preview | None:
    """Return what the facts of a job say; None where they say nothing."""
    found = facts.get("preview")
    groups = found.get("groups", []) if isinstance(found, Mapping) else []
    if not groups:
        return None
    images = [_image(image) for group in groups for image in group.get("images", [])]
    refusals = [refusal for group in groups for refusal in group.get("refusals", [])]
    side_cars = [name for group in groups for name in group.get("side_cars", [])]
    count = sum(int(group.get("image_count", 0)) for group in groups)
    return Preview(images, side_cars, refusals, max(0, count - len(images)))


def _image(found: Mapping[str, Any]) -> PreviewImage:
    sizes = dict(zip(found["axes"], found["shape"], strict=True))
    extent = " × ".join(str(sizes[axis]) for axis in AXES if sizes.get(axis, 1) > 1)
    extra = "".join(f", {sizes[axis]} {word}" for axis, word in _OTHERS if sizes.get(axis, 1) > 1)
    scale, whole = _scale(found.get("spacing") or {}, sizes, str(found.get("spacing_read_from") or ""))
    labels = [str(channel.get("detector") or channel.get("label") or "") for channel in found.get("channels", [])]
    return PreviewImage(
        name=str(found["name"]),
        file=str(found["file"]),
        reader=str(found["reader"]),
        kind=str(found["kind"]),
        size=f"{extent or '1'} samples{extra}, {found['dtype']}",
        scale=scale,
        has_scale=whole,
        handedness=str(found.get("handedness") or "unknown"),
        channels=", ".join(filter(None, labels)),
        warnings=[text for text in found.get("warnings", ()) if not text.startswith("uncalibrated")],
        facts=fact_rows(found.get("facts", {})),
    )


_OTHERS = (("c", "channels"), ("t", "times"), ("e", "energies"))


def _scale(spacing: Mapping[str, Any], sizes: Mapping[str, int], where: str) -> tuple[str, bool]:
    """Return the sample distance in words, and whether every axis longer than one sample has one."""
    long = [axis for axis in AXES if sizes.get(axis, 1) > 1]
    texts = {}
    for axis in long:
        entry = spacing.get(axis)
        if entry and entry.get("value") is not None:
            texts[axis] = format_length_pair(entry["value"], entry.get("u"))
    if not texts:
        return "no scale in this file", False
    same = len(set(texts.values())) == 1 and len(texts) == len(long)
    words = next(iter(texts.values())) if same else ", ".join(f"{axis} {text}" for axis, text in texts.items())
    missing = [axis for axis in long if axis not in texts]
    words += f"; none along {', '.join(missing)}" if missing else ""
    return (f"{words} (from {where})" if where else words), not missing
