"""The names of `lottery.operations`: what type checkers are told, and what is imported on use."""

from __future__ import annotations

import ast
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from lottery import operations

DECLARED = {
    alias.name: node.module
    for node in ast.walk(ast.parse(Path(operations.__file__).read_text("utf-8")))
    if isinstance(node, ast.ImportFrom) and str(node.module).startswith("lottery.")
    for alias in node.names
}


def test_every_name_is_imported_from_where_type_checkers_are_told() -> None:
    assert DECLARED == operations._HOMES


@pytest.mark.parametrize("name", DECLARED)
def test_every_name_is_that_of_its_module(name: str) -> None:
    module = import_module(str(DECLARED[name]))
    assert getattr(operations, name) is getattr(module, name)


def test_no_name_is_that_of_a_module_which_would_take_its_place() -> None:
    modules = {module.name for module in pkgutil.iter_modules(operations.__path__)}
    assert modules.isdisjoint(DECLARED)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute reroll"):
        _ = operations.reroll  # type: ignore[attr-defined]
