"""Takes the working directory from the path, where `python -m server` puts it before all else.

It may have a `lottery` of somebody else; to be imported before anything that is not Python's own.
"""

import os
import sys
from pathlib import Path

if sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):  # noqa: PTH109 - it is compared.
    del sys.path[0]
