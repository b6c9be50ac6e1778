"""The software's name and version, as run records keep them."""

from importlib import metadata
from typing import Final

NAME: Final = "options-assignment-lottery"
VERSION: Final = metadata.version(NAME)
