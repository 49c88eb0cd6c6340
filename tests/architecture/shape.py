"""Measures of shape, over source text: how long, and how fully annotated."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

from tests.architecture.sources import Source

MODULE_LINES = 400
# Lines of code of a function (no docstring, comment or blank line) at these percentiles.
FUNCTION_LINES = {50: 8, 90: 25, 99: 50}
_QUIET = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def too_long(name: str, text: str) -> Iterator[str]:
    """Yield a complaint if a module is over the cap."""
    lines = len(text.splitlines())
    if lines > MODULE_LINES:
        yield f"{name}: {lines} lines, the cap is {MODULE_LINES}"


def function_lengths(text: str) -> dict[str, int]:
    """Return the lines of code of every function, by ``name:line``."""
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _QUIET:
            code.update(range(token.start[0], token.end[0] + 1))
    lengths = {}
    for function in _functions(ast.parse(text)):
        lines = set(range(function.lineno, (function.end_lineno or function.lineno) + 1)) & code
        first = function.body[0]
        if ast.get_docstring(function, clean=False) is not None:
            lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
        lengths[f"{function.name}:{function.lineno}"] = len(lines)
    return lengths


def percentile(values: list[int], percent: int) -> int:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def unannotated(source: Source) -> list[str]:
    """Return the functions without a return type."""
    return [
        f"{source.name}:{function.lineno}: {function.name}() has no return type"
        for function in _functions(ast.parse(source.text))
        if function.returns is None
    ]


def function_count(source: Source) -> int:
    """Return how many functions a module defines."""
    return sum(1 for _ in _functions(ast.parse(source.text)))
