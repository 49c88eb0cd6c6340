"""Every registered plugin keeps the contract; each family gives its cases in its ``contract_cases.py``."""

from __future__ import annotations

import importlib
import importlib.util
import json

import pytest

from analyses import registry
from analyses.sdk.testing import check_contract, check_params


def _cases():
    found = {}
    for family in registry.FAMILIES:
        name = f"tests.analyses.{family}.contract_cases"
        package = importlib.util.find_spec(f"tests.analyses.{family}")
        if package is not None and importlib.util.find_spec(name) is not None:
            found.update(importlib.import_module(name).CASES)
    return found


CASES = _cases()
BUILT_IN = [spec for spec in registry.all_specs() if spec.run.__module__.startswith("analyses.")]


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.name)
def test_keeps_the_contract(spec):
    assert spec.name in CASES, f"{spec.name} has no case in its family's contract_cases.py"
    params, inputs = CASES[spec.name]
    outputs = check_contract(spec, params, inputs)
    assert outputs


@pytest.mark.parametrize("spec", registry.all_specs(), ids=lambda spec: spec.name)
def test_says_what_it_is(spec):
    check_params(spec.params, spec.name)
    schema = spec.params.model_json_schema()
    assert schema["additionalProperties"] is False
    assert json.dumps(schema)
    assert spec.title
    assert spec.summary
    assert spec.cost is not None
    assert spec.references
    names = [code.name for code in spec.exit_codes]
    assert len(set(names)) == len(names)
    assert all(port.description for port in (*spec.inputs, *spec.outputs))
