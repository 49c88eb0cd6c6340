"""The verdict of a rerun."""

from __future__ import annotations

from typing import Any

import pytest

from apps.analysis.compare import RELATIVE_TOLERANCE, compare_values


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({"a": [1.0, None]}, {"a": [1.0, None]}, "identical"),
        ({"a": 1.0}, {"a": 1.0 + RELATIVE_TOLERANCE / 2}, "within_tolerance"),
        ({"a": 1.0}, {"a": 1.01}, "differs"),
        ({"a": "x"}, {"a": "y"}, "differs"),
        ({"a": 1.0}, {"a": None}, "differs"),
        ({"a": 0.0}, {"a": 1e-30}, "differs"),
        ({"a": 1}, {}, "differs"),
        ({"a": True}, {"a": 1}, "differs"),
    ],
)
def test_verdict(old: Any, new: Any, verdict: str) -> None:
    assert compare_values(old, new)["verdict"] == verdict


def test_a_difference_says_where_and_by_how_much() -> None:
    found = compare_values({"tensor": [[1.0, 2.0]]}, {"tensor": [[1.0, 2.2]]})
    (difference,) = found["differences"]
    assert difference["where"] == "tensor[0][1]"
    assert difference["relative"] == pytest.approx(0.2 / 2.2)
    assert found["largest"] == pytest.approx(0.2 / 2.2)
