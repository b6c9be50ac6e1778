"""The notebook of `examples` runs as it is, cell by cell, and is kept without outputs."""

from __future__ import annotations

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "frames.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def shown_by(cell: dict[str, Any], names: dict[str, Any]) -> str:
    """Run a cell as Jupyter does, and return what it shows: what it prints and its last value."""
    tree = ast.parse("".join(cell["source"]), cell["id"])
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, cell["id"], "exec"), names)  # noqa: S102 - it is the project's own.
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            out.write(repr(eval(compile(expression, cell["id"], "eval"), names)))  # noqa: S307
    return out.getvalue()


def test_the_notebook_runs_cell_by_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}

    shown = {cell["id"]: shown_by(cell, names) for cell in CODE}

    assert names["allocations"].height == 252
    assert "282[4313]10 4313 0.4314" in shown["seed"]
    assert "EXCEEDS_SHORT" in shown["seed"]
    assert "positions, row 2, account: account must be text, got 1047" in shown["refused"]
    assert "2024-09-16-001 ALLOCATED_WITH_BREAKS" in shown["record"]
    assert "'first_hit': 28" in shown["explain"]


def test_the_notebook_is_kept_without_outputs() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
