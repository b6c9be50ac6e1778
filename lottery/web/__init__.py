"""What is reached by HTTP: JSON for other services, made of the protos, and the console for people.

It has no rules: whatever is asked of it, it asks the services or a backend, as who asks it.
"""

from __future__ import annotations

from typing import Final

PEER_KEY: Final = "lottery-peer"
"""The key of a call's metadata that has the address of the caller over HTTP."""
