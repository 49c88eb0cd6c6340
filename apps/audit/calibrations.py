"""What a derivation says of calibrations: which one an image is under, and where it did not hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.imaging.models import Image
from apps.imaging.selectors import calibration_of
from apps.results.models import Property


def _along(axes: str) -> str:
    *first, last = list(axes)
    return f"{', '.join(first)} and {last}" if first else last


def calibration_words(image: Image) -> str:
    """Say under which calibration an image is, with all that speaks against it; empty where it is under none."""
    under = calibration_of(image)
    if under is None:
        return ""
    factor = f"lengths along {_along(under['axes'])} × {under['factor']:.6g} ± {under['u_factor']:.6g}"
    said = f", under calibration v{under['version']} of {under['instrument_name']} ({factor})"
    return said + "".join(f"; {words}" for words in under["notes"])


def number_words(row: Property) -> str:
    """Say of a number that carries the scale what spoke against its calibration; empty where nothing did."""
    scale = row.facts.get("scale")
    under = scale.get("calibration") if isinstance(scale, dict) else None
    if not under:
        return ""
    said = f"; its scale is that of calibration v{under['version']}"
    return said + "".join(f", {words}" for words in under["notes"])


def standing(images: Iterable[Image]) -> list[Image]:
    """Those of the images that no other of them supersedes: what the derived thing rests on, without its history."""
    rows = list(images)
    former = {row.supersedes_id for row in rows}
    return [row for row in rows if row.pk not in former]


def calibrations_told(images: Iterable[Image]) -> list[dict[str, Any]]:
    """List the calibrations that standing images are under.

    Returns
    -------
    list of dict
        ``image``, ``calibration``, ``version``, ``instrument`` (its name), ``measured_at``, ``due_at``, ``flags``
        (codes) and ``notes`` (words).
    """
    found = []
    for row in standing(images):
        under = calibration_of(row)
        if under is not None:
            named = {"image": str(row.pk), "calibration": str(under["id"]), "version": under["version"]}
            dates = {name: under[name] and under[name].isoformat() for name in ("measured_at", "due_at")}
            told = {"instrument": under["instrument_name"], "flags": under["flags"], "notes": under["notes"]}
            found.append(named | dates | told)
    return found


def doubts(images: Iterable[Image]) -> list[str] | None:
    """Words of all that speaks against the calibrations of standing images; None where there is no calibration.

    A newer version that exists does not: what was right under the older one stays right.
    """
    told = calibrations_told(images)
    if not told:
        return None
    pairs = [pair for one in told for pair in zip(one["flags"], one["notes"], strict=True)]
    return list(dict.fromkeys(words for code, words in pairs if not code.startswith("newer_version")))
