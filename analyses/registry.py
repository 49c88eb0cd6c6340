"""All plugins there are: the modules of the families, and the entry points of the group ``corr.analyses``."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import entry_points

from analyses.sdk.contract import PluginSpec

FAMILIES = ("registration", "segmentation", "composition", "tracking", "bulk")
ENTRY_POINT_GROUP = "corr.analyses"


class UnknownPluginError(LookupError):
    """No plugin has that name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(f"no plugin is named {name!r}; there are: {', '.join(self.known)}")


class DuplicatePluginError(RuntimeError):
    """Two modules claim the same name."""


def get(name: str) -> PluginSpec:
    """The plugin of that dotted name; ``UnknownPluginError`` (a ``LookupError``) lists those there are.

    A plugin that stands in the module of its own name is imported alone: a child that runs one pays for one.
    """
    direct = _standing_in_its_own_module(name)
    if direct is not None:
        return direct
    try:
        return _registry()[name]
    except KeyError:
        raise UnknownPluginError(name, _registry()) from None


def _standing_in_its_own_module(name: str) -> PluginSpec | None:
    family, _, short = name.partition(".")
    if family not in FAMILIES or not short.isidentifier():
        return None
    try:
        module = importlib.import_module(f"analyses.{family}.{short}")
    except ModuleNotFoundError as error:
        if error.name in (f"analyses.{family}", f"analyses.{family}.{short}"):
            return None
        raise
    spec = getattr(module, "SPEC", None)
    return spec if isinstance(spec, PluginSpec) and spec.name == name else None


def all_specs() -> tuple[PluginSpec, ...]:
    """Every registered plugin, sorted by name."""
    return tuple(spec for _, spec in sorted(_registry().items()))


@lru_cache(maxsize=1)
def _registry() -> dict[str, PluginSpec]:
    return collect([*_family_specs(), *_entry_point_specs()])


def collect(found: Iterable[tuple[str, PluginSpec]]) -> dict[str, PluginSpec]:
    """Index plugins by name.

    Parameters
    ----------
    found
        Pairs of where a plugin was found and the plugin.

    Raises
    ------
    DuplicatePluginError
        If two different plugins have the same name; both places are named.
    """
    specs: dict[str, PluginSpec] = {}
    places: dict[str, str] = {}
    for place, spec in found:
        if spec.name in specs and specs[spec.name] is not spec:
            raise DuplicatePluginError(f"plugin {spec.name!r} is defined twice: in {places[spec.name]} and in {place}")
        specs[spec.name] = spec
        places[spec.name] = place
    return specs


def _family_specs() -> Iterator[tuple[str, PluginSpec]]:
    """A module of a family is a plugin if it has ``SPEC``; the others are its helpers."""
    for family in FAMILIES:
        package_name = f"analyses.{family}"
        if importlib.util.find_spec(package_name) is None:
            continue
        package = importlib.import_module(package_name)
        for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            module = importlib.import_module(f"{package_name}.{module_info.name}")
            spec = getattr(module, "SPEC", None)
            if spec is None:
                continue
            if not spec.name.startswith(f"{family}."):
                raise RuntimeError(
                    f"plugin {spec.name!r} in {module.__name__} does not belong to the family {family!r}"
                )
            yield module.__name__, spec


def _entry_point_specs() -> Iterator[tuple[str, PluginSpec]]:
    """An entry point names a ``PluginSpec`` or a module that has one as ``SPEC``."""
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        loaded = entry_point.load()
        spec = loaded if isinstance(loaded, PluginSpec) else getattr(loaded, "SPEC", None)
        if not isinstance(spec, PluginSpec):
            raise TypeError(f"entry point {entry_point.name} = {entry_point.value} gives no PluginSpec")
        yield f"{entry_point.value} (entry point)", spec
