"""A number in plain words: what it is, what its interval contains and leaves out, what speaks against trusting it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analyses import registry
from apps.web.present.lengths import significant
from apps.web.present.numbers import flat, format_value, is_tensor, readable_unit, tensor_resolution

PARTS = {
    "segmentation": "the choice of the threshold (one 256th of the grey range up and down)",
    "voxel": "the size of the voxels",
    "boundary": "the boundary condition",
    "rve": "the spread from place to place (size of the volume)",
    "constituents": "the uncertainty of the constituents' values",
    "scale": "the uncertainty of the spacing",
    "solver": "what the solver left unfinished",
}
_QUANTITY = {
    "W/(m.K)": ("thermal conductivity", "heat flux", "temperature"),
    "S/m": ("electrical conductivity", "current density", "potential"),
    "m2/s": ("diffusivity", "flux", "concentration"),
}


@dataclass(frozen=True)
class Meaning:
    """The title of a number and the sentence that says what it is."""

    title: str
    sentence: str


def _transport(row: Any) -> tuple[str, str, str]:
    return _QUANTITY.get(row.unit, ("conductivity", "flux", "potential"))


def _tensor(row: Any) -> Meaning:
    quantity, flux, drive = _transport(row)
    return Meaning(
        f"Effective {quantity}",
        f"The mean {flux} through the segmented volume for a unit mean gradient of the {drive}, as a tensor: rows are "
        f"the direction of the {flux}, columns the direction of the gradient.",
    )


def _wiener(row: Any) -> Meaning:
    quantity = _transport(row)[0]
    return Meaning(
        f"Wiener bounds of the {quantity}",
        "Lower and upper limit for any mixture of these phases in these fractions, whatever their arrangement, in "
        "every direction.",
    )


def _hashin_shtrikman(row: Any) -> Meaning:
    quantity = _transport(row)[0]
    return Meaning(
        f"Hashin-Shtrikman bounds of the {quantity}",
        "Lower and upper limit for isotropic mixtures of these phases in these fractions; a mixture with a direction "
        "may lie outside.",
    )


def _fractions(row: Any) -> Meaning:
    shares = ", ".join(f"label {label}: {100 * share:.1f} %" for label, share in enumerate(flat(row.value)[:8]))
    return Meaning("Phase fractions", f"The share of the volume with each label, from dark to bright ({shares}).")


def _rve(row: Any) -> Meaning:
    quantity = _transport(row)[0]
    return Meaning(
        f"Mean {quantity} of tiles",
        f"The mean {quantity} along x, y and z of small tiles cut from the volume, with the spread between them: it "
        "says whether the volume is large enough to stand for the material.",
    )


def _tile_fractions(row: Any) -> Meaning:
    return Meaning(
        "Mean phase fractions of tiles",
        "The mean share of each label in small tiles cut from the volume, with the spread between them.",
    )


_MEANINGS = {
    ("bulk.conductivity", "tensor"): _tensor,
    ("bulk.bounds", "wiener"): _wiener,
    ("bulk.bounds", "hashin_shtrikman"): _hashin_shtrikman,
    ("bulk.rve", "rve"): _rve,
    ("bulk.rve", "fractions"): _tile_fractions,
    ("segmentation.threshold", "fractions"): _fractions,
}


def meaning(row: Any) -> Meaning:
    """Return what a number is, from its plugin and port; from the plugin's own words where nothing better is known."""
    make = _MEANINGS.get((row.job.plugin, row.name))
    if make is not None:
        return make(row)
    title = row.name.replace("_", " ").capitalize()
    told = row.facts.get("meaning") or row.facts.get("definition") or _port_words(row.job.plugin, row.name)
    sentence = f"{str(told)[:1].upper()}{str(told)[1:]}." if told else f"Computed by {row.job.plugin or row.job.kind}."
    return Meaning(title, sentence)


def _port_words(plugin: str, port: str) -> str:
    try:
        spec = registry.get(plugin)
    except LookupError:
        return ""
    return next((output.description for output in spec.outputs if output.name == port), "")


_TABLES = {
    ("segmentation.measure", "table"): "Objects of the phase",
    ("bulk.conductivity", "history"): "Convergence of the solver",
    ("bulk.rve", "table"): "Tiles, one by one",
    ("bulk.rve", "sizes"): "Tiles by size",
}


def table_title(plugin: str, name: str) -> str:
    """Return what a table is, in a few words."""
    return _TABLES.get((plugin, name), name.replace("_", " ").capitalize())


@dataclass(frozen=True)
class IntervalStory:
    """What an interval claims: its level in words, what it contains, and what of the known kinds it leaves out."""

    level: str
    contains: list[str]
    leaves_out: list[str]


def interval_story(interval: Mapping[str, Any] | None, *, moves_with_scale: bool = True) -> IntervalStory | None:
    """Return the story of an interval; None where there is none.  What does not move the number is not left out."""
    if not interval:
        return None
    level = interval.get("level")
    words = f"{100 * level:g} % interval" if level else "spread; no probability is claimed"
    inside = list(interval.get("contains") or [])
    return IntervalStory(
        words,
        [PARTS.get(name, name) for name in inside],
        [text for name, text in PARTS.items() if name not in inside and (moves_with_scale or name != "scale")],
    )


