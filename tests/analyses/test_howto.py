"""The plugin of the how-to guide is a plugin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from analyses.sdk.testing import check_contract, image_value

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "write-a-plugin.md"


def test_the_example_keeps_the_contract() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    module: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(GUIDE), "exec"), module)  # noqa: S102 - our own page
    image = image_value(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert check_contract(module["SPEC"], {}, {"image": image})["mean"].value == 11.5
