"""`python -m server`: serve until SIGTERM or SIGINT, then drain."""

from __future__ import annotations

import server.own_path  # noqa: F401 - it is for what it does, before all others.

# isort: split

import os
import sys
from typing import Any

from pydantic import ValidationError

from lottery.operations.variables import misspelt, problems_of
from server.logs import configure_logging
from server.settings import Settings
from server.supervisor import supervise


def main(**given: Any) -> None:
    """Serve with the settings of the environment.

    Args:
        given: Settings that take precedence over the environment.

    Raises:
        SystemExit: 2, if a setting is invalid or the server cannot start.
    """
    problems = list(misspelt(os.environ, Settings))
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += problems_of(error)
    if problems:
        print("\n".join(problems), file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    configure_logging(settings)
    supervise(settings)


if __name__ == "__main__":
    main()
