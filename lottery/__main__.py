"""`python -m lottery` is the command `lottery`, wherever it is given."""

import os
import sys
from pathlib import Path

if sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):  # noqa: PTH109 - it is compared.
    # Python puts the working directory first, which may have a `server` of somebody else.
    del sys.path[0]

from lottery.cli.main import main

main()
