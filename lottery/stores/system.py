"""The clock and the ids of this machine, and who runs this process."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import secrets
import socket
from typing import Final

from lottery.ledger.run_record import Identity

SYSTEM_USER: Final = "system-user"
"""The kind of the identity that the system gives."""


def clock() -> dt.datetime:
    """Return the present time, UTC."""
    return dt.datetime.now(dt.UTC)


def ids() -> str:
    """Return 32 hexadecimal digits from the system's random numbers."""
    return secrets.token_hex(16)


def system_identity() -> Identity:
    """Return the user whose rights this process has, and the host.

    The user is the system's own answer: variables such as `LOGNAME` are anybody's to set.
    """
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:  # A user in a container may have no name.
        name = f"uid {user}"
    return Identity(kind=SYSTEM_USER, name=name, host=socket.gethostname())
