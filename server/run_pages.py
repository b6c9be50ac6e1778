"""The pages of `ListRuns` (AIP-158).

Invariants:
- A page's token continues the very list that it is of: other dates, another order, another filter
  or another view are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from lottery.errors import quote
from lottery.operations import Ledger
from lottery.operations.runs import is_run_id, recorded_runs
from lottery.v1 import lottery_pb2
from lottery.v1 import lottery_service_pb2 as pb
from server import requests, responses

PAGE_SIZE: Final = 100
"""Number of runs on a page if the request does not say."""
MAX_PAGE_SIZE: Final = 1_000
"""Maximum number of runs on a page."""
PAGE_BYTES: Final = 2 << 20
"""Size of a page in bytes past which no further run is added."""
_DIGEST_CHARACTERS: Final = 16


def list_runs(ledger: Ledger, request: pb.ListRunsRequest) -> pb.ListRunsResponse:
    """Return a page with as many runs as requested, or fewer if they are large.

    Raises:
        Refused: The page size, a date, a choice or the token is invalid.
    """
    requests.refuse_unknown_choices(request)
    if request.page_size < 0:
        raise requests.refused("page_size", f"expected 0 or more, got {request.page_size}")
    most = min(request.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
    page = pb.ListRunsResponse()
    size = 0
    for run in _runs(ledger, request):
        if len(page.runs) == most or size > PAGE_BYTES:
            page.next_page_token = f"{page.runs[-1].run}.{_digest(request)}"
            break
        page.runs.append(run)
        size += run.ByteSize()
    return page


def _runs(ledger: Ledger, request: pb.ListRunsRequest) -> Iterator[lottery_pb2.Run]:
    """Yield the runs from the page on, each with what became of it."""
    first, last = requests.to_dates(request)
    found = recorded_runs(
        ledger,
        first=first,
        last=last,
        after=_last_of_previous_page(request),
        newest_first=request.order == pb.RUN_ORDER_NEWEST_FIRST,
    )
    for recorded in found:
        stands = recorded.counts and recorded.superseded_by is None
        if stands or not request.standing_only:
            yield responses.from_record(recorded, with_record=request.view == pb.RUN_VIEW_FULL)


def _last_of_previous_page(request: pb.ListRunsRequest) -> str | None:
    """Return the last run of the previous page; None asks for the first page."""
    if not request.page_token:
        return None
    run, _, digest = request.page_token.partition(".")
    if not is_run_id(run) or digest != _digest(request):
        message = (
            "expected a token that ListRuns returned for the same dates, filter, order and view, "
            f"got {quote(request.page_token)}"
        )
        raise requests.refused("page_token", message)
    return run


def _digest(request: pb.ListRunsRequest) -> str:
    """Return a digest of all in a request that makes its list, without page size and token."""
    first, last = requests.to_dates(request)
    filters = (first, last, request.standing_only, request.order, request.view)
    text = " ".join(map(str, filters))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
