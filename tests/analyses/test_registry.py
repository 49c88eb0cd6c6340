"""The registry of plugins."""

from __future__ import annotations

import dataclasses
from importlib.metadata import EntryPoint

import pytest

from analyses import registry
from analyses.bulk import bounds

OURS = {"segmentation.threshold", "segmentation.measure", "bulk.bounds", "bulk.conductivity", "bulk.rve"}


@pytest.fixture
def fresh():
    registry._registry.cache_clear()
    yield
    registry._registry.cache_clear()


def test_finds_the_plugins_of_the_families(fresh):
    names = [spec.name for spec in registry.all_specs()]
    assert set(names) >= OURS
    assert names == sorted(names)
    assert registry.get("bulk.bounds") is bounds.SPEC


def test_unknown_name_lists_those_there_are():
    with pytest.raises(registry.UnknownPluginError, match=r"'bulk.magic'.*bulk\.bounds") as caught:
        registry.get("bulk.magic")
    assert isinstance(caught.value, LookupError)


def test_duplicates_are_refused_with_both_places():
    twin = dataclasses.replace(bounds.SPEC, version="9.9.9")
    with pytest.raises(registry.DuplicatePluginError, match=r"in here and in there"):
        registry.collect([("here", bounds.SPEC), ("there", twin)])


def test_the_same_plugin_seen_twice_is_one():
    assert list(registry.collect([("here", bounds.SPEC), ("there", bounds.SPEC)])) == ["bulk.bounds"]


def test_entry_points_are_plugins_too(fresh, monkeypatch):
    extra = EntryPoint("extra", "analyses.bulk.bounds:SPEC", registry.ENTRY_POINT_GROUP)
    module = EntryPoint("module", "analyses.bulk.rve", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [extra, module] if "corr" in group else [])
    found = list(registry._entry_point_specs())
    assert [spec.name for _, spec in found] == ["bulk.bounds", "bulk.rve"]
    assert set(registry._registry()) >= OURS


def test_an_entry_point_that_is_no_plugin_is_refused(monkeypatch):
    wrong = EntryPoint("wrong", "analyses.bulk.closed_forms", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [wrong])
    with pytest.raises(TypeError, match="gives no PluginSpec"):
        list(registry._entry_point_specs())
