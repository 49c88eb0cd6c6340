"""Checks of direction, over source text: the ways to point upward that an import checker does not see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.sources import PACKAGES, Source

# From the bottom up; import-linter's contract `rooms` in pyproject.toml is the same list from the top.
LAYERS = (
    "analyses",
    "apps.core",
    "apps.provenance",
    "apps.projects",
    "apps.jobs",
    "apps.catalog",
    "apps.spatial",
    "apps.imaging",
    "apps.results",
    "apps.analysis",
    "apps.audit",
    "apps.discussion",
    "apps.web",
    "corr_project",
)
_MODEL = re.compile(r"(?P<label>[a-z_]+)\.[A-Z][A-Za-z]+")
_MODULE = re.compile(r"(?P<app>apps\.[a-z_]+|corr_project)(\.\w+)*")
_MODEL_SIGNALS = {"pre_init", "post_init", "pre_save", "post_save", "pre_delete", "post_delete", "m2m_changed"}
_GENERIC = {"GenericForeignKey", "GenericRelation"}
_BY_NAME = {"get_model", "import_string", "import_module", "__import__"}
# Plugins are found, not listed: the registry scans its own families and an entry-point group, and the process that
# runs one is told its module's name.
LOADERS = {"analyses.registry", "analyses.sdk.child"}


def rank(app: str) -> int:
    """Return how high a room stands; a room nobody listed stands above all, so that it is noticed."""
    return LAYERS.index(app) if app in LAYERS else len(LAYERS)


def _at(source: Source, node: ast.AST, what: str) -> str:
    return f"{source.name}:{getattr(node, 'lineno', 0)}: {what}"


def _called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def upward_strings(source: Source) -> Iterator[str]:
    """Yield strings that name a model or a module of a room above: foreign keys, task names, lazy imports."""
    own = rank(source.app)
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Attribute) and node.attr == "AUTH_USER_MODEL" and own < rank("apps.projects"):
            yield _at(source, node, "settings.AUTH_USER_MODEL is a model of apps.projects, above this room")
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        model, module = _MODEL.fullmatch(node.value), _MODULE.fullmatch(node.value)
        target = f"apps.{model['label']}" if model else module["app"] if module else ""
        if target in LAYERS and rank(target) > own:
            yield _at(source, node, f"{node.value!r} names something above this room")


def loads_by_name(source: Source) -> Iterator[str]:
    """Yield calls that fetch a model or a module by its name."""
    if source.name in LOADERS:
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self.get_model" and source.inside == ("apps",):
            continue  # an AppConfig's own method gives models of its own app alone
        if isinstance(node, ast.Call) and _called(node) in _BY_NAME:
            yield _at(source, node, f"{_called(node)}() hides an import; write the import")


def generic_relations(source: Source) -> Iterator[str]:
    """Yield generic foreign keys: a key to any table points upward as easily as down."""
    for node in ast.walk(ast.parse(source.text)):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in _GENERIC:
            yield _at(source, node, f"{name}: a foreign key names its table")


def senderless_signals(source: Source) -> Iterator[str]:
    """Yield listeners to model signals that name no sender, and so listen to rooms above as well."""
    for node in ast.walk(ast.parse(source.text)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "sender" for keyword in node.keywords):
            continue
        mentioned = {
            part.attr if isinstance(part, ast.Attribute) else part.id
            for value in [node.func, *node.args]
            for part in ast.walk(value)
            if isinstance(part, ast.Attribute | ast.Name)
        }
        if _called(node) in {"receiver", "connect"} and mentioned & _MODEL_SIGNALS:
            yield _at(source, node, "a model signal without sender= listens to every room, those above included")


def hidden_imports(source: Source) -> Iterator[str]:
    """Yield imports of the project's own modules inside functions: they hide a circle or an upward step."""
    for function in ast.walk(ast.parse(source.text)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if source.inside == ("apps",) and function.name == "ready":
            continue  # models come only once Django is ready; the import contracts see these imports all the same
        for node in ast.walk(function):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = ["." if node.level else node.module or ""]
            if any(name == "." or name.split(".")[0] in PACKAGES for name in names):
                yield _at(source, node, f"import of {', '.join(names)} inside {function.name}()")


CHECKS = (upward_strings, loads_by_name, generic_relations, senderless_signals, hidden_imports)
