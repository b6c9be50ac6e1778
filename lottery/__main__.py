"""`python -m lottery` is the command `lottery`, wherever it is given."""

import os
import sys
from contextlib import suppress
from pathlib import Path

# Python puts the working directory first, which may have a `server` of somebody else.
with suppress(FileNotFoundError):  # It may have been removed.
    if sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):  # noqa: PTH109 - compared.
        del sys.path[0]

from lottery.cli.main import main

main()
