"""What the spacing does to a number, said from its exponent and from where the spacing comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.imaging.selectors import effective_spacing
from apps.web.present.lengths import format_length_pair, significant
from apps.web.present.numbers import flat, readable_unit

STEP = 1.05  # the change of spacing that sentences take as their example
SOURCES = {
    "file": "read from the file",
    "derived": "derived",
    "user": "typed by hand",
    "calibration": "from a calibration",
}
_POWERS = {1: "in proportion to the spacing", 2: "with the square of the spacing", 3: "with the cube of the spacing"}


@dataclass(frozen=True)
class AxisSpacing:
    """The sample distance along one axis in words; ``nominal`` as stated, where a calibration moves it."""

    axis: str
    text: str
    source: str
    assumed: bool
    nominal: str = ""


def spacings(image: Any) -> list[AxisSpacing]:
    """Return the spacing along every spatial axis longer than one sample; says where there is none."""
    effective = effective_spacing(image) or {}
    found = []
    for axis, size in zip(image.axes, image.shape, strict=True):
        if axis not in ("x", "y", "z") or size < 2:
            continue
        found.append(_axis(axis, (image.spacing or {}).get(axis), effective.get(axis)))
    return sorted(found, key=lambda item: item.axis)


def _axis(axis: str, entry: Mapping[str, Any] | None, effective: Mapping[str, Any] | None) -> AxisSpacing:
    if not entry or entry.get("value") is None or effective is None:
        return AxisSpacing(axis, "no spacing", "not stated", False)
    text = format_length_pair(effective["value"], effective.get("u"))
    source = str(entry.get("source") or "not stated")
    nominal = format_length_pair(entry["value"], entry.get("u"))
    return AxisSpacing(axis, text, SOURCES.get(source, source), source == "user", nominal)


def spacing_sentence(image: Any) -> str:
    """Return one sentence about the spacing of an image and how far to trust it; empty where there is no image."""
    if image is None:
        return ""
    axes = spacings(image)
    if not axes or not image.calibrated:
        missing = ", ".join(item.axis for item in axes if item.text == "no spacing")
        return (
            f"The image has no spacing along {missing or 'x, y, z'}: nothing that carries a length can be said of it."
        )
    if image.calibration is not None:
        return _calibrated_sentence(image, axes)
    said = {(item.text, item.source) for item in axes}
    if len(said) == 1:
        ((text, source),) = said
        shown = f"{text}, {source}"
    else:
        shown = "; ".join(f"{item.axis} {item.text}, {item.source}" for item in axes)
    unstated = [item.axis for item in axes if (image.spacing.get(item.axis) or {}).get("u") is None]
    if not unstated:
        tail = "± is one standard uncertainty"
    elif len(unstated) == len(axes):
        tail = "its uncertainty is not stated"
    else:
        tail = f"± is one standard uncertainty, not stated along {', '.join(unstated)}"
    verb = "is assumed:" if any(item.assumed for item in axes) else "is"
    return f"The spacing {verb} {shown}; {tail}."


def _calibrated_sentence(image: Any, axes: list[AxisSpacing]) -> str:
    """Return the sentence of an image under a calibration: the true spacing, and the nominal that it comes from."""
    said = {(item.text, item.nominal, item.source) for item in axes}
    if len(said) == 1:
        shown, nominal = axes[0].text, f"{axes[0].nominal}, {axes[0].source}"
    else:
        shown = "; ".join(f"{item.axis} {item.text}" for item in axes)
        nominal = "; ".join(f"{item.axis} {item.nominal}, {item.source}" for item in axes)
    effective = effective_spacing(image) or {}
    unstated = any((effective.get(item.axis) or {}).get("u") is None for item in axes)
    tail = "the uncertainty is not stated" if unstated else "± is one standard uncertainty, that of the calibration"
    return f"The spacing is {shown} by calibration (nominally {nominal}); {tail}."


def has_assumed_spacing(image: Any) -> bool:
    """Return True if any spacing of the image was typed by hand."""
    return image is not None and any(item.assumed for item in spacings(image))


def carries_scale(row: Any) -> bool:
    """Return True for a number whose value moves when all spacings change by one factor, or may."""
    return row.scale_exponent is None or row.scale_exponent != 0


def effect(exponent: int | None) -> str:
    """Return, in two or three words, what happens to a value when every spacing is multiplied by s."""
    if exponent is None:
        return "no simple rule"
    if exponent == 0:
        return "unchanged"
    size = abs(exponent)
    power = "s" if size == 1 else f"s{'⁰¹²³⁴⁵⁶⁷⁸⁹'[size]}" if size < 10 else f"s^{size}"
    return f"× {power}" if exponent > 0 else f"÷ {power}"


def dependence(row: Any) -> str:
    """Return the sentence that says how a number depends on the spacing."""
    exponent = row.scale_exponent
    if exponent is None:
        return "It depends on the spacing in a way that no single power describes."
    if exponent == 0:
        tail = " Unequal changes along x, y and z would move it." if row.depends_on_anisotropy else ""
        return f"It does not depend on the spacing: if every spacing is changed by one factor, it stays as it is.{tail}"
    if exponent < 0:
        how = _POWERS.get(-exponent, f"with power {-exponent} of the spacing").replace(
            "in proportion", "in inverse proportion"
        )
        how = how.replace("with the", "with the inverse")
    else:
        how = _POWERS.get(exponent, f"with power {exponent} of the spacing")
    return f"It changes {how}: {_example(row, exponent)}"


def _example(row: Any, exponent: int) -> str:
    change = 100 * (STEP**exponent - 1)
    direction = "larger" if change > 0 else "smaller"
    text = f"a spacing {100 * (STEP - 1):.0f} % larger makes it {significant(abs(change), 2)} % {direction}"
    numbers = flat(row.value)
    if len(numbers) != 1:
        return f"{text}."
    unit = readable_unit(row.unit)
    before, after = significant(numbers[0]), significant(numbers[0] * STEP**exponent)
    return f"{text} ({before} to {after} {unit})."


def relative_part(row: Any) -> str:
    """Return how much of the number's uncertainty comes from the scale, in percent; empty where none does."""
    sizes, values = flat(row.error.get("scale")), flat(row.value)
    shares = [abs(u / v) for u, v in zip(sizes, values, strict=False) if v]
    return f"{significant(100 * max(shares), 2)} %" if shares else ""
