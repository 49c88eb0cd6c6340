"""The landmark fit as a plugin: what it tells of every pair, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from analyses.registration.landmarks import SPEC
from analyses.sdk.contract import PluginError
from analyses.sdk.testing import run_plugin
from analyses.sdk.values import TransformValue
from benchmarks.registration.phantoms import about, rotation
from tests.analyses.registration.pairs import value

TRUTH = about(rotation(np.array([10.0, -20.0, 40.0])), np.full(3, 20.0), np.array([3.0, 1.0, -2.0]))
IMAGE = np.zeros((50, 50, 50), np.uint8)


def pairs_of(count: int, sigma: float, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, 49, (count, 3))
    target = source @ TRUTH[:3, :3].T + TRUTH[:3, 3] + rng.normal(0, sigma, (count, 3))
    return [{"source": p, "target": q} for p, q in zip(source.tolist(), target.tolist(), strict=True)]


def fitted(pairs: list[dict[str, Any]], kind: str = "rigid") -> TransformValue:
    inputs = {"source_image": value(IMAGE, "source"), "target_image": value(IMAGE, "target")}
    return run_plugin(SPEC, {"kind": kind, "pairs": pairs}, inputs)["transform"]


def test_exact_pairs_are_recovered() -> None:
    found = fitted(pairs_of(6, 0.0))
    assert np.allclose(found.matrix, TRUTH, atol=1e-9)
    assert (found.source, found.target, found.kind) == ("source_image", "target_image", "rigid")
    assert len(found.landmarks) == 6


def test_every_pair_is_accounted_for() -> None:
    pairs = pairs_of(9, 0.3)
    pairs[2] |= {"state": "held_out"}
    pairs[4] |= {"state": "rejected", "reason": "two pores look alike"}
    pairs[7]["target"][0] += 8.0
    found = fitted(pairs)
    assert found.facts["suspects"] == [7]
    assert found.facts["leave_one_out_um"][2] is None
    assert found.facts["leave_one_out_um"][7] > 8.0
    assert len(found.facts["held_out_um"]) == 1
    assert found.degrees_of_freedom == 3 * 7 - 6


def test_four_exact_pairs_of_an_affine_map_say_nothing_of_their_error() -> None:
    pairs = pairs_of(4, 0.0)
    found = fitted(pairs, "affine")
    assert found.covariance is None
    assert found.facts["covariance_from"].startswith("none")
    stated = fitted([pair | {"u_um": 0.2} for pair in pairs], "affine")
    assert stated.covariance is not None
    assert stated.degrees_of_freedom is None


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        (pairs_of(2, 0.0), "degenerate"),
        ([{"source": (k, k, k), "target": (k, k, k)} for k in (0.0, 9.0, 20.0, 30.0)], "degenerate"),
        ([*pairs_of(4, 0.0), {"source": (4000.0, 0.0, 0.0), "target": (1.0, 1.0, 1.0)}], "outside"),
    ],
)
def test_pairs_that_determine_nothing_are_refused(pairs: list[dict[str, Any]], name: str) -> None:
    with pytest.raises(PluginError) as caught:
        fitted(pairs)
    assert caught.value.name == name
    assert SPEC.exit_code(name).message.format(**caught.value.facts)


def test_errors_are_given_for_all_pairs_or_for_none() -> None:
    pairs = pairs_of(5, 0.0)
    pairs[0] |= {"u_um": 0.1}
    with pytest.raises(ValidationError, match="some active pairs"):
        fitted(pairs)
