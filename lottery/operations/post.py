"""One event, posted to one receiver: signed, and tried again until it is taken or given up.

Implements the sender of Standard Webhooks 1.0.0 ("Signature scheme", "Webhook headers",
"Deliverability and reliability"), with urllib3: its `Retry` says what is tried again and when.

urllib3 does not repeat the request by itself, because each attempt has a time and so a signature of
its own.

Invariants:
- All attempts of an event have one id.
- An answer is read no further than its header, redirects are not followed, no proxy is asked, and
  certificates are verified.
- No attempt is begun, and none is waited for, once the receiver's time is over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader

from lottery.errors import escape
from lottery.operations.events import Event
from lottery.operations.webhooks import Delivery, Receiver
from lottery.version import NAME, VERSION

ATTEMPT_SECONDS: Final = 15.0
"""Time in seconds for one attempt."""
_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)}
)
"""The statuses that another attempt can get over."""
_SHOWN: Final = 200


def post(receiver: Receiver, event: Event) -> Delivery:
    """Post an event until the receiver takes it, or it is given up."""
    until = time.monotonic() + receiver.seconds
    retry = urllib3.Retry(
        total=None,
        allowed_methods=None,
        status_forcelist=_AGAIN,
        backoff_factor=0.5,
        backoff_max=10.0,
        backoff_jitter=0.5,
    )
    context = ssl.create_default_context(cafile=receiver.authorities)
    attempts = 0
    with urllib3.PoolManager(ssl_context=context) as pool:
        while True:
            attempts += 1
            seconds = max(0.1, min(ATTEMPT_SECONDS, until - time.monotonic()))
            retry, problem, wait = _attempt(pool, receiver, event, retry, seconds)
            if wait is None or time.monotonic() + wait >= until:
                break
            time.sleep(wait)
    return Delivery(receiver=receiver.name, event=event, attempts=attempts, problem=problem)


def signed_headers(
    secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes
) -> Mapping[str, str]:
    """Return the three headers of a signed webhook, with a signature by each secret."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digests = (hmac.digest(secret, signed, hashlib.sha256) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests),
    }


def _attempt(
    pool: urllib3.PoolManager,
    receiver: Receiver,
    event: Event,
    retry: urllib3.Retry,
    seconds: float,
) -> tuple[urllib3.Retry, str | None, float | None]:
    """Post an event once.

    Returns:
        What to go by next, why the receiver has not taken the event (None if it has), and after
        how many seconds to try again (None if that is of no use).
    """
    body = event.body()
    try:
        response = pool.request(
            "POST",
            receiver.url,
            body=body,
            headers={
                **signed_headers(receiver.secrets, event.id, int(time.time()), body),
                "content-type": "application/json",
                "user-agent": f"{NAME}/{VERSION}",
            },
            timeout=urllib3.Timeout(total=seconds),
            retries=False,
            redirect=False,
            preload_content=False,
        )
    except HTTPError as error:
        retry = retry.increment("POST", error=error)
        is_lasting = any(isinstance(one, ssl.SSLCertVerificationError) for one in error.args)
        return retry, escape(str(error), _SHOWN), None if is_lasting else retry.get_backoff_time()
    response.close()
    if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        return retry, None, None
    problem = f"it answered with status {response.status}"
    if not retry.is_retry("POST", response.status):
        return retry, problem, None
    retry = retry.increment("POST", response=response)
    return retry, problem, _asked_wait(retry, response) or retry.get_backoff_time()


def _asked_wait(retry: urllib3.Retry, response: urllib3.BaseHTTPResponse) -> float | None:
    """Return for how many seconds a receiver asks to be left alone, if it does."""
    try:
        return retry.get_retry_after(response)
    except InvalidHeader:
        return None
