"""The door over HTTP: JSON for other services, made of the protos.

It has no rules: whatever is asked of it, it asks the services over gRPC, as the caller who asks.
"""

from __future__ import annotations

from typing import Final

PEER_KEY: Final = "lottery-peer"
"""The key of a call's metadata that has the address of the caller over HTTP."""
