"""Where the files of deployment are, and what the image sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from server.settings import Settings

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"


def environment_of_the_image() -> Mapping[str, str]:
    """Return the variables of the image's last stage."""
    _, final = (ROOT / "Dockerfile").read_text("utf-8").rsplit("\nFROM ", 1)
    return dict(re.findall(r"^\s+(\w+)=(\S+)", final, re.MULTILINE))


def image_settings() -> Settings:
    """Return the settings that the image has by itself."""
    environment = environment_of_the_image()
    prefix = "LOTTERY_"
    given: dict[str, Any] = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    return Settings(**given)
