"""Takes the working directory from the path, where `python -m server` puts it before all else.

It may have a `lottery` of somebody else; to be imported before anything that is not Python's own.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

with suppress(FileNotFoundError):  # It may have been removed.
    if sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):  # noqa: PTH109 - compared.
        del sys.path[0]