@dataclass(frozen=True)
class Verdict:
    """Whether the volume stands for the material: ``known`` False where nobody looked."""

    known: bool
    good: bool
    text: str
    reason: str
    row: Any = None
    quantity: str = ""


def verdict(row: Any, siblings: Iterable[Any]) -> Verdict:
    """Return the verdict on the volume of a number, by the number's own facts or those of a ``bulk.rve`` beside it."""
    judged = [item for item in [row, *siblings] if item.facts.get("verdict") and _same_phases(row, item)]
    found = next((item for item in judged if item.unit in _QUANTITY), next(iter(judged), None))
    if found is None:
        return Verdict(
            False,
            False,
            "Not checked",
            "Nobody has looked yet whether this volume is large enough to stand for the material.",
        )
    text = str(found.facts["verdict"])
    reason = str(found.facts.get("reason", ""))
    return Verdict(True, text == "RVE", text, reason, found, _transport(found)[0] if found.unit in _QUANTITY else "")


def _same_mixture(row: Any, other: Any) -> bool:
    """Return True if two numbers are of the same quantity and the same phases."""
    return bool(row.unit == other.unit and row.job.params.get("phases") == other.job.params.get("phases") is not None)


def _same_phases(row: Any, other: Any) -> bool:
    mine, its = row.job.params.get("phases"), other.job.params.get("phases")
    return mine is None or its is None or (mine == its and row.unit in (other.unit, other.job.params.get("unit")))


@dataclass(frozen=True)
class BoundsPicture:
    """Bounds beside a value, all in percent of one axis; ``outside`` says that a value leaves the Wiener bounds."""

    wiener: tuple[float, float]
    wiener_text: str
    hashin: tuple[float, float] | None
    hashin_text: str
    dots: list[tuple[float, str]]
    outside: bool
    rows: list[Any]


def bounds_picture(row: Any, siblings: Sequence[Any]) -> BoundsPicture | None:
    """Return the bounds of the same mixture as ``row``; None where none were computed or the value is no number."""
    beside = {
        item.name: item for item in reversed(siblings) if item.job.plugin == "bulk.bounds" and _same_mixture(row, item)
    }
    outer = beside["wiener"].value if "wiener" in beside else row.facts.get("wiener_bounds")
    values = [row.value[i][i] for i in range(3)] if is_tensor(row.value) else flat(row.value)
    named = [(name, value) for name, value in zip(("xx", "yy", "zz"), values, strict=False) if value is not None]
    if row.job.plugin == "bulk.bounds" or not outer or not named or len(values) > 3:
        return None
    low, high = float(outer[0]), float(outer[1])
    inner = beside["hashin_shtrikman"].value if "hashin_shtrikman" in beside else None
    unit = readable_unit(row.unit)
    start, end = min([low, *(v for _, v in named)]), max([high, *(v for _, v in named)])
    room = 0.04 * (end - start or abs(end) or 1.0)

    def place(value: float) -> float:
        return 100 * (value - start + room) / (end - start + 2 * room)

    def span(pair: Sequence[float]) -> tuple[float, float]:
        return place(float(pair[0])), place(float(pair[1])) - place(float(pair[0]))

    return BoundsPicture(
        wiener=span(outer),
        wiener_text=f"{significant(low)} to {significant(high)} {unit}",
        hashin=span(inner) if inner else None,
        hashin_text=f"{significant(inner[0])} to {significant(inner[1])} {unit}" if inner else "",
        dots=[(place(value), f"{name} {significant(value)}") for name, value in named],
        outside=any(not low * (1 - 1e-6) <= value <= high * (1 + 1e-6) for _, value in named),
        rows=list(beside.values()),
    )


def principal_values(value: Any, interval: Mapping[str, Any] | None) -> list[str]:
    """Return the eigenvalues of the symmetric part of a tensor, largest first; empty where an entry is not known."""
    if not is_tensor(value) or len(flat(value)) != 9:
        return []
    matrix = np.array(value, dtype=np.float64)
    found = np.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1]
    return [format_value(float(entry), tensor_resolution(value, dict(interval or {}))) for entry in found]


def _short(value: Any, unit: str) -> str:
    numbers = flat(value)
    shown = ", ".join(significant(number, 2) for number in numbers[:6]) + (", …" if len(numbers) > 6 else "")
    return f"{shown or 'not known'} {readable_unit(unit)}".rstrip()


def error_rows(row: Any) -> list[tuple[str, str, str]]:
    """Return the parts of the error: name, size in one line, what it is."""
    return [
        (
            name,
            _short(part, row.unit) if not is_tensor(part) else _tensor_part(part, row.unit),
            PARTS.get(name, ""),
        )
        for name, part in row.error.items()
    ]


def _tensor_part(part: list[list[Any]], unit: str) -> str:
    shown = ", ".join(f"{part[i][i]:.2g}" if part[i][i] is not None else "not known" for i in range(3))
    return f"diagonal {shown} {readable_unit(unit)}"
