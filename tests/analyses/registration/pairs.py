"""Pairs of images for the plugins, as values with frames of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analyses.sdk.testing import image_value
from analyses.sdk.values import ImageValue
from benchmarks.registration.phantoms import Pair


def value(samples: Any, name: str, spacing: float = 1.0) -> ImageValue:
    """An image of handedness right in the frame ``frame of NAME``."""
    made = image_value(samples, spacing_um=spacing, identifier=name)
    return replace(made, frame=f"frame of {name}", handedness="right")


def inputs_of(pair: Pair) -> dict[str, ImageValue]:
    """Both images of a pair on their ports."""
    return {
        "fixed": value(pair.fixed, "fixed", pair.spacing),
        "moving": value(pair.moving, "moving", pair.moving_spacing),
    }
