"""Packages that one part needs and a plain install leaves out, each with its extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

from lottery.errors import EngineMissing

REQUIREMENTS: Final = {
    "duckdb": "duckdb>=1.4",
    "obstore": "obstore>=0.12",
    "pg8000": "pg8000>=1.31.5",
    "scipy": "scipy>=1.16",
    "starlette": "starlette>=0.50",
    "uvicorn": "uvicorn>=0.54",
    "urllib3": "urllib3>=2.5",
}
"""What to install of each package, as the extras in `pyproject.toml` have it."""


def import_extra(name: str) -> ModuleType:
    """Import a module of a package that may not be installed.

    Raises:
        EngineMissing: The package is not installed; the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise missing(name.partition(".")[0]) from error


def missing(package: str) -> EngineMissing:
    """Return the error of a package that is not installed."""
    return EngineMissing(f"{package} is not installed; run pip install {REQUIREMENTS[package]!r}")
